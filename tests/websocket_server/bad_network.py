"""A bad network between a page and the relay: a TCP proxy that delays, limits and stalls, in a thread of its own.

It plays what TCP makes of a bad line: bytes arrive late, in order, at the line's rate, and a lost segment holds back
everything behind it until it has been sent again. `tc netem` would play it below TCP, and needs privileges.
"""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

SEGMENT_BYTES = 1460
QUEUED_SEGMENTS = 64
"""The line's own buffer, in each direction; a sender waits while it is full."""


@dataclass(frozen=True)
class Line:
    """One direction of the network."""

    seconds: float
    """Delay of every byte."""
    bytes_per_second: float
    loss: float
    """Share of segments that are lost once."""
    resend_seconds: float
    """Until a lost segment has arrived after all."""


class BadNetwork:
    """Listens on `port` and passes on to `target`, a port of this machine, over a `line` each way."""

    def __init__(self, target: int, line: Line) -> None:
        self.port = 0
        self._target, self._line = target, line
        self._chance = random.Random(11)  # noqa: S311 - the same losses in every run
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_server(self._connect, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            self._listening.set()
            await self._stop.wait()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self._target)
        with suppress(OSError):
            await asyncio.gather(self._pass(reader, onward_writer), self._pass(onward_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED_SEGMENTS)

        async def deliver() -> None:
            while True:
                due, segment = await queue.get()
                await asyncio.sleep(due - self._loop.time())
                writer.write(segment)
                await writer.drain()
                if not segment:
                    return

        delivery = asyncio.create_task(deliver())
        free = due = 0.0
        try:
            while True:
                segment = await reader.read(SEGMENT_BYTES)
                free = max(free, self._loop.time()) + len(segment) / self._line.bytes_per_second
                lost = self._chance.random() < self._line.loss
                due = max(due, free + self._line.seconds + (self._line.resend_seconds if lost else 0.0))
                await queue.put((due, segment))
                if not segment:
                    break
            await delivery
        finally:
            delivery.cancel()
            writer.close()
