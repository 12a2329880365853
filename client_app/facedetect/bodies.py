"""Requests' bodies, received before anything is done with them: by a deadline, at a least rate, within bounded memory.

gunicorn reads a body when the application asks for it, and waits for each byte as long as it takes: a few slow peers
would hold all its threads. Here a body that does not come is given up: the request goes on without one, the visitor is
told why (`middleware.tell_refusals`), and nothing more is read from that connection.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from types import TracebackType
from typing import IO, Any

from django.utils.http import parse_header_parameters
from django.utils.translation import gettext_lazy

from facedetect.errors import BadRequest, ClientError, SlowUpload, Unavailable

GRACE_SECONDS = 5.0
"""Time that every body has, whatever its rate."""
LEAST_BYTES_PER_SECOND = 32 << 10
"""On average, beyond the grace."""
SILENCE_SECONDS = 10.0
"""Longest time for one `PIECE`, however much came before."""
LONGEST_SECONDS = 300.0
"""For the largest file: a megabit a second does."""
PROMPT_SECONDS = 1.0
"""A body that takes longer is a slow one."""
MOST_SLOW = 4
"""Slow bodies at a time, half of gunicorn's threads: those that wait for revocations (`revocations.MOST_WAITING`) take
a quarter, and the others stay for those who send at once."""
MOST_LARGEST = 4
"""Bodies of the largest size that the memory holds at a time, those that are being looked at included."""
PIECE = 16 << 10
"""Bytes after which the rate is looked at."""
UNRECEIVED = "faceswap.unreceived"
"""Where `environ` holds the ClientError of a body that was given up, or that nobody here can read."""

TOO_SLOW = gettext_lazy("The upload is too slow. Try again with a better connection, or with a smaller file.")
TOO_MANY = gettext_lazy("Too many files are being sent at the moment. Try again in a minute.")
NOT_UTF8 = gettext_lazy("Expected a request whose text is in UTF-8: leave the charset out of its Content-Type.")
BROKEN_OFF = gettext_lazy("The upload broke off. Send it again.")

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class ReceivedBodies:
    """The WSGI application around another, for which every body lies in memory.

    Args:
        application: the other.
        most_bytes: of one body. A longer one is not read, nor one without a length: the application refuses those.
    """

    def __init__(self, application: Application, most_bytes: int) -> None:
        self._application = application
        self._most_bytes = most_bytes
        self._memory = _Memory(MOST_LARGEST * most_bytes)
        self._slow = threading.BoundedSemaphore(MOST_SLOW)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not _is_utf8(environ.get("CONTENT_TYPE", "")):
            environ["CONTENT_TYPE"], environ[UNRECEIVED] = "", BadRequest(NOT_UTF8)
        length = environ.get("CONTENT_LENGTH") or "0"
        if not length.isdecimal() or int(length) > self._most_bytes or "HTTP_TRANSFER_ENCODING" in environ:
            _stop_reading(environ.get("gunicorn.socket"))
            return self._application(environ, start_response)
        body = b""
        try:
            if int(length):
                body = self._receive(environ, int(length))
        except ClientError as error:
            _stop_reading(environ.get("gunicorn.socket"))
            environ["CONTENT_LENGTH"], environ[UNRECEIVED] = "0", error
        environ["wsgi.input"] = io.BytesIO(body)
        try:
            return self._application(environ, start_response)
        finally:
            self._memory.give_back(len(body))

    def _receive(self, environ: Environ, length: int) -> bytes:
        """The whole body. Raises SlowUpload, BadRequest, and Unavailable where others take all there is."""
        stream: IO[bytes] = environ["wsgi.input"]
        peer: socket.socket | None = environ.get("gunicorn.socket")  # None: Django's own server, for one developer
        pace = None if peer is None else _Pace(peer, self._slow)
        body = bytearray()
        try:
            with pace or nullcontext():
                while len(body) < length:
                    body += self._piece(stream, min(PIECE, length - len(body)), pace)
        except BaseException:
            self._memory.give_back(len(body))
            raise
        return bytes(body)

    def _piece(self, stream: IO[bytes], count: int, pace: _Pace | None) -> bytes:
        try:
            piece = stream.read(count)
        except OSError:
            piece = b""
        if not piece:
            raise (pace and pace.given_up) or BadRequest(BROKEN_OFF)
        if not self._memory.take(len(piece)):
            raise Unavailable(TOO_MANY)
        if pace:
            pace.heard(len(piece))
        return piece


class _Pace:
    """While it is entered, a read from `peer` ends once the body is too slow.

    A read is many receives, of a byte each where the peer drips: no timeout of the socket's bounds them together. So a
    thread watches over them, and shuts the socket for reading, which ends the one that waits; an answer can be written.
    """

    def __init__(self, peer: socket.socket, slow: threading.BoundedSemaphore) -> None:
        self.given_up: ClientError | None = None
        self._peer, self._slow = peer, slow
        self._received = 0
        self._started = self._heard = time.monotonic()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="body", daemon=True)

    def __enter__(self) -> None:
        self._watcher.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._watcher.join()

    def heard(self, count: int) -> None:
        """So many bytes more have come."""
        self._received += count
        self._heard = time.monotonic()

    def _watch(self) -> None:
        if self._over.wait(PROMPT_SECONDS):
            return
        if not self._slow.acquire(blocking=False):
            self._give_up(Unavailable(TOO_MANY))
            return
        try:
            while (left := self._seconds_left()) > 0:
                if self._over.wait(left):
                    return
            self._give_up(SlowUpload(TOO_SLOW))
        finally:
            self._slow.release()

    def _seconds_left(self) -> float:
        allowed = min(GRACE_SECONDS + self._received / LEAST_BYTES_PER_SECOND, LONGEST_SECONDS)
        return min(self._started + allowed, self._heard + SILENCE_SECONDS) - time.monotonic()

    def _give_up(self, error: ClientError) -> None:
        self.given_up = error
        _stop_reading(self._peer)


class _Memory:
    """A bound on the bytes of all bodies together. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Whether so many bytes are left; then they are taken."""
        with self._lock:
            if count > self._left:
                return False
            self._left -= count
            return True

    def give_back(self, count: int) -> None:
        with self._lock:
            self._left += count


def _is_utf8(content_type: str) -> bool:
    """Whether the text of this Content-Type is in UTF-8, which it need not say.

    Django would decode it by any codec of Python that the request names: `zip` is one, and ends in a 500.
    """
    try:
        charset = parse_header_parameters(content_type)[1].get("charset", "utf-8")
    except (TypeError, ValueError):  # the first by Python's own parser, of `charset*0; charset*`
        return False
    return str(charset).lower() == "utf-8"


def _stop_reading(peer: socket.socket | None) -> None:
    """Let the rest of the request go: gunicorn would wait for what is left of a body before it looks for the next."""
    if peer is not None:
        with suppress(OSError):  # it has gone
            # Not an encrypted socket's own shutdown, which would end the answer as well.
            socket.socket.shutdown(peer, socket.SHUT_RD)
