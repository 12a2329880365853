"""What the relay says to a page: results and text messages, made of what a session knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from errors import RelayError
from messages import encode_json
from predictors.base import Prediction
from protocol import Flag, Frame, Result
from settings import Settings
from tokens import SessionToken

TRACE_SESSION_DIGITS = 24


@dataclass(frozen=True, slots=True)
class Answer:
    """A frame's prediction, and what is told beside it."""

    prediction: Prediction
    identity: str
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    """The prediction service's stages, `relay.queue` and `relay.predict`."""


def held(reason: str, identity: str) -> Answer:
    """No picture: the page keeps the last swap for a while, then goes black."""
    return Answer(Prediction(image=b"", reason=reason), identity)


def trace_id(session: str, sequence: int) -> str:
    """Names one frame of one session from page to prediction and back: 32 hex digits, as W3C's trace context has it."""
    return f"{session[:TRACE_SESSION_DIGITS]}{sequence:08x}"


def result(frame: Frame, answer: Answer, session: str, degraded: bool) -> Result:
    """The result message to `frame`."""
    prediction = answer.prediction
    swapped = prediction.swapped and bool(prediction.image)
    flags = Flag.SWAPPED if swapped else Flag.NONE if prediction.image else Flag.HELD
    if degraded:
        flags |= Flag.DEGRADED
    metadata = {
        "faces": list(prediction.faces),
        "swapped": swapped,
        "timings_ms": answer.timings_ms,
        "identity": answer.identity,
        "reason": prediction.reason,
        "trace": trace_id(session, frame.sequence),
    }
    return Result(frame.sequence, frame.capture_us, flags, metadata, prediction.image)


def error(fault: RelayError, sequence: int | None = None, fatal: bool = False) -> str:
    """An `error` message."""
    return encode_json(
        {"type": "error", "code": fault.code, "message": str(fault), "sequence": sequence, "fatal": fatal}
    )


def bye(fault: RelayError) -> str:
    """The last message before a close frame."""
    return encode_json({"type": "bye", "code": fault.close_code, "reason": str(fault)})


def ready(
    token: SessionToken, identity: str, settings: Settings, pixels: int, fps: float, session_seconds: float
) -> str:
    """The answer to a hello that holds."""
    limits = {
        "message_bytes": settings.message_bytes,
        "pixels": pixels,
        "fps": fps,
        "idle_seconds": settings.idle_seconds,
        "session_seconds": round(session_seconds),
    }
    return encode_json(
        {
            "type": "ready",
            "session": token.session,
            "identity": identity,
            "window": settings.window,
            "limits": limits,
            "expires": token.expires,
        }
    )


def renewed(token: SessionToken) -> str:
    """The answer to a renewal that holds."""
    return encode_json({"type": "renewed", "expires": token.expires})


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a session is degraded. Not the error itself: its traceback holds the session, which would then wait for the
    garbage collector."""

    code: str
    reason: str


@dataclass(slots=True)
class Counts:
    """Of the time since the last `stats` message."""

    frames_in: int = 0
    frames_out: int = 0
    dropped: int = 0
    predictions: int = 0
    predict_ms: float = 0.0

    def stats(self, trouble: Trouble | None) -> str:
        """The `stats` message; `trouble`: why the session is degraded, None while it is not."""
        return encode_json(
            {
                "type": "stats",
                "frames_in": self.frames_in,
                "frames_out": self.frames_out,
                "dropped": self.dropped,
                "predict_ms": round(self.predict_ms / self.predictions, 2) if self.predictions else None,
                "state": "degraded" if trouble else "ok",
                "code": trouble.code if trouble else None,
                "reason": trouble.reason if trouble else None,
            }
        )
