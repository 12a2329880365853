"""The benchmarks' simulated pages count what goes wrong: the load's and the soak's tests rest on that."""

from __future__ import annotations

import time

import pytest
from websockets.asyncio.server import ServerConnection, serve

from benchmarks.pages import Load, Measured, play_page
from tests.websocket_server.servers import run_apart

LOAD = Load(pages=1, fps=10, frame_bytes=1000, seconds=3)


@pytest.mark.parametrize(
    ("end", "errors"), [("abort", 1), ("1011", 1), ("1000", 1), ("1011 before a result", 1), ("none", 0)]
)
def test_a_connection_that_the_server_ends_is_an_error(end: str, errors: int) -> None:
    async def answer(connection: ServerConnection) -> None:
        if end == "1011 before a result":
            await connection.close(1011)
        async for message in connection:
            await connection.send(message)
            if end == "abort":
                connection.transport.abort()
            elif end != "none":
                await connection.close(int(end))

    async def play() -> Measured:
        measured = Measured()
        async with serve(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await play_page(f"ws://127.0.0.1:{port}/", LOAD, None, 0, time.perf_counter() + LOAD.seconds, measured)
        return measured

    assert run_apart(play()).errors == errors
