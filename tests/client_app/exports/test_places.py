"""Who verifies, and how much of it: not so much that nobody can sign, and no more than an address may."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from prediction_model.types import BgrFrame
from tests.client_app.conftest import Client, Visitor, beside_prediction, served
from tests.client_app.exports.test_exports import encoded, marked

DEADLINE_SECONDS = 30.0
MOST_AT_A_TIME = 2
"""Files that are verified, and as many that are signed."""
PNG, JPEG = "image/png", "image/jpeg"


class Network:
    """What is between the client and the prediction service: it holds PNG pictures until it is told to go on."""

    def __init__(self) -> None:
        self.held = 0
        self.go_on = threading.Event()

    @contextmanager
    def between(self, address: str) -> Iterator[str]:
        """The address that passes everything on to `address`."""
        network, host = self, address.removeprefix("http://")

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Type"] == PNG:
                    network.held += 1
                    network.go_on.wait(DEADLINE_SECONDS)
                there = http.client.HTTPConnection(host, timeout=DEADLINE_SECONDS)
                there.request("POST", self.path, body, {**self.headers, "Connection": "close"})
                answer = there.getresponse()
                data = answer.read()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"] or "")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                there.close()

            def log_message(self, format: str, *args: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()


def until(held: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not held():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_who_verifies_keeps_nobody_from_signing(frame: BgrFrame, tmp_path: Path) -> None:
    network = Network()
    with (
        beside_prediction(tmp_path, network=network.between, FACESWAP_PREDICTION_SECONDS="60") as client,
        ThreadPoolExecutor() as threads,
    ):
        visitor, picture = client.visitor(), encoded(frame, ".png")
        looked_at = [threads.submit(Visitor(client.address).verify, picture, PNG) for _ in range(MOST_AT_A_TIME)]
        until(lambda: network.held == MOST_AT_A_TIME)

        refused = Visitor(client.address).verify(picture, PNG)
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "unavailable")
        assert refused.json()["error"]["message"].startswith("Too many files are being looked at.")
        own = encoded(marked(frame, visitor.session, client.watermark_key))
        assert visitor.export(own, JPEG).status_code == 200, "signing has places of its own"
        assert network.held == MOST_AT_A_TIME, "what was refused was not looked at"

        network.go_on.set()
        assert [each.result().status_code for each in looked_at] == [200] * MOST_AT_A_TIME
        assert Visitor(client.address).verify(picture, PNG).status_code == 200, "there are places again"


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Client]:
    """Two looks an hour, by address; nobody answers at the prediction service."""
    limits = {"FACESWAP_ADDRESS_SESSIONS_PER_HOUR": "2", "FACESWAP_TRUSTED_PROXIES": "127.0.0.1"}
    with served(tmp_path, **limits) as client:
        yield client


def test_an_address_verifies_as_often_as_it_has_pictures_swapped(limited: Client, frame: BgrFrame) -> None:
    def verify(address: str) -> int:
        answer = Visitor(limited.address, {"X-Forwarded-For": address}).verify(picture, JPEG)
        if answer.status_code == 429:
            assert answer.json()["error"]["type"] == "too_much" and 0 < int(answer.headers["Retry-After"]) <= 3600
        return answer.status_code

    picture = encoded(frame)
    assert [verify("198.51.100.7") for _ in range(3)] == [200, 200, 429], "each as a visitor without a cookie"
    assert verify("203.0.113.9") == 200, "another address"
    page = Visitor(limited.address, {"X-Forwarded-For": "198.51.100.7"})
    assert page.http.get(f"{limited.address}/verify", timeout=10).status_code == 200, "the page itself is not counted"
