"""The client, served by gunicorn, beside the prediction service, which reads the watermarks."""

from __future__ import annotations

import base64
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
STOP_SECONDS = 10.0


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@contextmanager
def running(
    command: list[str], folder: Path, environment: dict[str, str], url: str
) -> Iterator[subprocess.Popen[bytes]]:
    """`command` until the block ends, from when `url` gives any HTTP answer."""
    with subprocess.Popen(command, cwd=folder, env=environment) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                try:
                    requests.get(url, timeout=2)
                    break
                except (requests.ConnectionError, requests.Timeout):
                    assert process.poll() is None, "it died at its start"
                    assert time.monotonic() < deadline, "it did not start in time"
                    time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Visitor:
    """A browser's share of the conversation: cookies, the CSRF token, a session."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.http = requests.Session()
        # gunicorn ends idle connections after 2 s, and a slow machine would meet one that is just being ended.
        self.http.headers["Connection"] = "close"
        self.http.get(f"{address}/", timeout=10).raise_for_status()
        self.http.headers["X-CSRFToken"] = self.http.cookies["csrftoken"] or ""
        answer = self.post("/session", b"", "application/x-www-form-urlencoded").json()
        self.token, self.session = str(answer["token"]), str(answer["session"])

    def post(self, path: str, body: bytes, media: str, **headers: str) -> requests.Response:
        return self.http.post(self.address + path, body, headers={"Content-Type": media, **headers}, timeout=20)

    def export(self, body: bytes, media: str, identity: str = "p1", token: str | None = None) -> requests.Response:
        headers = {"X-Faceswap-Session": self.token if token is None else token, "X-Faceswap-Identity": identity}
        return self.post("/exports", body, media, **headers)

    def verify(self, body: bytes, media: str) -> requests.Response:
        return self.post("/verify", body, media)


@dataclass(frozen=True)
class Client:
    """The served client."""

    address: str
    folder: Path
    """Where it may write: the database, the certificate and its temporary files."""
    watermark_key: bytes
    environment: dict[str, str]

    def manage(self, *arguments: str) -> str:
        """What `python manage.py …` prints, beside the server."""
        command = [sys.executable, "manage.py", *arguments]
        ran = subprocess.run(
            command,
            cwd=ROOT / "client_app",
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return ran.stdout

    def visitor(self) -> Visitor:
        return Visitor(self.address)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("client")
    (folder / "tmp").mkdir()
    key, watermark_key = Ed25519PrivateKey.generate(), secrets.token_bytes(32)
    own, marks = free_port(), free_port()
    address, reader = f"http://127.0.0.1:{own}", f"http://127.0.0.1:{marks}"
    environment = {
        **os.environ,
        "DEBUG": "1",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "FACESWAP_SIGNING_KEY": base64url(key.private_bytes_raw()),
        "FACESWAP_VERIFY_KEY": base64url(key.public_key().public_bytes_raw()),
        "FACESWAP_WATERMARK_KEY": base64url(watermark_key),
        "FACESWAP_PREDICTION_URL": reader,
        "FACESWAP_EXPORT_CERTIFICATE": str(folder / "c2pa"),
        "FACESWAP_IDENTITY_STORE": str(folder / "identities"),
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "TMPDIR": str(folder / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity=0"], cwd=ROOT / "client_app", env=environment, check=True
    )
    gunicorn = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{own}", "--threads", "8", "--no-control-socket"]
    with ExitStack() as stack:
        serve = [sys.executable, "-m", "prediction_model", "serve", "--port", str(marks)]
        stack.enter_context(running(serve, ROOT, environment, reader))
        stack.enter_context(
            running([*gunicorn, "facedetect.wsgi:application"], ROOT / "client_app", environment, f"{address}/healthz")
        )
        yield Client(address, folder, watermark_key, environment)
