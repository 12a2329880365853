"""Simulated pages: sessions that send frames to the relay at an even rate, and how long their results take."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import statistics
import struct
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

HEADER = struct.Struct("<BBHIQ")
FRAME, RESULT = 1, 2
WINDOW = 2
JPEG_HEAD = bytes.fromhex("ffd8ffe000104a46494600010100000100010000")
WARM_UP_SECONDS = 2.0
TICKS = os.sysconf("SC_CLK_TCK")

Samples: TypeAlias = list[tuple[float, float]]
"""Seconds, and what was measured then."""


@dataclass(frozen=True)
class Load:
    """What the simulated pages do."""

    pages: int
    fps: float
    frame_bytes: int
    seconds: float


@dataclass
class Measured:
    """Of one run, after the warm-up: round trips in ms, CPU of the server in ms, and what went wrong."""

    round_trips: list[float] = field(default_factory=list)
    frames: int = 0
    cpu_ms: float = 0.0
    held: int = 0
    """Results without a picture."""
    errors: int = 0
    """Error messages, and connections that the server closed."""

    @property
    def cpu_ms_per_frame(self) -> float:
        return self.cpu_ms / max(1, self.frames)

    def percentile(self, percent: int) -> float:
        if len(self.round_trips) < 2:
            return float("inf")
        return statistics.quantiles(self.round_trips, n=100)[percent - 1]


def slope_per_ten_minutes(samples: Samples) -> float:
    """By Theil and Sen: the median over all pairs.

    Memory comes in pieces: by least squares, one of them more within a minute looks like a leak.
    """
    pairs = itertools.combinations(samples, 2)
    return statistics.median((later - value) / (then - now) for (now, value), (then, later) in pairs) * 600


class Signer:
    """client_app's key, for the length of a benchmark."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._key = Ed25519PrivateKey.generate()
        raw = self._key.public_key().public_bytes_raw()
        self.verify_key = base64.urlsafe_b64encode(raw).decode().rstrip("=")

    def hello(self) -> str:
        import jwt

        now = int(time.time())
        claims = {
            "iss": "faceswap-client",
            "aud": ["faceswap-relay", "faceswap-prediction"],
            "sub": uuid.uuid4().hex,
            "iat": now,
            "exp": now + 3600,
            "identities": {"p1": ""},
            "limits": {"fps": 60, "pixels": 921600, "minutes": 60},
        }
        token = jwt.encode(claims, self._key, algorithm="EdDSA")
        return json.dumps({"type": "hello", "version": 1, "token": token, "identity": "p1", "options": {}})


async def play_page(url: str, load: Load, hello: str | None, offset: float, ends: float, measured: Measured) -> None:
    """One page: frames at an even rate as far as the window allows; round trips after the warm-up are kept."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    begins = ends - load.seconds
    image = JPEG_HEAD + os.urandom(load.frame_bytes - len(JPEG_HEAD))
    sent: dict[int, float] = {}
    async with connect(url, compression=None, max_size=None, proxy=None) as connection:
        if hello is not None:
            await connection.send(hello)
            if json.loads(await connection.recv())["type"] != "ready":
                raise SystemExit("The relay refused a session of the benchmark.")

        async def receive() -> None:
            async for message in connection:
                if isinstance(message, str):
                    measured.errors += json.loads(message)["type"] == "error"
                    continue
                sequence = HEADER.unpack_from(message)[3]
                now = time.perf_counter()
                began = sent.pop(sequence, None)
                for older in [each for each in sent if each < sequence]:
                    del sent[older]
                if began is None or now < begins:
                    continue
                if len(message) < load.frame_bytes:  # no picture, only metadata
                    measured.held += 1
                else:
                    measured.frames += 1
                    measured.round_trips.append((now - began) * 1000)

        receiver = asyncio.create_task(receive())
        sequence, due = 0, time.perf_counter() + offset
        with contextlib.suppress(ConnectionClosed):
            while (now := time.perf_counter()) < ends:
                await asyncio.sleep(max(0.0, due - now))
                due += 1 / load.fps
                if len(sent) < WINDOW:
                    sequence += 1
                    sent[sequence] = time.perf_counter()
                    await connection.send(HEADER.pack(1, FRAME, 0, sequence, 0) + image)
        measured.errors += connection.close_code is not None
        receiver.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
            await receiver


async def play(url: str, load: Load, signer: Signer | None, pid: int) -> Measured:
    """All pages of a load against `url`, and the CPU of process `pid` meanwhile."""
    measured = Measured()
    ends = time.perf_counter() + WARM_UP_SECONDS + load.seconds
    pages = [
        play_page(url, load, signer.hello() if signer else None, number / load.pages / load.fps, ends, measured)
        for number in range(load.pages)
    ]

    async def watch_cpu() -> None:
        await asyncio.sleep(WARM_UP_SECONDS)
        before = cpu_ms_of(pid)
        await asyncio.sleep(max(0.0, ends - time.perf_counter()))
        measured.cpu_ms = cpu_ms_of(pid) - before

    await asyncio.gather(watch_cpu(), *pages)
    return measured


def cpu_ms_of(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / TICKS
