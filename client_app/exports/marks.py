"""The watermark in a file, read by the prediction service (`POST /v1/marks:read`, docs/architecture.md)."""

from __future__ import annotations

from dataclasses import dataclass

import requests

from exports.errors import FileTooLarge, UnsupportedFile
from facedetect.configuration import Settings
from facedetect.errors import Unavailable
from facedetect.signing import sign_operator

PATH = "/v1/marks:read"
NO_ANSWER = "The watermark cannot be read now: the face swapping service does not answer. Try again in a moment."
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


class MarksReader:
    """Reads watermarks at one prediction server. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.prediction_url.rstrip("/") + PATH
        self._http = requests.Session()

    def read(self, data: bytes, media: str) -> Marks:
        """The marks in `data`, a whole file of type `media`.

        Raises UnsupportedFile or FileTooLarge where the service refuses the file, Unavailable where it does not answer.
        """
        headers = {"Content-Type": media, "Authorization": f"Bearer {sign_operator(self._settings)}"}
        try:
            answer = self._http.post(self._url, data, headers=headers, timeout=self._settings.prediction_seconds)
            fields = answer.json()
            if answer.status_code == 200:
                sessions = tuple(str(mark["payload"])[:SESSION_DIGITS] for mark in fields["marks"])
                return Marks(int(fields["frames"]), sessions)
            message = str(fields["error"]["message"])[:300]
        except (requests.RequestException, ValueError, KeyError, TypeError):
            raise Unavailable(NO_ANSWER) from None
        if answer.status_code == 413:
            raise FileTooLarge(message)
        if answer.status_code in (400, 415, 422):
            raise UnsupportedFile(message)
        raise Unavailable(NO_ANSWER)
