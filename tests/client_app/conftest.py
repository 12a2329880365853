"""The client, served by gunicorn, beside the prediction service, which reads the watermarks."""

from __future__ import annotations

import base64
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.database import write_database
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90.0
STOP_SECONDS = 10.0
FORM = "application/x-www-form-urlencoded"
WATERMARK_KEY = bytes(range(32))
"""The same in every run: which pictures are misread, and few are, follows from the key."""


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


class Visitor:
    """A browser's share of the conversation: cookies, the CSRF token, the terms accepted, a session."""

    def __init__(self, address: str, headers: dict[str, str] | None = None, login: str = "") -> None:
        """`login`: the cookie of somebody who is logged in."""
        self.address = address
        self.http = requests.Session()
        self.http.headers.update(headers or {})
        if login:
            self.http.cookies.set("sessionid", login)
        # gunicorn ends idle connections after 2 s, and a slow machine would meet one that is just being ended.
        self.http.headers["Connection"] = "close"
        page = self.http.get(f"{address}/", timeout=10)
        page.raise_for_status()
        self.http.headers["X-CSRFToken"] = self.http.cookies["csrftoken"] or ""
        self.terms = re.findall(r'data-terms="([^"]+)"', page.text)[0]

    def start(self) -> Visitor:
        """With a session of its own, and the terms accepted, as the page does it."""
        answer = self.post("/session", f"terms={self.terms}".encode(), FORM)
        answer.raise_for_status()
        self.token, self.session = str(answer.json()["token"]), str(answer.json()["session"])
        return self

    def post(self, path: str, body: bytes, media: str, **headers: str) -> requests.Response:
        return self.http.post(self.address + path, body, headers={"Content-Type": media, **headers}, timeout=90)

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

    def manage(self, *arguments: str, **environment: str) -> str:
        """What `python manage.py …` prints, beside the server."""
        command = [sys.executable, "manage.py", *arguments]
        ran = subprocess.run(
            command,
            cwd=ROOT / "client_app",
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return ran.stdout

    def visitor(self) -> Visitor:
        """One with a running session."""
        return Visitor(self.address).start()


@contextmanager
def served(folder: Path, **settings: str) -> Iterator[Client]:
    """The client by itself, by gunicorn, with a database of its own; nobody answers at the prediction service."""
    (folder / "tmp").mkdir()
    key, port = Ed25519PrivateKey.generate(), free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "DEBUG": "1",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "FACESWAP_SIGNING_KEY": base64url(key.private_bytes_raw()),
        "FACESWAP_VERIFY_KEY": base64url(key.public_key().public_bytes_raw()),
        "FACESWAP_WATERMARK_KEY": base64url(WATERMARK_KEY),
        "FACESWAP_STORE_KEY": base64url(secrets.token_bytes(32)),
        "FACESWAP_PREDICTION_URL": "http://127.0.0.1:9",
        "FACESWAP_PREDICTION_SECONDS": "60",
        "FACESWAP_EXPORT_CERTIFICATE": str(folder / "c2pa"),
        "FACESWAP_IDENTITY_STORE": str(folder / "identities"),
        "FACESWAP_TRAININGS": str(folder / "trainings"),
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "TMPDIR": str(folder / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
        **settings,
    }
    client = Client(address, folder, WATERMARK_KEY, environment)
    write_database(folder / "db.sqlite3")
    if environment["DEBUG"] == "0":
        client.manage("collectstatic", "--noinput", "--verbosity=0")
    gunicorn = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "--threads", "8", "--no-control-socket"]
    command = [*gunicorn, "facedetect.wsgi:application"]
    with running(command, ROOT / "client_app", environment, f"{address}/healthz"):
        yield client


@contextmanager
def beside_prediction(
    folder: Path,
    python_path: Path | None = None,
    network: Callable[[str], AbstractContextManager[str]] = nullcontext,
    **settings: str,
) -> Iterator[Client]:
    """The client and the prediction service.

    Args:
        python_path: where the prediction service finds modules before all others.
        network: what is between the two: the service's address → the one that the client knows.
    """
    port = free_port()
    reader = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        address = stack.enter_context(network(reader))
        client = stack.enter_context(served(folder, FACESWAP_PREDICTION_URL=address, **settings))
        serve = [sys.executable, "-m", "prediction_model", "serve", "--port", str(port)]
        environment = {**client.environment, **({"PYTHONPATH": str(python_path)} if python_path else {})}
        stack.enter_context(running(serve, ROOT, environment, reader))
        yield client


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Beside the prediction service."""
    with beside_prediction(tmp_path_factory.mktemp("client")) as client:
        yield client
