"""One WebSocket, server side: RFC 6455 over a gevent socket, with a bound on everything a peer can do.

gevent-websocket's own `WebSocket` unmasks in Python, takes messages of any size and unmasked frames, sends no close
codes and lets two greenlets write at once. This class stands in its place (see `sockets`): same constructor, own
reading and writing. Section numbers are those of https://www.rfc-editor.org/rfc/rfc6455.
"""

from __future__ import annotations

import enum
import logging
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from socket import SHUT_RDWR, SHUT_WR, SO_LINGER, SO_SNDBUF, SOL_SOCKET
from time import monotonic
from typing import Any

import gevent
from gevent.lock import RLock

from errors import BadMessage, BadUtf8, Idle, PeerGone, SlowReader, TooBig, TooManyMessages
from protocol import RateLimit

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiler's wheel for this platform: ten times as slow, still a hundred times the stock loop

    def apply_mask(data: bytes | bytearray | memoryview, mask: bytes | bytearray) -> bytes:
        key = (bytes(mask) * (len(data) // 4 + 1))[: len(data)]
        return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(len(data), "little")


log = logging.getLogger("relay")

MAX_CONTROL_BYTES = 125
"""5.5: a control frame's payload."""
MEAN_FRAGMENT_BYTES = 64
"""A message may come in as many fragments as it would have at this size: one-byte fragments cost CPU, not memory."""
CONTROL_FRAMES_PER_SECOND = 20.0
CONTROL_FRAMES_AT_ONCE = 100.0
FRAGMENTS_PER_SECOND = 1000.0
"""On the long run; at once, as many as one message may have. A browser sends a large frame in a dozen."""
FRAMES_PER_TURN = 4
"""gevent never leaves a greenlet whose socket always has data: after this many frames the others get a turn."""
SEND_BUFFER_BYTES = 256 * 1024
"""What the kernel may hold for a page that does not read (it doubles this); autotuning would go to megabytes."""
DISCARD_BYTES = 64 * 1024


class Opcode(enum.IntEnum):
    """5.2"""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class ConnectionState(enum.Enum):
    """Of the closing handshake, seen from here."""

    OPEN = "open"
    CLOSING = "closing"
    """A close frame has been sent."""
    CLOSED = "closed"
    """Nothing more can be sent or received."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of one connection. Seconds and bytes."""

    message_bytes: int = 1 << 20
    ping_seconds: float = 10.0
    """Silence after which a ping is due."""
    dead_seconds: float = 25.0
    """Time without one complete frame after which the peer is dead, or plays dead a byte at a time."""
    slow_reader_seconds: float = 10.0
    """Longest time that one message may take to be sent."""
    close_seconds: float = 2.0
    """Longest time for the closing handshake."""

    @property
    def fragments(self) -> int:
        """Most fragments of one message."""
        return max(64, self.message_bytes // MEAN_FRAGMENT_BYTES)


def is_close_code(code: int) -> bool:
    """7.4: whether a peer may send `code`."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


class Connection:
    """A WebSocket after the upgrade. One greenlet receives; any may send, one at a time."""

    def __init__(self, environ: dict[str, Any], stream: Any, handler: Any) -> None:
        self.environ = environ
        self.limits: ConnectionLimits = environ["faceswap.connection_limits"]
        self.state = ConnectionState.OPEN
        self._socket = handler.socket
        self._socket.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES)
        self._read = stream.read
        self._writer = RLock()
        self._torn = False
        self._heard = self._pinged = monotonic()
        self._writing_since: float | None = None
        self._frames = 0
        self._control = RateLimit(CONTROL_FRAMES_PER_SECOND, CONTROL_FRAMES_AT_ONCE)
        self._fragments = RateLimit(FRAGMENTS_PER_SECOND, self.limits.fragments)

    @property
    def closed(self) -> bool:
        """Whether the handler has nothing left to close."""
        return self.state is not ConnectionState.OPEN

    def receive(self) -> str | bytes:
        """The next message. Raises PeerGone at the end, and BadMessage, BadUtf8, TooBig or TooManyMessages."""
        kind: int | None = None
        parts: list[bytes] = []
        size = 0
        while True:
            final, opcode, payload = self._receive_frame(size)
            if opcode >= Opcode.CLOSE:
                self._receive_control(opcode, payload)
                continue
            if (opcode == Opcode.CONTINUATION) != (kind is not None):
                raise BadMessage("Expected fragments of one message at a time (5.4); received them out of order.")
            kind = opcode if kind is None else kind
            size += len(payload)
            parts.append(payload)
            if len(parts) > self.limits.fragments:
                raise TooBig(f"Expected at most {self.limits.fragments} fragments of a message; received more.")
            if not final and not self._fragments.allow(self._heard):
                raise TooManyMessages(f"Expected at most {FRAGMENTS_PER_SECOND:g} fragments a second.")
            if final:
                message = parts[0] if len(parts) == 1 else b"".join(parts)
                return _decode_utf8(message) if kind == Opcode.TEXT else message

    def _receive_frame(self, size: int) -> tuple[bool, int, bytes]:
        """One frame: whether it is the last of its message, opcode, payload. `size`: bytes of the message so far."""
        self._frames += 1
        if self._frames % FRAMES_PER_TURN == 0:
            gevent.sleep(0)
        first, second = self._read_exactly(2)
        final, opcode, length = bool(first & 0x80), first & 0x0F, second & 0x7F
        if first & 0x70:
            raise BadMessage("Expected reserved bits to be 0: no extension was agreed on (5.2).")
        if opcode not in Opcode._value2member_map_:
            raise BadMessage(f"Expected an opcode of RFC 6455 (5.2); received {opcode}.")
        if not second & 0x80:
            raise BadMessage("Expected masked frames from a client (5.1); received one without a mask.")
        if opcode >= Opcode.CLOSE and (length > MAX_CONTROL_BYTES or not final):
            raise BadMessage(f"Expected control frames whole and of at most {MAX_CONTROL_BYTES} bytes (5.5).")
        if length == 126:
            length, mask = struct.unpack("!H4s", self._read_exactly(6))
        elif length == 127:
            length, mask = struct.unpack("!Q4s", self._read_exactly(12))
        else:
            mask = self._read_exactly(4)
        if opcode < Opcode.CLOSE and size + length > self.limits.message_bytes:
            raise TooBig(f"Expected a message of at most {self.limits.message_bytes} bytes; received more.")
        payload = apply_mask(self._read_exactly(length), mask) if length else b""
        self._heard = monotonic()
        return final, opcode, payload

    def _read_exactly(self, count: int) -> bytes:
        try:
            data: bytes = self._read(count)
        except (OSError, ValueError):  # ValueError: the handler has closed the file
            data = b""
        if len(data) != count:
            self.state = ConnectionState.CLOSED
            raise PeerGone("The connection ended without a closing handshake.")
        return data

    def _receive_control(self, opcode: int, payload: bytes) -> None:
        if not self._control.allow(self._heard):
            raise TooManyMessages(f"Expected at most {CONTROL_FRAMES_PER_SECOND:g} control frames a second.")
        if opcode == Opcode.PING:
            self._send(Opcode.PONG, payload)
        elif opcode == Opcode.CLOSE:
            code = _decode_close(payload)
            # 7.4.1: 1005 stands for a close frame without a code, and is never itself sent.
            self.close(code)
            raise PeerGone("The page closed the connection.")

    def send(self, message: str | bytes) -> None:
        """Send one message, waiting for the page to read. Raises PeerGone once the connection is closing."""
        if isinstance(message, str):
            self._send(Opcode.TEXT, message.encode())
        else:
            self._send(Opcode.BINARY, message)

    def send_if_free(self, message: str) -> bool:
        """Send a text unless another message is being sent: what is told every second need not queue."""
        if self._writing_since is not None:
            return False
        self.send(message)
        return True

    def _send(self, opcode: Opcode, payload: bytes) -> None:
        with self._writer:
            if self.state is not ConnectionState.OPEN:
                raise PeerGone("The connection is closing.")
            self._write(opcode, payload)

    def _write(self, opcode: Opcode, payload: bytes) -> None:
        """Caller holds `_writer`."""
        length = len(payload)
        if length < 126:
            header = struct.pack("!BB", 0x80 | opcode, length)
        elif length < 1 << 16:
            header = struct.pack("!BBH", 0x80 | opcode, 126, length)
        else:
            header = struct.pack("!BBQ", 0x80 | opcode, 127, length)
        self._writing_since = monotonic()
        try:
            message = header + payload
            # Mostly all of it goes at once; sendall alone would ask the kernel for its buffer's size every time.
            sent = self._socket.send(message)
            if sent < len(message):
                self._socket.sendall(memoryview(message)[sent:])
        except OSError:
            self.state = ConnectionState.CLOSED
            raise PeerGone("The connection broke while a message was sent.") from None
        except BaseException:  # killed in the middle: what follows would be read as the rest of this frame
            self._torn = True
            raise
        finally:
            self._writing_since = None

    def check(self, now: float) -> None:
        """To be called about once a second: sends a ping when one is due.

        Raises Idle for a peer that gives no sign of life, SlowReader for one that does not read.
        """
        if self._writing_since is not None:
            if now - self._writing_since > self.limits.slow_reader_seconds:
                raise SlowReader(
                    f"Expected a message to be read within {self.limits.slow_reader_seconds:g} s. Ask for less."
                )
            return
        if now - self._heard > self.limits.dead_seconds:
            raise Idle(f"Expected a sign of life within {self.limits.dead_seconds:g} s; received no whole frame.")
        if now - max(self._heard, self._pinged) > self.limits.ping_seconds:
            self._pinged = now
            self._send(Opcode.PING, b"")

    def close(self, code: int | None = 1000, reason: str = "", farewells: Sequence[str] = ()) -> None:
        """Send `farewells` (text messages) and a close frame, once, after what is being sent.

        Waits at most `close_seconds` for the page to take them; after that the connection is aborted.
        """
        if self.state is not ConnectionState.OPEN:
            return
        body = b"" if code is None else struct.pack("!H", code) + _shorten(reason, MAX_CONTROL_BYTES - 2)
        try:
            with gevent.Timeout(self.limits.close_seconds), self._writer:
                # Whoever waited for the lock meanwhile may have closed it.
                if self.state is not ConnectionState.OPEN or self._torn:
                    return
                for farewell in farewells:
                    self._write(Opcode.TEXT, farewell.encode())
                self.state = ConnectionState.CLOSING
                self._write(Opcode.CLOSE, body)
        except (gevent.Timeout, PeerGone):
            self.abort()

    def finish(self) -> None:
        """After `close`: wait for the peer to close too, at most `close_seconds`, and throw away what it still sends.

        Closing a TCP connection with unread data resets it, and the peer may lose the close frame to the reset.
        """
        if self.state is ConnectionState.OPEN:
            self.abort()
        if self.state is ConnectionState.CLOSED:
            return
        try:
            with gevent.Timeout(self.limits.close_seconds):
                self._socket.shutdown(SHUT_WR)
                while self._socket.recv(DISCARD_BYTES):
                    gevent.sleep(0)
        except (gevent.Timeout, OSError):
            self.abort()
        self.state = ConnectionState.CLOSED

    def abort(self) -> None:
        """Reset the connection: whoever waits on it wakes up, and the kernel keeps nothing for the peer."""
        self.state = ConnectionState.CLOSED
        try:
            self._socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.shutdown(SHUT_RDWR)
        except OSError as error:
            log.debug("abort: %s", error)


def _decode_utf8(message: bytes) -> str:
    try:
        return message.decode()
    except UnicodeDecodeError:
        raise BadUtf8("Expected text in UTF-8 (8.1); received other bytes.") from None


def _decode_close(payload: bytes) -> int | None:
    """7.1.5: the code of a close frame; None where there is none."""
    if not payload:
        return None
    if len(payload) == 1:
        raise BadMessage("Expected a close frame to hold a code of 2 bytes (5.5.1); received 1 byte.")
    code: int = struct.unpack("!H", payload[:2])[0]
    if not is_close_code(code):
        raise BadMessage(f"Expected a close code that may be sent (7.4); received {code}.")
    _decode_utf8(payload[2:])
    return code


def _shorten(text: str, most: int) -> bytes:
    """`text` in UTF-8, cut to `most` bytes between characters."""
    return text.encode()[:most].decode(errors="ignore").encode()
