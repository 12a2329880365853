"""The watermark in a file, read by the prediction service (`POST /v1/marks:read`, docs/architecture.md)."""

from __future__ import annotations

from dataclasses import dataclass

from facedetect.errors import FileTooLarge, Unavailable, UnsupportedFile
from facedetect.operator import NO_ANSWER, Operator, Refusal

PATH = "/v1/marks:read"
SESSION_DIGITS = 8
"""Hex digits of a session's id that the watermark carries."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What was read of a file's watermark."""

    frames: int
    """Frames looked at: 1 of a picture."""
    sessions: tuple[str, ...]
    """First 8 hex digits of the sessions that were read, the most frequent first."""

    def belong_to(self, session: str) -> bool:
        """Whether the file carries the mark of `session` (its whole id) and of no other."""
        return self.sessions == (session[:SESSION_DIGITS],)


def read_marks(operator: Operator, data: bytes, media: str) -> Marks:
    """The marks in `data`, a whole file of type `media`.

    Raises UnsupportedFile or FileTooLarge where the service refuses the file, Unavailable where it does not answer.
    """
    try:
        fields = operator.call("POST", PATH, data, media)
        return Marks(int(fields["frames"]), tuple(str(mark["payload"])[:SESSION_DIGITS] for mark in fields["marks"]))
    except Refusal as refusal:
        raise (FileTooLarge if refusal.status == 413 else UnsupportedFile)(str(refusal)) from None
    except (KeyError, TypeError, ValueError):
        raise Unavailable(NO_ANSWER) from None
