"""What the relay costs: CPU of a frame, time added to it, and how many sessions one worker holds.

Simulated pages (one process) send frames to the relay (one gunicorn worker, the README's command) before a prediction
service that answers at once (a third process). All over real sockets of this machine, which also has to feed them:
with two cores, pages and prediction take their share of what is measured. The same frames go to an echo by
`websockets` (asyncio) and to one by gevent-websocket as it is shipped.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from benchmarks.pages import Load, Measured, Signer, play
from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 20.0
LIMIT_MS = 15.0
"""Added p95 up to which a session counts as held."""
MOST_SESSIONS = 400
TRIAL_SECONDS = 5.0
ENOUGH_FRAMES = 0.9
"""Of what the pages would send: a page that waits for its window sends less."""


# --- servers


class InstantPrediction(asyncio.Protocol):
    """rawPredict that answers at once with a picture of the size it was sent; as little HTTP as the relay speaks."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.received = bytearray()

    def data_received(self, data: bytes) -> None:
        self.received += data
        head_end = self.received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self.received[:head_end]).lower()
        length = 0
        if b"content-length:" in head:
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(self.received) < head_end + 4 + length:
            return
        body = bytes(self.received[head_end + 4 :])
        self.received.clear()
        answer = b"{}"
        if length:
            (instance_length,) = struct.unpack_from("<I", body)
            metadata = b'{"faces":[],"swapped":true,"track":null,"timings_ms":{"decode":0.0,"swap":0.0}}'
            answer = struct.pack("<I", len(metadata)) + metadata + body[4 + instance_length :]
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-faceswap\r\nContent-Length: %d\r\n\r\n" % len(answer)
            + answer
        )


async def serve_prediction(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(InstantPrediction, "127.0.0.1", port)
    await server.serve_forever()


async def serve_echo(port: int) -> None:
    """An echo by websockets on asyncio."""
    from websockets.asyncio.server import ServerConnection, serve

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", port, compression=None) as server:
        await server.serve_forever()


def stock_echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """An echo by gevent-websocket as it is shipped: a WSGI app for its own gunicorn worker."""
    connection = environ["wsgi.websocket"]
    while (message := connection.receive()) is not None:
        connection.send(message, binary=True)
    return []


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, folder: Path = ROOT, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that listens on `port`, for as long as the block runs."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **(environment or {})}, stdout=log, stderr=log
        )
        try:
            _wait_for(process, port, log)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Any) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    log.seek(0)
    raise SystemExit(f"{process.args!r} does not listen on {port}:\n{log.read().decode(errors='replace')[-2000:]}")


def serving(name: str, port: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.relay", name, str(port)]


def gunicorn(port: int, worker: str, app: str) -> list[str]:
    return [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "--no-control-socket", "-k", worker, app]


def gunicorn_worker(process: subprocess.Popen[bytes]) -> int:
    """Process id of gunicorn's only worker; the master listens before it has forked one."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        if children:
            return int(children[0])
        time.sleep(0.05)
    raise SystemExit("gunicorn started no worker.")


def tell(what: str, load: Load, measured: Measured) -> None:
    print(
        f"{what}: {load.pages} pages, {measured.frames} frames, {measured.cpu_ms_per_frame:.3f} ms CPU each, "
        f"p50 {measured.percentile(50):.1f} ms, p95 {measured.percentile(95):.1f} ms",
        file=sys.stderr,
    )


def holds(url: str, load: Load, signer: Signer, pid: int) -> bool:
    """Whether so many pages are served in time; a load counts as too much only when it fails twice."""
    trial = replace(load, seconds=min(load.seconds, TRIAL_SECONDS))
    for _ in range(2):
        measured = asyncio.run(play(url, trial, signer, pid))
        tell("relay", trial, measured)
        enough = ENOUGH_FRAMES * trial.pages * trial.fps * trial.seconds
        if measured.percentile(95) <= LIMIT_MS and measured.frames >= enough:
            return True
    return False


def most_sessions_held(hold: Callable[[int], bool], load: Load, most: int) -> int:
    """The most pages that `hold`, to within a tenth: doubled from `load` until too many, then halved in between."""
    held, too_many, pages = 0, most + 1, min(load.pages, most)
    while too_many - held > max(1, held // 10):
        if hold(pages):
            held = pages
        else:
            too_many = pages
        pages = min(2 * held, most) if too_many > most else (held + too_many) // 2
    return held


@contextlib.contextmanager
def relay_before_instant_prediction(signer: Signer) -> Iterator[tuple[int, int]]:
    """The relay's port and its worker's process id."""
    prediction_port, port = free_port(), free_port()
    environment = {
        "FACESWAP_VERIFY_KEY": signer.verify_key,
        "FACESWAP_PREDICTORS": f"http://127.0.0.1:{prediction_port}",
        "FACESWAP_CLIENT_URL": "",
        "FACESWAP_SESSIONS": str(2 * MOST_SESSIONS),
        "FACESWAP_SESSIONS_PER_ADDRESS": str(2 * MOST_SESSIONS),
        "FACESWAP_FPS": "60",
    }
    with (
        running(serving("prediction", prediction_port), prediction_port),
        running(
            gunicorn(port, "flask_sockets.worker", "main:app"), port, ROOT / "websocket_server", environment
        ) as relay,
    ):
        pid = gunicorn_worker(relay)
        time.sleep(1.5)  # it starts, and looks at the prediction service
        yield port, pid


def measure_relay(load: Load, most_sessions: int) -> dict[str, float]:
    signer = Signer()
    with relay_before_instant_prediction(signer) as (port, pid):
        url = f"ws://127.0.0.1:{port}/websocket"
        measured = asyncio.run(play(url, load, signer, pid))
        tell("relay", load, measured)
        held = most_sessions_held(
            lambda pages: holds(url, replace(load, pages=pages), signer, pid), load, most_sessions
        )
    return {
        "relay.cpu_ms_per_frame": measured.cpu_ms_per_frame,
        "relay.added_ms_p50": measured.percentile(50),
        "relay.added_ms_p95": measured.percentile(95),
        "relay.frames": float(measured.frames),
        "relay.held": float(measured.held),
        "relay.errors": float(measured.errors),
        "relay.sessions_at_15ms": float(held),
    }


def measure_echo(name: str, command: Sequence[str], port: int, load: Load) -> dict[str, float]:
    with running(command, port) as server:
        pid = gunicorn_worker(server) if "gunicorn" in command else server.pid
        measured = asyncio.run(play(f"ws://127.0.0.1:{port}/", load, None, pid))
    tell(name, load, measured)
    return {f"{name}.cpu_ms_per_frame": measured.cpu_ms_per_frame}


def run(data: Path | None, arguments: Sequence[str] = ()) -> Mapping[str, float]:
    """See `benchmarks`. The frames are made up: `data` is not read."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks relay")
    parser.add_argument("--pages", type=int, default=25)
    parser.add_argument("--fps", type=float, default=15.0)
    parser.add_argument("--frame-bytes", type=int, default=40_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement, after the warm-up")
    parser.add_argument("--most-sessions", type=int, default=MOST_SESSIONS, help="stop looking for more there")
    parser.add_argument(
        "--minutes", type=float, help="the relay alone, for so long: errors, p95, and no search for more"
    )
    options = parser.parse_args(arguments)
    if options.minutes:
        return measure_relay(Load(options.pages, options.fps, options.frame_bytes, options.minutes * 60), 0)
    load = Load(options.pages, options.fps, options.frame_bytes, options.seconds)
    results = measure_relay(load, min(options.most_sessions, MOST_SESSIONS))
    port = free_port()
    results |= measure_echo("echo_websockets", serving("echo", port), port, load)
    # Stock unmasking takes 5 ms a frame: at the relay's load it would only fall behind.
    light = Load(max(1, options.pages // 5), options.fps, options.frame_bytes, options.seconds)
    port = free_port()
    stock = gunicorn(port, "geventwebsocket.gunicorn.workers.GeventWebSocketWorker", "benchmarks.relay:stock_echo")
    results |= measure_echo("echo_stock", stock, port, light)
    return results


if __name__ == "__main__":
    servers = {"prediction": serve_prediction, "echo": serve_echo}
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(servers[sys.argv[1]](int(sys.argv[2])))
