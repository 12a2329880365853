"""The prediction service, asked for one picture: rawPredict of `docs/architecture.md`."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

import requests
from django.utils.translation import gettext as _

from facedetect.errors import PictureTooLarge, RefusedPicture, Unavailable
from facedetect.operator import NO_ANSWER
from facedetect.refusals import sentence_of

CONTENT_TYPE = "application/x-faceswap"
RAW_PREDICT_PATH = "/v1/projects/faceswap/locations/local/endpoints/live:rawPredict"
JSON_LENGTH = struct.Struct("<I")
MAX_ANSWER_BYTES = 32 << 20
"""App Engine's own limit of an answer."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one picture."""

    image: bytes
    """JPEG; empty where nothing may be shown."""
    fields: dict[str, Any]
    """`faces`, `swapped`, `timings_ms` and the like."""


class PredictionClient:
    """One prediction server at `address`, e.g. `http://127.0.0.1:8002`. Threads may share it."""

    def __init__(self, address: str, seconds: float) -> None:
        self._url = address.rstrip("/") + RAW_PREDICT_PATH
        self._seconds = seconds
        self._http = requests.Session()

    def swap(self, picture: bytes, instance: dict[str, Any]) -> Prediction:
        """`picture` (JPEG, PNG or WebP) with the face that `instance` asks for.

        Raises RefusedPicture or PictureTooLarge where the service says why, Unavailable where it does not answer.
        """
        head = json.dumps(instance).encode()
        body = b"".join((JSON_LENGTH.pack(len(head)), head, picture))
        try:
            answer = self._http.post(
                self._url, body, headers={"Content-Type": CONTENT_TYPE, "Accept": CONTENT_TYPE}, timeout=self._seconds
            )
        except requests.RequestException:
            raise Unavailable(NO_ANSWER) from None
        if answer.status_code != 200:
            raise _refusal(answer)
        return _read(answer.content)


def _read(body: bytes) -> Prediction:
    try:
        (length,) = JSON_LENGTH.unpack_from(body)
        start = JSON_LENGTH.size + length
        if not start <= len(body) <= MAX_ANSWER_BYTES:
            raise ValueError("the answer's length")
        fields = json.loads(body[JSON_LENGTH.size : start])
        if not isinstance(fields, dict):
            raise ValueError("expected an object")
    except (struct.error, ValueError):
        raise Unavailable(_("The face swapping service gave an answer that cannot be read.")) from None
    return Prediction(body[start:], fields)


def _refusal(answer: requests.Response) -> RefusedPicture | PictureTooLarge | Unavailable:
    try:
        error = answer.json()["error"]
        message = sentence_of(str(error.get("type", "")), str(error["message"])[:300])
    except (ValueError, KeyError, TypeError, AttributeError):
        message = _("This picture cannot be used. Choose a JPEG, PNG or WebP photo.")
    if answer.status_code == 413:
        return PictureTooLarge(message)
    if 400 <= answer.status_code < 500 and answer.status_code not in (401, 403, 408, 429):
        return RefusedPicture(message)
    return Unavailable(NO_ANSWER)
