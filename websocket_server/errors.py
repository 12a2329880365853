"""Everything that can go wrong in the relay, as one shallow tree.

    RelayError
    ├── PeerGone                   the connection is over; nobody is left to tell
    ├── NotFatal                   told to the page; the session goes on
    │   ├── StaleSequence          ├── EmptyPicture           ├── TooManyPixels
    │   ├── UnknownMessage         ├── BadOptions             ├── BadRenewal             ├── Held
    │   ├── PredictionRefused      the prediction service found fault with this frame
    │   └── PredictionUnavailable  no prediction server answered: PredictionLate, PredictionBusy
    └── Fatal                      told to the page, then the socket closes with `close_code`
        ├── GoingAway 1001         ├── BadMessage 1002        ├── BadUtf8 1007
        ├── BadToken 1008          ├── IdentityNotAllowed 1008
        ├── TooBig 1009            ├── Internal 1011          ├── Overloaded 1013
        ├── NoHello 4001           ├── Idle 4002              ├── SessionOver 4003
        ├── TooManySessions 4004   ├── TooManyMessages 4005   ├── SlowReader 4006
        └── BadHello 4007          └── Revoked 4008

A message is one sentence or two: what was expected, what was received, what to do. It never holds a token or a picture.
"""

from __future__ import annotations

import contextlib
from http import HTTPStatus


class RelayError(Exception):
    """Root of the tree.

    `code` is the word sent in an `error` message, `close_code` the WebSocket close code (None: the session goes on),
    `http_status` what the same fault is called where HTTP is still spoken.
    """

    code = "internal"
    close_code: int | None = None
    http_status = HTTPStatus.INTERNAL_SERVER_ERROR

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else self.code


class PeerGone(RelayError):
    """The page closed the connection, or it broke."""

    code = "peer_gone"


class NotFatal(RelayError):
    """Told to the page in an `error` message; the session goes on. `sequence`: of the frame it is about, if any."""

    http_status = HTTPStatus.BAD_REQUEST

    def __init__(self, message: str, sequence: int | None = None) -> None:
        super().__init__(message)
        self.sequence = sequence


class StaleSequence(NotFatal):
    """A frame that is not newer than the newest received."""

    code = "stale_sequence"


class EmptyPicture(NotFatal):
    """A frame message, or a data URL, that holds no picture."""

    code = "empty_picture"


class TooManyPixels(NotFatal):
    """A picture whose own header claims more pixels than the token allows."""

    code = "too_many_pixels"
    http_status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnknownMessage(NotFatal):
    """A JSON message of a type that the contract does not know."""

    code = "unknown_message"


class BadOptions(NotFatal):
    """Options that the contract does not know; the earlier ones stay."""

    code = "bad_options"


class BadRenewal(NotFatal):
    """A token that does not renew this session; the earlier one stays until it expires."""

    code = "bad_renewal"


class PredictionRefused(NotFatal):
    """The prediction service answered 4xx: this frame, not the server, is at fault.

    `type` is its own error type (`unreadable_picture`, …), `status` the HTTP status; one that HTTP does not know, which
    proxies have a few of, counts as 400.
    """

    def __init__(self, type: str, message: str, status: int) -> None:
        super().__init__(_in_utf8(message))
        self.code = _in_utf8(type)
        with contextlib.suppress(ValueError):
            self.http_status = HTTPStatus(status)

    @property
    def about_the_token(self) -> bool:
        """Whether it is the session, not the picture, that was refused."""
        return self.http_status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def _in_utf8(text: str) -> str:
    """`text` without halves of surrogate pairs, which JSON can carry and UTF-8 cannot."""
    return text.encode(errors="replace").decode()


class PredictionUnavailable(NotFatal):
    """No prediction server answered this frame; another frame may fare better.

    The message reaches visitors: which server it was, and where, is the operator's business and stands in the log.
    """

    code = "prediction_unavailable"
    http_status = HTTPStatus.SERVICE_UNAVAILABLE


class PredictionLate(PredictionUnavailable):
    """The server did not answer by the frame's deadline."""

    code = "prediction_late"
    http_status = HTTPStatus.GATEWAY_TIMEOUT


class PredictionBusy(PredictionUnavailable):
    """Every server has all the frames it takes at once."""

    code = "prediction_busy"


class Held(NotFatal):
    """The prediction service held a frame that came as a data URL, where no result can say so."""

    code = "held"


class Fatal(RelayError):
    """Told to the page in an `error` message; the socket then closes with `close_code`."""

    close_code: int | None = 1011


class GoingAway(Fatal):
    """The relay stops."""

    code = "going_away"
    close_code = 1001
    http_status = HTTPStatus.SERVICE_UNAVAILABLE


class BadMessage(Fatal):
    """A message that breaks RFC 6455 or the stream contract."""

    code = "bad_message"
    close_code = 1002
    http_status = HTTPStatus.BAD_REQUEST


class BadUtf8(Fatal):
    """Text that is not UTF-8."""

    code = "bad_utf8"
    close_code = 1007
    http_status = HTTPStatus.BAD_REQUEST


class BadToken(Fatal):
    """The session token is forged, expired, or for somebody else."""

    code = "bad_token"
    close_code = 1008
    http_status = HTTPStatus.UNAUTHORIZED


class IdentityNotAllowed(Fatal):
    """The token does not name this identity."""

    code = "identity_not_allowed"
    close_code = 1008
    http_status = HTTPStatus.FORBIDDEN


class TooBig(Fatal):
    """A message of more bytes, or of more fragments, than allowed."""

    code = "too_big"
    close_code = 1009
    http_status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class Internal(Fatal):
    """A fault of the relay's own."""

    code = "internal"
    close_code = 1011


class Overloaded(Fatal):
    """This relay holds all the sessions it can."""

    code = "overloaded"
    close_code = 1013
    http_status = HTTPStatus.SERVICE_UNAVAILABLE


class NoHello(Fatal):
    """No hello in time."""

    code = "no_hello"
    close_code = 4001
    http_status = HTTPStatus.REQUEST_TIMEOUT


class Idle(Fatal):
    """No message, or no sign of life, for too long."""

    code = "idle"
    close_code = 4002
    http_status = HTTPStatus.REQUEST_TIMEOUT


class SessionOver(Fatal):
    """The session has lasted as long as its token allows."""

    code = "session_over"
    close_code = 4003
    http_status = HTTPStatus.FORBIDDEN


class TooManySessions(Fatal):
    """This address has its most sessions open, or a newer session has this one's token."""

    code = "too_many_sessions"
    close_code = 4004
    http_status = HTTPStatus.TOO_MANY_REQUESTS


class TooManyMessages(Fatal):
    """Many more messages a second than a page would send."""

    code = "too_many_messages"
    close_code = 4005
    http_status = HTTPStatus.TOO_MANY_REQUESTS


class SlowReader(Fatal):
    """The page does not read what it asked for."""

    code = "slow_reader"
    close_code = 4006
    http_status = HTTPStatus.REQUEST_TIMEOUT


class BadHello(Fatal):
    """The first message is not a valid hello."""

    code = "bad_hello"
    close_code = 4007
    http_status = HTTPStatus.BAD_REQUEST


class Revoked(Fatal):
    """The identity, or the session, has been revoked."""

    code = "revoked"
    close_code = 4008
    http_status = HTTPStatus.FORBIDDEN
