"""Prediction servers to load: gunicorn's workers and Ray's replicas, and what their processes use."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from tests.ports import free_port
from tests.websocket_server.servers import get

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 300.0
STOP_SECONDS = 30.0
TICKS = os.sysconf("SC_CLK_TCK")
MARK = "FACESWAP_BENCHMARK"
"""Variable by which every process of a server is known, whoever started it."""


@dataclass
class Server:
    """A running server."""

    port: int
    mark: str
    start_seconds: float

    @property
    def processes(self) -> list[int]:
        """Process ids."""
        wanted = f"{MARK}={self.mark}".encode()
        return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if wanted in _read(path)]

    def cpu_ms(self) -> float:
        """User and system time of all its processes so far."""
        total = 0
        for pid in self.processes:
            fields = _read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()
            total += int(fields[11]) + int(fields[12]) if fields else 0
        return total * 1000 / TICKS

    def memory_mb(self) -> float:
        """Proportional set size of all its processes: shared pages count once."""
        total = 0
        for pid in self.processes:
            for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
                if line.startswith(b"Pss:"):
                    total += int(line.split()[1])
        return total / 1024


def _read(path: Path) -> bytes:
    """What is in a file of /proc; nothing where the process has ended."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


@contextlib.contextmanager
def gunicorn(workers: int) -> Iterator[Server]:
    """`python -m prediction_model serve`."""
    port = free_port()
    command = [sys.executable, "-m", "prediction_model", "serve", "--port", str(port), "--workers", str(workers)]
    with _running(command, port) as server:
        yield server


@contextlib.contextmanager
def ray(python: str, replicas: int) -> Iterator[Server]:
    """`python -m prediction_model serve-ray`, by the Python of an environment that has Ray."""
    port = free_port()
    command = [python, "-m", "prediction_model", "serve-ray", "--port", str(port)]
    # Ray's sockets lie in this folder, and a socket's path is at most 107 bytes long.
    folder = tempfile.mkdtemp(prefix="fs-ray-")
    try:
        with _running([*command, "--replicas", str(replicas), "--cpus", "0.5"], port, RAY_TMPDIR=folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _running(command: list[str], port: int, **variables: str) -> Iterator[Server]:
    mark = uuid.uuid4().hex
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FACESWAP_")}
    environment = {**inherited, "PYTHONPATH": str(ROOT), MARK: mark, **variables}
    began = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        server = Server(port, mark, 0.0)
        try:
            while get(f"http://127.0.0.1:{port}/readyz")[0] != HTTPStatus.OK:
                if process.poll() is not None or time.monotonic() - began > START_SECONDS:
                    log.seek(0)
                    told = log.read().decode(errors="replace")[-3000:]
                    raise SystemExit(f"{' '.join(command)} did not become ready:\n{told}")
                time.sleep(0.1)
            server.start_seconds = time.monotonic() - began
            yield server
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            for pid in server.processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
