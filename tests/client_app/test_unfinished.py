"""A network slower than the client waits: the prediction service makes a package that nobody takes, and it goes."""

from __future__ import annotations

import http.client
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.client_app.conftest import Client, beside_prediction
from tests.client_app.test_enrolment import enrol, stored
from tests.client_app.test_trainings import RELEASE, release_end

WAITS_SECONDS = 8
HELD_SECONDS = WAITS_SECONDS + 1.0
DEADLINE_SECONDS = 120.0


@contextmanager
def slow_network(address: str) -> Iterator[str]:
    """An address that passes everything on to `address`, a PUT late."""
    host = address.removeprefix("http://")

    class Network(BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.command == "PUT":
                time.sleep(HELD_SECONDS)
            there = http.client.HTTPConnection(host, timeout=30)
            there.request(self.command, self.path, body, {**self.headers, "Connection": "close"})
            answer = there.getresponse()
            data = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"] or "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            there.close()

        do_GET = do_POST = do_PUT = do_DELETE = pass_on

        def log_message(self, format: str, *args: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):  # nobody waits any more
                super().handle()

    with ThreadingHTTPServer(("127.0.0.1", 0), Network) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def picture(root: Path) -> bytes:
    return (root / "prediction_model" / "identities" / "gallery" / "p7" / "portrait.jpg").read_bytes()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with beside_prediction(
        tmp_path_factory.mktemp("client"), network=slow_network, FACESWAP_PREDICTION_SECONDS=str(WAITS_SECONDS)
    ) as client:
        yield client


def until(held: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not held():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_package_that_nobody_waited_for_is_deleted(client: Client, picture: bytes) -> None:
    def packages() -> list[Path]:
        return list((client.folder / "identities").glob("u-*/identity.json"))

    visitor = client.visitor()
    until(lambda: enrol(visitor, picture).status_code == 201)  # begun, as a live check: the networks are loaded
    answer = enrol(visitor, picture, **RELEASE, expires=release_end())
    assert answer.status_code == 503, answer.text
    until(lambda: bool(packages()))
    assert stored(client, "identities_identity") == []
    until(lambda: not packages())
    until(lambda: stored(client, "identities_unfinishedpackage") == [])
    assert list((client.folder / "identities").iterdir()) == []


def test_what_a_client_left_that_ended_meanwhile_goes_with_the_next_enrolment(client: Client, picture: bytes) -> None:
    with closing(sqlite3.connect(client.folder / "db.sqlite3", timeout=10)) as database, database:
        database.execute("INSERT INTO identities_unfinishedpackage VALUES ('u-left', '2020-01-01 00:00:00')")
    (client.folder / "identities" / "u-left").mkdir()
    (client.folder / "identities" / "u-left" / "face.jpg").write_bytes(picture)
    assert enrol(client.visitor(), picture, **RELEASE, expires=release_end()).status_code == 503
    assert not (client.folder / "identities" / "u-left").exists()
