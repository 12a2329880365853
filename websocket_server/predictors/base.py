"""What every way of reaching the prediction tier is.

A module `predictors/NAME.py` offers one function, which `FACESWAP_PREDICTOR=NAME` picks:

    def connect(address: str, settings: Settings) -> Predictor

It is called once for each address of `FACESWAP_PREDICTORS` and must not block: connect at the first prediction.
Import heavy packages inside the module, which is imported only when it is picked. Deadline, retries, circuit breaker
and balancing are not a predictor's business: `predictors.balancer` does them for all; a predictor only bounds its own
waiting, by `settings.longest_predict_seconds`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from messages import JsonObject
from pictures import JPEG_MAGIC


@dataclass(frozen=True, slots=True)
class PredictionRequest:
    """One frame for the prediction tier."""

    image: bytes = field(repr=False)
    """JPEG, PNG or WebP, as the page sent it."""
    token: str = field(repr=False)
    """The session token: an instance's `session`."""
    identity: str
    options: Mapping[str, Any]
    """As the page sent them, without `identity` and `identities`."""
    track: Any = field(default=None, repr=False)
    """Opaque: what the tier answered to the session's last frame."""
    trace: str = ""
    """32 hex digits that name this frame in every log: the session's first 24, then the sequence in 8."""

    captured_us: int | None = None
    """Capture time in microseconds by the page's clock; smoothing needs the time between frames."""

    identities: Mapping[str, str] = field(default_factory=dict)
    """Number of a face → its own identity."""

    def instance(self) -> JsonObject:
        """The instance of the prediction contract, without its image."""
        identities = {"identities": dict(self.identities)} if self.identities else {}
        return {
            "session": self.token,
            "track": self.track,
            "captured_us": self.captured_us,
            "options": {**self.options, "identity": self.identity, **identities},
        }

    @property
    def traceparent(self) -> str:
        """https://www.w3.org/TR/trace-context/: what a predictor sends along where it can send headers."""
        return f"00-{self.trace}-{self.trace[-16:]}-01"


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction tier's answer to one frame."""

    image: bytes = field(repr=False)
    """JPEG; empty where the tier held the frame."""
    faces: Sequence[Any] = ()
    swapped: bool = False
    track: Any = field(default=None, repr=False)
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None
    """Why it is not swapped, where the tier says so."""


class Predictor(Protocol):
    """One prediction server. Called from several greenlets at once."""

    @property
    def name(self) -> str:
        """Its address, as logs and metrics name it; holds no credentials."""
        ...

    def predict(self, request: PredictionRequest) -> Prediction:
        """Have one frame predicted. Blocks cooperatively (gevent's sockets), and may be interrupted by
        `gevent.Timeout` at any point: what is interrupted must not be used again.

        Raises PredictionRefused where the tier finds fault with the frame or the token (4xx but 408 and 429), and
        PredictionUnavailable for everything else: unreachable, broken off, 5xx, an answer that cannot be read.
        """
        ...

    def ready(self) -> bool:
        """Whether the server could take a frame now; quick, cheap and never raising.

        A predictor that cannot ask answers True: the next frame will tell.
        """
        ...

    def close(self) -> None:
        """Close idle connections. The predictor stays usable."""
        ...


def prediction_of(metadata: Mapping[str, Any], image: bytes) -> Prediction:
    """An answer of the prediction contract, `metadata` being its JSON without the image.

    Raises ValueError or OverflowError for what is not such an answer: an unlabelled picture must not pass for one.
    `metadata` must be JSON that can be written again, as `decode_json` gives it: it goes on to the page.
    """
    faces, timings = metadata.get("faces", []), metadata.get("timings_ms", {})
    swapped, reason = metadata.get("swapped"), metadata.get("reason")
    if not isinstance(swapped, bool) or not isinstance(faces, list) or not isinstance(timings, dict):
        raise ValueError("expected faces, swapped and timings_ms in the answer")
    if image and not image.startswith(JPEG_MAGIC):
        raise ValueError("expected a JPEG")
    return Prediction(
        image=image,
        faces=faces,
        swapped=swapped,
        track=metadata.get("track"),
        timings_ms={str(stage): float(ms) for stage, ms in timings.items() if isinstance(ms, int | float)},
        reason=reason if isinstance(reason, str) else None,
    )
