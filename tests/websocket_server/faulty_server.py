"""A prediction server at every route of Google's that fails as it is told to; real HTTP on a free port of loopback."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

LARGEST_REQUEST = 1_500_000


class FaultyServer(ThreadingHTTPServer):
    """Answers by `fault`, and counts the requests that reached it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault = "fail"
        self.requests = 0
        self.paths: list[str] = []
        self.headers: list[Message] = []
        self.connections = 0
        self.open: set[socket.socket] = set()
        self.wake = threading.Event()
        """Ends `hang`."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.wake.set()
        self.shutdown()
        self.server_close()

    def close_connections(self) -> None:
        """Close them as an idle server does."""
        for each in list(self.open):
            each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultyServer

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def answer(self, status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status: int, canonical: str, type_: str | None, headers: dict[str, str] | None = None) -> None:
        """An error as the tier words it; as Google words it, without a type of the tier's."""
        error: dict[str, object] = {"code": status, "status": canonical, "message": f"Refused with {status}."}
        if type_ is not None:
            error["type"] = type_
        self.answer(status, json.dumps({"error": error}).encode(), "application/json; charset=utf-8", headers)

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.rfile.read(length)
        self.server.requests += 1
        self.server.paths.append(self.path)
        self.server.headers.append(self.headers)
        if length > LARGEST_REQUEST:
            self.refuse(413, "INVALID_ARGUMENT", "request_too_large")
            return
        match self.server.fault:
            case "hang":
                self.server.wake.wait(60)
                self.close_connection = True
            case "bad picture":
                self.refuse(400, "INVALID_ARGUMENT", "unreadable_picture")
            case "no consent":
                self.refuse(403, "PERMISSION_DENIED", "identity_not_allowed")
            case "not permitted":
                self.refuse(403, "PERMISSION_DENIED", None)
            case "fail":
                self.refuse(500, "INTERNAL", "internal")
            case "overloaded":
                self.refuse(503, "UNAVAILABLE", None)
            case "quota":
                self.refuse(429, "RESOURCE_EXHAUSTED", None, {"Retry-After": "30"})
            case "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                os.close(self.connection.detach())  # `close` would wait for the handler's files to be closed, too
                self.close_connection = True
            case "cut short":
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b'{"predictions": [')
                self.close_connection = True
            case "bad JSON":
                self.answer(200, b'{"predictions": [{"swapped": tru', "application/json")
            case "infinite JSON":
                self.answer(
                    200,
                    b'{"predictions": [{"image": {"b64": "/9j/"}, "swapped": true, "faces": [1e999]}]}',
                    "application/json",
                )
            case "half a character":
                self.answer(
                    200,
                    b'{"predictions": [{"image": {"b64": "/9j/"}, "swapped": true, "track": "\\ud800"}]}',
                    "application/json",
                )
            case "a track without end":
                self.answer(
                    200,
                    b'{"predictions": [{"image": {"b64": "/9j/"}, "swapped": true, "track": "'
                    + b"x" * 100_000
                    + b'"}]}',
                    "application/json",
                )
            case "another answer":
                self.answer(200, b'{"predictions": [{"image": {"b64": "AAAA"}}]}', "application/json")
