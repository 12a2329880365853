"""HTTP/1.1 as far as the prediction contract needs it: one request after another on one kept-alive connection.

`http.client` sends head and body in two pieces and reads headers with the e-mail parser: a third of the relay's CPU.
This sends a request in one piece and reads answers that say their length, which those of the contract do.
https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import fcntl
import socket
import ssl
import termios
from collections.abc import Mapping
from dataclasses import dataclass

MAX_HEAD_BYTES = 16 * 1024
MAX_BODY_BYTES = 8 << 20
MAX_LENGTH_DIGITS = 20
"""Python reads no number of thousands."""
RECEIVE_BYTES = 64 * 1024
SEND_BUFFER_BYTES = 256 * 1024
"""So that a frame leaves in one system call; the kernel begins with 16 KiB."""
HEAD_END = b"\r\n\r\n"
NOTHING = bytes(4)
"""A C int of 0."""


class BadAnswer(Exception):
    """The server's answer is not HTTP/1.1, or not of the kind that this module reads."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (names in lower case) and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """Without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection takes another request."""
        return self.headers.get("connection", "").lower() != "close"


class HttpConnection:
    """A connection to `host`:`port`, over TLS where there is a context. Blocking operations time out after `seconds`.

    Raises OSError where it cannot be made.
    """

    def __init__(self, host: str, port: int, seconds: float, tls: ssl.SSLContext | None = None) -> None:
        self._socket = socket.create_connection((host, port), seconds)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            if tls is not None:
                self._socket = tls.wrap_socket(self._socket, server_hostname=host)
        except BaseException:
            self.close()
            raise

    @property
    def is_silent(self) -> bool:
        """Whether nothing came that nobody asked for: it would be taken for the answer to another session's frame.

        Over TLS it is taken for silent: what comes there may be TLS's own.
        """
        if isinstance(self._socket, ssl.SSLSocket):
            return True
        return fcntl.ioctl(self._socket.fileno(), termios.FIONREAD, NOTHING) == NOTHING

    def exchange(self, request: bytes) -> Answer:
        """Send `request`, head and body, and read its answer. Raises OSError, or BadAnswer; close it after either."""
        # Mostly all of it goes at once; sendall alone would ask the kernel for its buffer's size every time.
        sent = self._socket.send(request)
        if sent < len(request):
            self._socket.sendall(memoryview(request)[sent:])
        received = bytearray()
        while (head_end := received.find(HEAD_END)) < 0:
            if len(received) > MAX_HEAD_BYTES:
                raise BadAnswer(f"expected a head of at most {MAX_HEAD_BYTES} bytes")
            received += self._receive()
        status, headers = _parse_head(received[:head_end].decode("latin-1"))
        length = _content_length(headers)
        start = head_end + len(HEAD_END)
        if len(received) - start > length:
            raise BadAnswer("expected no more bytes than Content-Length says")
        while len(received) - start < length:
            received += self._receive()
        return Answer(status, headers, bytes(memoryview(received)[start:]))

    def _receive(self) -> bytes:
        chunk = self._socket.recv(RECEIVE_BYTES)
        if not chunk:
            raise ConnectionResetError("the answer was cut short")
        return chunk

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def head(method: str, path: str, authority: str, headers: Mapping[str, str]) -> bytes:
    """The head of a request."""
    fields = (f"{name}: {value}" for name, value in headers.items())
    return "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {authority}", *fields, "", "")).encode("ascii")


def _parse_head(text: str) -> tuple[int, dict[str, str]]:
    lines = text.split("\r\n")
    version, _, rest = lines[0].partition(" ")
    status = rest[:3]
    if version != "HTTP/1.1" or not (status.isascii() and status.isdigit()) or status < "200":
        raise BadAnswer("expected a final answer in HTTP/1.1")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadAnswer("expected headers of a name and a value")
        headers[name.strip().lower()] = value.strip()
    return int(status), headers


def _content_length(headers: Mapping[str, str]) -> int:
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()) or "transfer-encoding" in headers:
        raise BadAnswer("expected an answer that says its Content-Length")
    if len(length) > MAX_LENGTH_DIGITS or int(length) > MAX_BODY_BYTES:
        raise BadAnswer(f"expected a body of at most {MAX_BODY_BYTES} bytes")
    return int(length)
