"""Peers that send their request's body byte by byte: they are given up, and everybody else is answered meanwhile."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from facedetect.bodies import LEAST_BYTES_PER_SECOND, MOST_LARGEST, MOST_SLOW
from tests.client_app.conftest import Client, Visitor, served

THREADS = 8
"""gunicorn's, as run.py starts it."""
DRIP_SECONDS = 0.1
ENDS_SECONDS = 30.0
LARGEST = 200_000
PATHS = ("/verify", "/exports", "/image", "/enrolments", "/enrolments/0123/frames", "/session", "/login")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """By gunicorn; nobody answers at the prediction service."""
    limits = {"FACESWAP_EXPORT_BYTES": str(LARGEST), "FACESWAP_PICTURE_BYTES": str(LARGEST)}
    with served(tmp_path_factory.mktemp("slow"), **limits) as client:
        yield client


class Upload:
    """A request whose body is sent as the test says."""

    def __init__(self, client: Client, path: str, length: int | None, headers: str) -> None:
        address = urlsplit(client.address)
        self.socket = socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=ENDS_SECONDS)
        body = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        self.socket.sendall(f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\n{headers}{body}\r\n\r\n".encode())

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answered(self) -> bool:
        """Whether there is something to read, or the end."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
            return True
        except BlockingIOError:
            return False
        finally:
            self.socket.settimeout(ENDS_SECONDS)

    def answer(self) -> tuple[int, str]:
        """The status and the error's type; AssertionError where the connection stays open after it."""
        error = self.error()
        assert error["message"].endswith(".")
        with suppress(ConnectionResetError):
            assert self.socket.recv(1) == b"", "nothing more is read of it"
        return int(error["code"]), str(error["type"])

    def error(self) -> dict[str, Any]:
        with closing(HTTPResponse(self.socket)) as response:
            response.begin()
            error: dict[str, Any] = json.loads(response.read())["error"]
        assert error["code"] == response.status
        return error


@pytest.fixture
def uploads() -> Iterator[ExitStack]:
    """Closes the test's uploads."""
    with ExitStack() as stack:
        yield stack


def begin(uploads: ExitStack, client: Client, path: str, length: int | None = LARGEST, headers: str = "") -> Upload:
    upload = Upload(client, path, length, headers)
    uploads.enter_context(closing(upload.socket))
    return upload


def drip(slow: list[Upload]) -> None:
    """One byte of every second one that is not answered yet; the others send nothing at all."""
    for dripper in slow[::2]:
        if not dripper.answered():
            dripper.send(b"x")
    time.sleep(DRIP_SECONDS)


def test_who_drips_is_given_up_and_others_are_answered_meanwhile(client: Client, uploads: ExitStack) -> None:
    slow = [begin(uploads, client, PATHS[number % len(PATHS)]) for number in range(THREADS + 4)]
    deadline = time.monotonic() + ENDS_SECONDS
    while sum(upload.answered() for upload in slow) < len(slow) - MOST_SLOW:
        drip(slow)
        assert time.monotonic() < deadline, "more drip than may hold a thread"
    for _ in range(2):
        assert client.visitor().token, "a page, and a form"
        drip(slow)
    still = [not upload.answered() for upload in slow]
    assert any(still), "all that was while they dripped"
    while not all(upload.answered() for upload in slow):
        drip(slow)
        assert time.monotonic() < deadline, "they drip for ever"
    told = [upload.answer() for upload in slow]
    assert {each for each, late in zip(told, still, strict=True) if late} == {(408, "slow_upload")}
    assert set(told) == {(408, "slow_upload"), (503, "unavailable")}
    assert told.count((408, "slow_upload")) == MOST_SLOW


def test_a_slow_but_steady_upload_is_taken(client: Client, root: Path, uploads: ExitStack) -> None:
    picture = (root / "prediction_model" / "identities" / "gallery" / "p7" / "face.jpg").read_bytes()
    visitor = Visitor(client.address)
    piece = LEAST_BYTES_PER_SECOND // 4

    def pieces() -> Iterator[bytes]:
        for begin in range(0, len(picture), piece):
            time.sleep(0.2)
            yield picture[begin : begin + piece]

    assert len(picture) > 5 * piece, "more than a second of it"
    headers = {"Content-Type": "image/jpeg", "Content-Length": str(len(picture))}
    request = requests.Request("POST", f"{client.address}/verify", headers, data=pieces())
    prepared = visitor.http.prepare_request(request)
    del prepared.headers["Transfer-Encoding"]
    answer = visitor.http.send(prepared, timeout=ENDS_SECONDS)
    assert (answer.status_code, answer.json()["verdict"]) == (200, "unknown"), answer.text


def test_what_breaks_off_is_no_upload(client: Client, uploads: ExitStack) -> None:
    upload = begin(uploads, client, "/verify")
    upload.send(b"x" * 1000)
    upload.socket.shutdown(socket.SHUT_WR)
    assert upload.answer() == (400, "bad_request")


@pytest.mark.parametrize(
    "content_type",
    [
        *(
            f"application/x-www-form-urlencoded; charset={each}"
            for each in ("zip", "hex", "undefined", "utf-16", "none")
        ),
        "multipart/form-data; boundary=x; charset=zip",
        "application/x-www-form-urlencoded; charset*=bogus''x",
        "application/x-www-form-urlencoded; charset*=utf-8''%00",
        "application/x-www-form-urlencoded; charset*0; charset*",
        "image/jpeg; charset=rot13",
    ],
)
def test_text_in_another_encoding_is_refused(client: Client, content_type: str) -> None:
    visitor = Visitor(client.address)
    for path in (*PATHS, "/removal", "/language", "/admin/login/", "/identities/p1/revoke"):
        answer = visitor.post(path, b"a=%ff&terms=x", content_type)
        error = answer.json()["error"]
        assert (answer.status_code, error["type"]) == (400, "bad_request"), path
        assert error["message"].startswith("Expected a request whose text is in UTF-8")
    answer = requests.get(client.address, headers={"Content-Type": content_type, "Connection": "close"}, timeout=10)
    assert answer.status_code == 400


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"'])
def test_text_that_says_it_is_in_utf8_is_read(client: Client, charset: str) -> None:
    visitor = Visitor(client.address)
    form = f"terms={visitor.terms}".encode()
    assert visitor.post("/session", form, f"application/x-www-form-urlencoded; charset={charset}").status_code == 200


@pytest.mark.parametrize("length", [None, LARGEST + 1], ids=["without a length", "too long"])
def test_what_is_not_read_does_not_hold_the_connection(client: Client, uploads: ExitStack, length: int | None) -> None:
    upload = begin(uploads, client, "/removal", length)
    assert upload.answer()[0] in (400, 403)


def test_bodies_together_take_a_bounded_memory(client: Client, uploads: ExitStack) -> None:
    def begin_almost() -> Upload:
        upload = begin(uploads, client, "/verify")
        upload.send(bytes(LARGEST - 1000))
        return upload

    almost = [begin_almost() for _ in range(MOST_LARGEST)]
    deadline = time.monotonic() + ENDS_SECONDS
    status = 0
    while status != 503:
        time.sleep(0.5)  # until they are received
        # Where one was not, the other before it had its room.
        almost = [begin_almost() if upload.answered() else upload for upload in almost]
        another = begin(uploads, client, "/verify", 50_000)
        another.send(bytes(50_000))
        status = another.answer()[0]
        assert time.monotonic() < deadline, "it takes as much as comes"
    told = []
    for upload in almost:
        if not upload.answered():
            upload.send(bytes(1000))
        told.append(upload.error()["code"])
    assert 403 in told and set(told) <= {403, 503}, "whole, and without the page's token; or too late for the room"
    visitor = client.visitor()
    assert visitor.verify(bytes(50_000), "image/jpeg").status_code == 415, "there is room again"


def test_the_sentence_is_in_the_visitors_language(client: Client, uploads: ExitStack) -> None:
    upload = begin(uploads, client, "/verify", headers="Accept-Language: de\r\n")
    upload.socket.shutdown(socket.SHUT_WR)
    assert upload.error()["message"].startswith("Die Übertragung ist abgebrochen")
