"""A WebSocket client that does what no library would: bytes by hand."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import struct
import time
from types import TracebackType
from typing import Self

HANDSHAKE = (
    "GET /websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
)


def frame(opcode: int, payload: bytes, final: bool = True, mask: bool = True, length: int | None = None) -> bytes:
    """One frame of RFC 6455; `length`: what its header claims, where that is not the truth."""
    length = len(payload) if length is None else length
    first, flag = (0x80 if final else 0) | opcode, 0x80 if mask else 0
    if length < 126:
        header = struct.pack("!BB", first, flag | length)
    elif length < 1 << 16:
        header = struct.pack("!BBH", first, flag | 126, length)
    else:
        header = struct.pack("!BBQ", first, flag | 127, length)
    # A mask of zeros is a mask, and leaves the payload readable.
    return header + (bytes(4) if mask else b"") + payload


class RawSocket:
    """A TCP connection to `port`, upgraded unless told otherwise."""

    def __init__(self, port: int, upgrade: bool = True, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", port))
        self._received = b""
        if upgrade:
            key = base64.b64encode(os.urandom(16)).decode()
            self.socket.sendall(HANDSHAKE.format(key=key).encode())
            while b"\r\n\r\n" not in self._received:
                self._received += self.socket.recv(4096)
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101"), head

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send as much as the peer takes: it may have closed already."""
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def read_all(self) -> bytes:
        """Everything until the peer closes."""
        data, self._received = self._received, b""
        try:
            while chunk := self.socket.recv(65536):
                data += chunk
        except ConnectionResetError:
            pass
        return data

    def close_code(self) -> int | None:
        """Read to the end; the code of the close frame, None where none came."""
        return close_code_of(self.read_all())

    def seconds_until_closed(self) -> float:
        began = time.monotonic()
        self.read_all()
        return time.monotonic() - began


def close_code_of(data: bytes) -> int | None:
    """The code of the close frame among unmasked frames `data`."""
    while len(data) >= 2:
        opcode, length, start = data[0] & 15, data[1] & 127, 2
        if length == 126:
            (length,), start = struct.unpack_from("!H", data, 2), 4
        elif length == 127:
            (length,), start = struct.unpack_from("!Q", data, 2), 10
        if opcode == 8:
            return int(struct.unpack_from("!H", data, start)[0]) if length >= 2 else None
        data = data[start + length :]
    return None
