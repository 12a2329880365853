"""Real processes for the relay's tests: gunicorn with the relay, prediction servers, and what they tell."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.ports import free_port

HERE = Path(__file__).resolve().parent
RELAY_FOLDER = HERE.parent.parent / "websocket_server"
START_SECONDS = 20.0

Result = TypeVar("Result")


def wait_until(holds: Callable[[], bool], seconds: float = START_SECONDS, what: str = "the condition") -> float:
    """Wait until `holds`, and say how long that took; AssertionError when it does not in time."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"{what} did not come true within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - began


def get(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body of a GET; status 0 where nobody answers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers or {})), timeout=5) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


def run_apart(work: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run` in a thread of its own: Playwright's event loop holds the main one after a browser test."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@dataclass
class Process:
    """A process of its own, listening on `port`."""

    command: list[str]
    port: int
    folder: Path = HERE
    environment: dict[str, str] = field(default_factory=dict)
    log: Path | None = None
    popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.popen is not None
        return self.popen.pid

    def start(self) -> None:
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(self.log.open("ab")) if self.log else subprocess.DEVNULL
            self.popen = subprocess.Popen(
                self.command, cwd=self.folder, env={**os.environ, **self.environment}, stdout=output, stderr=output
            )
        wait_until(self.answers, what=f"{self.command[-1]} on port {self.port}")

    def answers(self) -> bool:
        assert self.popen is not None
        assert self.popen.poll() is None, f"{self.command} ended with {self.popen.returncode}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, signal_number: int = signal.SIGTERM, seconds: float = 15.0) -> float:
        """Stop it; how long that took."""
        began = time.monotonic()
        if self.popen is not None:
            if self.popen.poll() is None:
                self.popen.send_signal(signal_number)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(5)
                raise
        return time.monotonic() - began


class PredictionServer(Process):
    """`prediction_server.py`."""

    def __init__(self, port: int | None = None) -> None:
        port = port or free_port()
        super().__init__([sys.executable, "-B", str(HERE / "prediction_server.py"), str(port)], port)

    def control(self, mode: str = "ok", seconds: float = 0.0, **more: object) -> None:
        """Change how it answers: see `prediction_server.py`."""
        body = json.dumps({"mode": mode, "seconds": seconds, **more}).encode()
        with urllib.request.urlopen(f"{self.url}/control", body, timeout=5):  # noqa: S310
            pass

    def seen(self) -> Any:
        return json.loads(get(f"{self.url}/seen")[1])


class RelayServer(Process):
    """gunicorn with an app of `folder`, by the command that the README gives."""

    def __init__(
        self,
        environment: Mapping[str, str],
        log: Path,
        app: str = "main:app",
        folder: Path = RELAY_FOLDER,
        options: tuple[str, ...] = (),
    ) -> None:
        port = free_port()
        gunicorn = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "-k", "flask_sockets.worker"]
        command = [*gunicorn, "--no-control-socket", *options, app]
        super().__init__(command, port, folder, {"PYTHONDONTWRITEBYTECODE": "1", **environment}, log)

    def answers(self) -> bool:
        """By HTTP, not only by TCP: a SIGTERM is lost on a gunicorn whose worker is not up. Over TLS by TCP alone."""
        return super().answers() and ("--certfile" in self.command or get(self.url)[0] != 0)

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.port}/websocket"

    @property
    def worker_pid(self) -> int:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
        return int(children[0])

    def ready(self) -> bool:
        return get(f"{self.url}/readyz")[0] == 200

    def metric(self, line: str) -> float:
        """The value of one line of /metrics, e.g. `faceswap_relay_sessions`; 0 where there is none."""
        for each in get(f"{self.url}/metrics")[1].decode().splitlines():
            name, _, value = each.rpartition(" ")
            if name == line:
                return float(value)
        return 0.0

    def resident_bytes(self) -> int:
        """Exact: what /proc/PID/stat and /metrics tell is counted by processor, and wrong by 128 KiB for each."""
        for line in Path(f"/proc/{self.worker_pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("smaps_rollup has no Rss")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.worker_pid}/fd").iterdir()))
