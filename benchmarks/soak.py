"""Half an hour of real work: the three services, real swaps, sessions that come and go, hostile peers now and then.

`--sessions` visitors play the committed wearers at 15 frames a second. Each accepts the terms and takes a token of
client_app as the page does, stays for a random while, and leaves: one time in four without a goodbye. Every
`HOSTILE_SECONDS` one peer of `benchmarks.hostile` comes as well, every kind in turn. One in `CHECKED` of the pictures
that come back is looked at: it must carry the watermark of its own session.

SERVICE.mib_start, _end               memory of its processes, without mapped files: after the warm-up, at the end
SERVICE.slope_mib_per_10_minutes      after the warm-up, by Theil and Sen
SERVICE.descriptors_start, _end       open files: of the services at rest before the load, and again after it
frames.swapped, .blurred, .held       results with another face, with a picture but no swap, and without a picture
frames.dropped                        as the relay counts them: a newer frame came
frames.checked, frames.unlabelled     pictures looked at, and those without their session's mark: none is expected
frames.ms_p50, frames.ms_p95          of a frame and its result, seen from the visitor
sessions.ended, sessions.errors       visits, and error messages and closed connections in them: none is expected
hostile.put_out                       hostile peers that the relay closed
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import statistics
import struct
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks import hostile
from benchmarks.pages import FRAME, HEADER, WINDOW, Samples, slope_per_ten_minutes
from benchmarks.pipeline import WEARERS, read_clip
from prediction_model.labels import watermark
from prediction_model.types import BgrFrame
from tests.browser.services import Service, Services, make_services, running
from tests.client_app.conftest import Visitor

FPS = 15.0
CLIP_FRAMES = 90
VISIT_SECONDS = (20.0, 60.0)
ABRUPT = 0.25
"""Share of the visits that end without a closing handshake."""
HOSTILE_SECONDS = 10.0
HOSTILE_STAY_SECONDS = 40.0
CHECKED = 5
SAMPLE_SECONDS = 5.0
SETTLE_SECONDS = 8.0
"""In which the services let go of what the last session had."""
SWAPPED, HELD = 1, 2
UNLIMITED = "1000000"


@dataclass
class Count:
    """Of all visits, after the warm-up but for what must never be."""

    milliseconds: list[float] = field(default_factory=list)
    swapped: int = 0
    blurred: int = 0
    held: int = 0
    checked: int = 0
    unlabelled: int = 0
    visits: int = 0
    errors: list[str] = field(default_factory=list)


# --- processes


def processes(service: Service) -> list[int]:
    """Of the service's process group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            group = int(path.read_text(encoding="ascii").rpartition(")")[2].split()[2])
            if service.process is not None and group == service.process.pid:
                found.append(int(path.parent.name))
    return found


def anonymous_mib(service: Service) -> float:
    """Of its own: what files it has mapped is bounded by them, and counted by who else has.

    Exact: what /proc/PID/stat tells is wrong by 128 KiB for each processor.
    """
    kib = 0
    for pid in processes(service):
        with contextlib.suppress(OSError):  # it has just ended
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
            kib += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Anonymous:"))
    return kib / 1024


def descriptors(service: Service) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in processes(service))


def dropped(relay: Service) -> float:
    """Frames that the relay dropped so far."""
    with urllib.request.urlopen(f"{relay.address}/metrics", timeout=5) as answer:  # noqa: S310 - http
        for line in answer.read().decode().splitlines():
            if line.startswith('faceswap_relay_frames_total{what="dropped"}'):
                return float(line.rpartition(" ")[2])
    raise SystemExit("The relay's /metrics does not tell how many frames it dropped.")


# --- visitors


class Visit:
    """One session, from its hello to its end."""

    def __init__(self, visitor: Visitor, frames: Sequence[bytes], services: Services, count: Count) -> None:
        self._token, self._session = visitor.token, int(visitor.session[:8], 16)
        self._frames, self._services, self._count = frames, services, count
        self._sent: dict[int, float] = {}
        self._results = 0
        self._leaving = False

    async def stay(self, seconds: float, abrupt: bool) -> None:
        """Send frames for so long, as far as the window allows, then leave."""
        address = f"ws://127.0.0.1:{self._services.relay.port}/websocket"
        async with connect(address, compression=None, max_size=None, proxy=None, close_timeout=5) as connection:
            hello = {"type": "hello", "version": 1, "token": self._token, "identity": "p1", "options": {}}
            await connection.send(json.dumps(hello))
            receiving = asyncio.create_task(self._receive(connection))
            try:
                with contextlib.suppress(ConnectionClosed):
                    await self._send(connection, seconds)
                self._leaving = True
                if abrupt:
                    connection.transport.abort()
            finally:
                receiving.cancel()
                await asyncio.gather(receiving, return_exceptions=True)

    async def _send(self, connection: ClientConnection, seconds: float) -> None:
        ends, due, sequence = time.monotonic() + seconds, time.monotonic(), 0
        while (now := time.monotonic()) < ends:
            await asyncio.sleep(max(0.0, due - now))
            due = max(due + 1 / FPS, time.monotonic())
            if len(self._sent) < WINDOW:
                sequence += 1
                self._sent[sequence] = now = time.monotonic()
                header = HEADER.pack(1, FRAME, 0, sequence, int(now * 1e6))
                await connection.send(header + self._frames[sequence % len(self._frames)])

    async def _receive(self, connection: ClientConnection) -> None:
        try:
            async for message in connection:
                if isinstance(message, bytes):
                    await self._take(message)
                elif json.loads(message)["type"] == "error":
                    self._count.errors.append(message)
        except ConnectionClosed as closed:
            self._fail(f"closed with {closed.rcvd}")
        else:
            self._fail("closed with 1000")

    def _fail(self, what: str) -> None:
        if not self._leaving:
            self._count.errors.append(what)

    async def _take(self, message: bytes) -> None:
        _, _, flags, sequence, _ = HEADER.unpack_from(message)
        began = self._sent.pop(sequence, None)
        for older in [each for each in self._sent if each < sequence]:
            del self._sent[older]
        if began is not None:
            self._count.milliseconds.append((time.monotonic() - began) * 1000)
        (length,) = struct.unpack_from("<I", message, HEADER.size)
        picture = message[HEADER.size + 4 + length :]
        self._count.swapped += bool(flags & SWAPPED)
        self._count.blurred += bool(picture) and not flags & SWAPPED
        self._count.held += bool(flags & HELD)
        self._results += 1
        if picture and self._results % CHECKED == 0:
            self._count.checked += 1
            marked = await asyncio.to_thread(payload, picture, self._services.watermark_key)
            self._count.unlabelled += marked != self._session


def payload(picture: bytes, key: bytes) -> int | None:
    """What the watermark of a JPEG says."""
    frame: BgrFrame = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)  # type: ignore[assignment]
    return watermark.read(frame, key)


async def come_and_go(number: int, ends: float, clips: Sequence[list[bytes]], services: Services, count: Count) -> None:
    """One visitor after the other."""
    chance = random.Random(number)  # noqa: S311 - how long somebody stays is no secret
    while (left := ends - time.monotonic()) > 1:
        try:
            visitor = await asyncio.to_thread(lambda: Visitor(services.client.address).start())
            visit = Visit(visitor, chance.choice(clips), services, count)
            await visit.stay(min(left, chance.uniform(*VISIT_SECONDS)), chance.random() < ABRUPT)
        except OSError as error:  # what `requests` raises is one, too
            count.errors.append(f"{type(error).__name__}: {error}")
        count.visits += 1


async def send_hostile_peers(ends: float, services: Services) -> int:
    """One after the other, each for `HOSTILE_STAY_SECONDS` at most; how many the relay put out."""
    playing: set[asyncio.Task[None]] = set()
    put_out = 0
    for peer in itertools.cycle(hostile.KINDS.values()):
        done, playing = await asyncio.wait(playing, timeout=0) if playing else (set(), set())
        put_out += sum(not isinstance(task.exception(), TimeoutError) for task in done)
        if time.monotonic() + HOSTILE_SECONDS > ends:
            break
        visitor = await asyncio.to_thread(lambda: Visitor(services.client.address).start())
        hello = {"type": "hello", "version": 1, "token": visitor.token, "identity": "p1", "options": {}}
        coming = asyncio.wait_for(peer(services.relay.port, json.dumps(hello)), HOSTILE_STAY_SECONDS)
        playing.add(asyncio.create_task(coming))
        await asyncio.sleep(HOSTILE_SECONDS)
    for task in playing:
        task.cancel()
    await asyncio.gather(*playing, return_exceptions=True)
    return put_out


async def sample_memory(begins: float, ends: float, services: Services) -> dict[str, Samples]:
    """Of each service, after the warm-up."""
    samples: dict[str, Samples] = {service.name: [] for service in services.all}
    await asyncio.sleep(max(0.0, begins - time.monotonic()))
    while time.monotonic() < ends:
        for service in services.all:
            samples[service.name].append((time.monotonic(), anonymous_mib(service)))
        await asyncio.sleep(SAMPLE_SECONDS)
        if len(samples["relay"]) % 60 == 0:
            told = ", ".join(f"{name} {of[-1][1]:.1f} MiB" for name, of in samples.items())
            print(f"{ends - time.monotonic():.0f} s left: {told}", file=sys.stderr, flush=True)
    return samples


async def soak(services: Services, sessions: int, minutes: float, warm_up: float) -> dict[str, float]:
    clips = [read_clip(path, CLIP_FRAMES) for path in sorted(WEARERS.glob("*.mp4"))]
    count = Count()
    now = time.monotonic()
    begins, ends = now + warm_up * 60, now + (warm_up + minutes) * 60
    async with asyncio.TaskGroup() as group:
        for number in range(sessions):
            group.create_task(come_and_go(number, ends, clips, services, count))
        peers = group.create_task(send_hostile_peers(ends, services))
        memory = group.create_task(sample_memory(begins, ends, services))
    for error in count.errors[:20]:
        print(error, file=sys.stderr)
    percentiles = statistics.quantiles(count.milliseconds, n=100)
    results: dict[str, float] = {
        "frames.swapped": count.swapped,
        "frames.blurred": count.blurred,
        "frames.held": count.held,
        "frames.dropped": dropped(services.relay),
        "frames.checked": count.checked,
        "frames.unlabelled": count.unlabelled,
        "frames.ms_p50": percentiles[49],
        "frames.ms_p95": percentiles[94],
        "sessions.ended": count.visits,
        "sessions.errors": len(count.errors),
        "hostile.put_out": peers.result(),
    }
    for name, of in memory.result().items():
        results |= {
            f"{name}.mib_start": of[0][1],
            f"{name}.mib_end": of[-1][1],
            f"{name}.slope_mib_per_10_minutes": slope_per_ten_minutes(of),
        }
    return results


def run(data: Path | None, arguments: Sequence[str] = ()) -> Mapping[str, float]:
    """See `benchmarks`. Always plays the committed wearers: `data` is not read."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak")
    parser.add_argument("--minutes", type=float, default=30.0, help="after the warm-up")
    parser.add_argument("--warm-up", type=float, default=2.0, help="minutes")
    parser.add_argument("--sessions", type=int, default=2, help="at a time")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        services = make_services(Path(folder), log)
        # One address makes all the sessions, and more than anybody would.
        for name in ("VISITOR_SESSIONS_PER_HOUR", "ADDRESS_SESSIONS_PER_HOUR", "ADDRESS_MINUTES_PER_DAY"):
            services.client.environment[f"FACESWAP_{name}"] = UNLIMITED
        with running(services):
            asyncio.run(soak(services, 1, 0.1, 0.1))  # everything has been loaded once, and everybody has left
            time.sleep(SETTLE_SECONDS)
            before = {service.name: descriptors(service) for service in services.all}
            results = asyncio.run(soak(services, options.sessions, options.minutes, options.warm_up))
            time.sleep(SETTLE_SECONDS)
            for service in services.all:
                results[f"{service.name}.descriptors_start"] = before[service.name]
                results[f"{service.name}.descriptors_end"] = descriptors(service)
    return results
