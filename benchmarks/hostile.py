"""What hostile peers cost the others: pages' p95 and the relay's CPU beside slow, silent and half-finished peers.

Pages send frames through the relay to a prediction service that answers at once, as in the benchmark `relay`, by turns
alone and beside `--peers` peers of each kind of `KINDS`; whom the relay puts out comes back at once. Taking turns, what
else the machine does weighs on both alike.

others.alone_ms_p95, others.beside_ms_p95   medians over the rounds of each round's p95
others.p95_ratio                            median over the rounds of beside ÷ alone
others.errors                               error messages and closed connections of the pages: none is expected
relay.beside_cpu_share                      cores that the relay's worker uses beside the peers, pages included
relay.alone_cpu_share                       the same without them
hostile.put_out                             connections of hostile peers that the relay closed
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import os
import socket
import statistics
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.pages import FRAME, HEADER, JPEG_HEAD, Load, Measured, Signer, play
from benchmarks.relay import relay_before_instant_prediction
from tests.websocket_server.rawsocket import HANDSHAKE, frame

SMALL_BUFFER = 4096
PICTURE = JPEG_HEAD + bytes(200_000)
"""Its answers fill what the kernel holds for a peer that does not read."""
FRAMES_UNREAD = 50
TEXT, BINARY, PING = 1, 2, 9

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Peer = Callable[[int, str], Awaitable[None]]
"""Called with the relay's port and a hello that holds; ends when the relay has closed the connection."""


async def connect(port: int) -> Stream:
    """A TCP connection that takes in little."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
    return await asyncio.open_connection(sock=plain, limit=SMALL_BUFFER)


async def upgrade(port: int) -> Stream:
    """A WebSocket without its hello."""
    reader, writer = await connect(port)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(HANDSHAKE.format(key=key).encode())
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def until_closed(reader: asyncio.StreamReader) -> None:
    while await reader.read(SMALL_BUFFER):
        pass


async def half_request(port: int, hello: str) -> None:
    """Sends its request a byte a second."""
    await drip(*await connect(port), b"GET /websocket HTTP/1.1\r\nHost: 127.0.0.1\r\n")


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, content: bytes) -> None:
    """Send `content` a byte a second, until put out."""
    closed = asyncio.create_task(until_closed(reader))
    try:
        for byte in content:
            writer.write(bytes([byte]))
            await asyncio.wait([closed], timeout=1)
            if closed.done():
                break
        await closed
    finally:
        closed.cancel()
        writer.close()


async def no_hello(port: int, hello: str) -> None:
    """Upgrades, and says nothing."""
    reader, writer = await upgrade(port)
    with contextlib.closing(writer):
        await until_closed(reader)


async def half_header(port: int, hello: str) -> None:
    """Begins, then sends the first byte of a frame and no other."""
    reader, writer = await upgrade(port)
    with contextlib.closing(writer):
        writer.write(frame(TEXT, hello.encode()) + b"\x82")
        await until_closed(reader)


async def byte_a_second(port: int, hello: str) -> None:
    """Begins, then sends a frame a byte a second."""
    reader, writer = await upgrade(port)
    writer.write(frame(TEXT, hello.encode()))
    await drip(reader, writer, frame(BINARY, HEADER.pack(1, FRAME, 0, 1, 0) + JPEG_HEAD))


async def slow_reader(port: int, hello: str) -> None:
    """Sends large frames and reads no answer, until it is put out."""
    reader, writer = await upgrade(port)
    with contextlib.closing(writer):
        writer.write(frame(TEXT, hello.encode()))
        for sequence in range(1, FRAMES_UNREAD):
            writer.write(frame(BINARY, HEADER.pack(1, FRAME, 0, sequence, 0) + PICTURE))
            await writer.drain()
            await asyncio.sleep(0.5)
        await until_closed(reader)


async def flood_of_pings(port: int, hello: str) -> None:
    """As many pings as the connection takes."""
    reader, writer = await upgrade(port)
    with contextlib.closing(writer):
        writer.write(frame(TEXT, hello.encode()))
        for _ in range(FRAMES_UNREAD):
            writer.write(frame(PING, b"x" * 100) * 100)
            await writer.drain()
        await until_closed(reader)
    await asyncio.sleep(1)


KINDS: Mapping[str, Peer] = {
    each.__name__: each for each in (half_request, no_hello, half_header, byte_a_second, slow_reader, flood_of_pings)
}


async def again_and_again(peer: Peer, port: int, signer: Signer, counts: dict[str, int]) -> None:
    """Play `peer` until cancelled; `counts`: how often the relay put it out."""
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await peer(port, signer.hello())
        counts[peer.__name__] = counts.get(peer.__name__, 0) + 1
        await asyncio.sleep(0.1)


async def play_beside(port: int, pid: int, load: Load, signer: Signer, peers: int, counts: dict[str, int]) -> Measured:
    """The pages' load, beside `peers` of each kind."""
    tasks = [
        asyncio.create_task(again_and_again(peer, port, signer, counts))
        for peer in KINDS.values()
        for _ in range(peers)
    ]
    try:
        return await play(f"ws://127.0.0.1:{port}/websocket", load, signer, pid)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run(data: Path | None, arguments: Sequence[str] = ()) -> Mapping[str, float]:
    """See `benchmarks`. The frames are made up: `data` is not read."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks hostile")
    parser.add_argument("--pages", type=int, default=10)
    parser.add_argument("--peers", type=int, default=5, help="hostile peers of each kind")
    parser.add_argument("--rounds", type=int, default=5, help="each of them alone and beside the peers")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each half of a round, after the warm-up")
    options = parser.parse_args(arguments)
    load = Load(options.pages, 15.0, 40_000, options.seconds)
    signer, counts = Signer(), dict[str, int]()
    halves: dict[bool, list[Measured]] = {False: [], True: []}
    with relay_before_instant_prediction(signer) as (port, pid):
        for number in range(options.rounds):
            for hostile in (False, True) if number % 2 == 0 else (True, False):
                peers = options.peers if hostile else 0
                measured = asyncio.run(play_beside(port, pid, load, signer, peers, counts))
                halves[hostile].append(measured)
                print(
                    f"{'beside' if hostile else 'alone'}: p95 {measured.percentile(95):.1f} ms, "
                    f"{measured.cpu_ms_per_frame:.2f} ms CPU a frame, {measured.errors} errors",
                    file=sys.stderr,
                )
    alone, beside = ([each.percentile(95) for each in halves[hostile]] for hostile in (False, True))
    shares = {
        hostile: statistics.median(each.cpu_ms / 1000 / load.seconds for each in halves[hostile])
        for hostile in (False, True)
    }
    return {
        "others.alone_ms_p95": statistics.median(alone),
        "others.beside_ms_p95": statistics.median(beside),
        "others.p95_ratio": statistics.median(b / a for a, b in zip(alone, beside, strict=True)),
        "others.errors": float(sum(each.errors for half in halves.values() for each in half)),
        "relay.alone_cpu_share": shares[False],
        "relay.beside_cpu_share": shares[True],
        "hostile.put_out": float(sum(counts.values())),
    }
