"""The three services, really running on free ports of 127.0.0.1: for browser tests and for the browser benchmark."""

from __future__ import annotations

import base64
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.database import write_database
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05
WATERMARK_KEY = bytes(range(32))
"""The same in every run: which pictures are misread, and few are, follows from the key."""


@dataclass
class Service:
    """One of the three, on a port of its own, which it keeps over a restart."""

    name: str
    folder: Path
    command: list[str]
    environment: dict[str, str]
    port: int
    log: IO[bytes] | None = None
    """Takes what it prints; None: printed here."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=self.environment,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )

    def wait_until_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            assert self.process.poll() is None, f"the {self.name} service died at its start"
            assert time.monotonic() < deadline, f"the {self.name} service was not ready in time"
            time.sleep(POLL_SECONDS)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/readyz", timeout=5) as answer:  # noqa: S310 - http
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def signal(self, number: signal.Signals) -> None:
        """To the whole group."""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """kill -9 of the whole group: nobody says goodbye."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        self.process.wait(STOP_SECONDS)
        self.process = None

    def stop(self) -> None:
        self.terminate()
        self.wait_until_stopped()

    def terminate(self) -> None:
        """Ask it to stop."""
        if self.process is not None:
            self.process.terminate()

    def wait_until_stopped(self) -> None:
        """It was asked to; what is left of it after `STOP_SECONDS` is killed."""
        if self.process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        self.kill()


@dataclass(frozen=True)
class Services:
    """The three services of one test module."""

    prediction: Service
    relay: Service
    client: Service
    watermark_key: bytes

    @property
    def all(self) -> tuple[Service, Service, Service]:
        return self.prediction, self.relay, self.client


def make_services(folder: Path, log: IO[bytes] | None = None) -> Services:
    """The services with keys of their own; all that they write is under `folder`. What they print goes to `log`."""
    made = [sys.executable, "client_app/make_keys.py", "signing"]
    seed, public = subprocess.run(made, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    prediction, relay, client = free_port(), free_port(), free_port()
    page = f"http://127.0.0.1:{client}"
    environment = {
        **os.environ,
        "DEBUG": "1",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ALLOWED_HOSTS": "127.0.0.1",
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "FACESWAP_SIGNING_KEY": seed,
        "FACESWAP_VERIFY_KEY": public,
        "FACESWAP_WATERMARK_KEY": base64.urlsafe_b64encode(WATERMARK_KEY).decode().rstrip("="),
        "FACESWAP_STORE_KEY": secrets.token_urlsafe(32),
        "FACESWAP_ORIGINS": page,
        "FACESWAP_CLIENT_URL": page,
        "FACESWAP_WEBSOCKET_URL": f"ws://127.0.0.1:{relay}/websocket",
        "FACESWAP_PREDICTION_URL": f"http://127.0.0.1:{prediction}",
        "FACESWAP_PREDICTORS": f"http://127.0.0.1:{prediction}",
        "FACESWAP_EXPORT_CERTIFICATE": str(folder / "c2pa"),
        "FACESWAP_IDENTITY_STORE": str(folder / "identities"),
        "FACESWAP_TRAININGS": str(folder / "trainings"),
        "GUNICORN_CMD_ARGS": "--no-control-socket --graceful-timeout 3",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    gunicorn = [sys.executable, "-m", "gunicorn", "-b"]
    serve = [sys.executable, "-m", "prediction_model", "serve", "--port", str(prediction)]
    listen = [*gunicorn, f"127.0.0.1:{relay}", "-k", "flask_sockets.worker", "main:app"]
    wsgi = [*gunicorn, f"127.0.0.1:{client}", "--threads", "8", "facedetect.wsgi:application"]
    # All that it would wait for is the relay, which polls for revocations.
    wsgi += ["--graceful-timeout", "1"]
    write_database(folder / "db.sqlite3")
    return Services(
        Service("prediction", ROOT, serve, environment, prediction, log),
        Service("relay", ROOT / "websocket_server", listen, environment, relay, log),
        Service("client", ROOT / "client_app", wsgi, environment, client, log),
        WATERMARK_KEY,
    )


@contextmanager
def running(services: Services) -> Iterator[Services]:
    """All three, ready; stopped at the end."""
    try:
        services.prediction.launch()
        services.client.start()
        services.relay.start()  # now: it asks the two others from its first moment on
        services.prediction.wait_until_ready()
        yield services
    finally:
        for service in services.all:
            service.terminate()
        for service in services.all:
            service.wait_until_stopped()
