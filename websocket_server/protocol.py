"""The stream contract, without I/O: bytes and texts in, typed messages out, limits as a state machine.

Nothing here reads a clock or a socket: the time is an argument, in seconds of any steady clock. The page's twin is
`protocol.js`; both sides' tests read `tests/contracts/stream`. After websockets' Sans-I/O layer:
https://websockets.readthedocs.io/en/stable/howto/sansio.html
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from errors import BadHello, BadMessage, Idle, NoHello, SessionOver, StaleSequence, TooBig, TooManyMessages
from messages import (
    DATA_URL_PREFIX,
    MAX_JSON_CHARACTERS,
    VERSION,
    Hello,
    JsonObject,
    Options,
    Renew,
    decode_data_url,
    decode_hello,
    decode_json,
    decode_text,
    encode_json,
)

HEADER = struct.Struct("<BBHIQ")
"""version u8, type u8, flags u16, sequence u32, capture time in microseconds u64; little-endian, 16 bytes."""
METADATA_LENGTH = struct.Struct("<I")
MAX_SEQUENCE = 2**32 - 1

T = TypeVar("T")


class MessageType(enum.IntEnum):
    """Second byte of a binary message."""

    FRAME = 1
    RESULT = 2


class Flag(enum.IntFlag):
    """Flags of a result; those of a frame are reserved, sent as 0 and ignored."""

    NONE = 0
    SWAPPED = 1
    HELD = 2
    DEGRADED = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture from the page."""

    sequence: int
    capture_us: int
    image: bytes
    flags: int = 0
    as_data_url: bool = False
    """It came as a data URL, and wants one back."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the relay answers to a frame. `image` is a JPEG, or empty where the frame is held."""

    sequence: int
    capture_us: int
    flags: Flag
    metadata: JsonObject
    image: bytes = b""


PageMessage: TypeAlias = Hello | Options | Renew | Frame


def encode_frame(frame: Frame) -> bytes:
    """A frame message, as the page sends it."""
    return HEADER.pack(VERSION, MessageType.FRAME, frame.flags, frame.sequence, frame.capture_us) + frame.image


def encode_result(result: Result) -> bytes:
    """A result message."""
    metadata = encode_json(result.metadata).encode()
    header = HEADER.pack(VERSION, MessageType.RESULT, result.flags, result.sequence, result.capture_us)
    return b"".join((header, METADATA_LENGTH.pack(len(metadata)), metadata, result.image))


def decode(data: bytes) -> Frame | Result:
    """One binary message. Raises BadMessage for anything that the contract does not know."""
    if len(data) < HEADER.size:
        raise BadMessage(f"Expected a header of {HEADER.size} bytes; received {len(data)} bytes.")
    version, kind, flags, sequence, capture_us = HEADER.unpack_from(data)
    if version != VERSION:
        raise BadMessage(f"Expected version {VERSION} of the stream; received {version}. Reload the page.")
    if kind == MessageType.FRAME:
        return Frame(sequence, capture_us, bytes(data[HEADER.size :]), flags)
    if kind != MessageType.RESULT:
        raise BadMessage(f"Expected message type 1 (frame) or 2 (result); received {kind}.")
    metadata, image = _decode_result_body(data)
    return Result(sequence, capture_us, Flag(flags), metadata, image)


def _decode_result_body(data: bytes) -> tuple[JsonObject, bytes]:
    start = HEADER.size + METADATA_LENGTH.size
    if len(data) < start:
        raise BadMessage("Expected the length of the metadata after the header; received less than 4 bytes.")
    (length,) = METADATA_LENGTH.unpack_from(data, HEADER.size)
    if len(data) < start + length:
        raise BadMessage(f"Expected {length} bytes of metadata; received {len(data) - start}.")
    try:
        metadata = decode_json(bytes(data[start : start + length]).decode())
    except ValueError:
        raise BadMessage("Expected metadata in JSON; received something else.") from None
    return metadata, bytes(data[start + length :])


class Mailbox(Generic[T]):
    """Room for one: a newer item replaces the one that nobody took."""

    def __init__(self) -> None:
        self._item: T | None = None
        self.dropped = 0
        """Items replaced so far."""

    def put(self, item: T) -> T | None:
        """Leave `item`; the one it replaced, if any."""
        replaced, self._item = self._item, item
        self.dropped += replaced is not None
        return replaced

    def take(self) -> T | None:
        """The newest item, once; None where there is none."""
        item, self._item = self._item, None
        return item

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return self._item is None


class CreditWindow:
    """The page's side of flow control: at most `size` frames without a result.

    A result acknowledges its own sequence and every earlier one; an older or equal result is not fresh, nor is one
    to a frame that was never sent.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._sent: list[int] = []
        self._newest_result = -1
        self._newest_sent = -1

    @property
    def in_flight(self) -> int:
        """Frames that no result has acknowledged."""
        return len(self._sent)

    @property
    def may_send(self) -> bool:
        """Whether there is credit for another frame."""
        return self.in_flight < self.size

    def send(self, sequence: int) -> None:
        """A frame goes out. Raises ValueError without credit, or for a sequence that does not increase."""
        if not self.may_send:
            raise ValueError(f"expected fewer than {self.size} frames in flight")
        if sequence <= self._newest_sent:
            raise ValueError(f"expected a sequence above {self._newest_sent}, received {sequence}")
        self._newest_sent = sequence
        self._sent.append(sequence)

    def acknowledge(self, sequence: int) -> bool:
        """A result arrives; whether it is fresh, and so may be drawn."""
        if not self._newest_result < sequence <= self._newest_sent:
            return False
        self._newest_result = sequence
        self._sent = [each for each in self._sent if each > sequence]
        return True


class RateLimit:
    """Token bucket: `rate` a second on the long run, `burst` at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self._level = burst
        self._at = 0.0

    def _refill(self, now: float) -> None:
        self._level = min(self.burst, self._level + max(0.0, now - self._at) * self.rate)
        self._at = max(self._at, now)

    def allow(self, now: float) -> bool:
        """Take one, if there is one."""
        self._refill(now)
        if self._level < 1:
            return False
        self._level -= 1
        return True

    def delay(self, now: float) -> float:
        """Seconds until there is one to take."""
        self._refill(now)
        return max(0.0, (1 - self._level) / self.rate)


class State(enum.Enum):
    """Of one stream. Only the transitions of `TRANSITIONS` are legal."""

    AWAITING_HELLO = "awaiting hello"
    CHECKING_HELLO = "checking hello"
    STREAMING = "streaming"
    CLOSED = "closed"


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.AWAITING_HELLO: frozenset({State.CHECKING_HELLO, State.CLOSED}),
    State.CHECKING_HELLO: frozenset({State.STREAMING, State.CLOSED}),
    State.STREAMING: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What a page may do. Seconds and messages a second."""

    hello_seconds: float = 5.0
    idle_seconds: float = 60.0
    messages_per_second: float = 120.0


class Stream:
    """One session's messages, in order: hello first, sequences that increase, every limit kept.

    Raises ValueError for an illegal transition, which is a fault of the relay and not of the page.
    """

    def __init__(self, limits: StreamLimits, now: float) -> None:
        self.limits = limits
        self.state = State.AWAITING_HELLO
        self.newest = -1
        """Sequence of the newest frame; -1 before the first."""
        self._opened = now
        self._heard = now
        self._ends = float("inf")
        # Two seconds' worth at once: a page that wakes from sleep sends what its browser queued.
        self._rate = RateLimit(limits.messages_per_second, 2 * limits.messages_per_second)

    def _move(self, state: State) -> None:
        if state not in TRANSITIONS[self.state]:
            raise ValueError(
                f"expected a transition from {self.state.value} to one of "
                f"{sorted(each.value for each in TRANSITIONS[self.state])}, received {state.value}"
            )
        self.state = state

    def receive(self, message: str | bytes, now: float) -> PageMessage:
        """One message from the page, decoded. Raises the errors of its kind; see `errors`."""
        if self.state is State.CLOSED:
            raise ValueError("expected no message after the end of the stream")
        self._heard = now
        if not self._rate.allow(now):
            raise TooManyMessages(f"Expected at most {self.limits.messages_per_second:g} messages a second.")
        is_json = isinstance(message, str) and not message.startswith(DATA_URL_PREFIX)
        if is_json and len(message) > MAX_JSON_CHARACTERS:
            raise TooBig(f"Expected a JSON message of at most {MAX_JSON_CHARACTERS} characters; received more.")
        if self.state is State.AWAITING_HELLO:
            if not isinstance(message, str):
                raise BadHello("Expected a hello as the first message; received a binary message.")
            hello = decode_hello(message)
            self._move(State.CHECKING_HELLO)
            return hello
        if self.state is State.CHECKING_HELLO:
            raise BadMessage("Expected nothing before the relay's ready.")
        if isinstance(message, str):
            return decode_text(message) if is_json else self._number_data_url(message)
        frame = decode(message)
        if isinstance(frame, Result):
            raise BadMessage("Expected a frame; received a result, which only the relay sends.")
        if frame.sequence <= self.newest:
            raise StaleSequence(
                f"Expected a sequence above {self.newest}; received {frame.sequence}. Number the frames upwards.",
                frame.sequence,
            )
        self.newest = frame.sequence
        return frame

    def _number_data_url(self, text: str) -> Frame:
        image = decode_data_url(text)
        self.newest = min(self.newest + 1, MAX_SEQUENCE)
        return Frame(max(self.newest, 0), 0, image, as_data_url=True)

    def accept(self, now: float, session_seconds: float) -> None:
        """The hello holds: from here on frames are taken, for `session_seconds` at most."""
        self._move(State.STREAMING)
        self._ends = now + session_seconds

    def check(self, now: float) -> None:
        """To be called about once a second. Raises NoHello, Idle or SessionOver."""
        if self.state is State.AWAITING_HELLO and now - self._opened > self.limits.hello_seconds:
            raise NoHello(f"Expected a hello within {self.limits.hello_seconds:g} s; received none.")
        if self.state is State.STREAMING:
            if now > self._ends:
                raise SessionOver("The session has lasted as long as its token allows. Start another.")
            if now - self._heard > self.limits.idle_seconds:
                raise Idle(f"Expected a message within {self.limits.idle_seconds:g} s; received none.")

    def close(self) -> None:
        """The end; nothing is received afterwards. Closing twice is closing once."""
        if self.state is not State.CLOSED:
            self._move(State.CLOSED)
