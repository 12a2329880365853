"""The prediction service's studio calls (docs/architecture.md), with an operator's token for each."""

from __future__ import annotations

from typing import Any

import requests
from django.utils.translation import gettext_lazy

from facedetect.configuration import Settings
from facedetect.errors import Unavailable
from facedetect.refusals import sentence_of
from facedetect.signing import sign_operator

NO_ANSWER = gettext_lazy("The face swapping service does not answer. Try again in a moment.")
MAX_MESSAGE = 300
TOLD = {"extra_missing", "face_model_missing", "store_key_missing", "too_many_trainings"}
"""Error types of a service that answers and lacks something: the sentence says what, and what to do."""


class Refusal(Exception):
    """The service answered 4xx: the sentence for the visitor, its status and error type."""

    def __init__(self, message: str, status: int, type: str) -> None:
        super().__init__(message)
        self.status = status
        self.type = type


class Operator:
    """Makes studio calls at one prediction server. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._address = settings.prediction_url.rstrip("/")
        self._http = requests.Session()

    def call(self, method: str, path: str, body: bytes = b"", media: str = "application/json") -> dict[str, Any]:
        """The answer's JSON object; empty for 204.

        Raises Refusal for what the service cannot use, Unavailable where it lacks something (the sentence says what),
        does not answer or does not know us.
        """
        headers = {"Content-Type": media, "Authorization": f"Bearer {sign_operator(self._settings)}"}
        seconds = self._settings.prediction_seconds
        try:
            answer = self._http.request(method, self._address + path, data=body, headers=headers, timeout=seconds)
            if answer.status_code == 204:
                return {}
            fields = answer.json()
            if answer.ok:
                return dict(fields)
            error = fields["error"]
            type_ = str(error.get("type", ""))
            message = sentence_of(type_, str(error["message"])[:MAX_MESSAGE])
        except (requests.RequestException, ValueError, KeyError, TypeError):
            raise Unavailable(NO_ANSWER) from None
        if type_ in TOLD:
            raise Unavailable(message)
        if answer.status_code >= 500 or answer.status_code in (401, 403, 408, 429):
            raise Unavailable(NO_ANSWER)
        raise Refusal(message, answer.status_code, type_)
