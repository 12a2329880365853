"""The studio calls over HTTP, for client_app alone: inspect faces, read marks, enrol, train, delete.

Each needs an operator's token in `Authorization: Bearer`. Bodies are raw bytes, bounded, read in memory and not kept.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable
from dataclasses import asdict

from prediction_model.errors import BadInstance, BadToken, PredictionError
from prediction_model.faces.eyes import EyeLids
from prediction_model.identities.package import IDENTITY_ID
from prediction_model.picture import read_picture
from prediction_model.prediction import ModelPrediction
from prediction_model.serving.http import FRAME, JSON, Reply, split_frame
from prediction_model.settings import ROOT
from prediction_model.studio.enrolment import Enrolment
from prediction_model.studio.inspection import inspect_faces
from prediction_model.studio.marks import marks_of_film, marks_of_picture
from prediction_model.studio.trainings import Trainings
from prediction_model.types import JsonObject

PICTURE_BYTES = 12 << 20
FILE_BYTES = 32 << 20
JSON_BYTES = 64 << 10
FILM = "video/mp4"
BEARER = "Bearer "

INSPECT, MARKS, TRAININGS = "/v1/faces:inspect", "/v1/marks:read", "/v1/trainings"
IDENTITY = re.compile(r"/v1/identities/([^/]{1,64})")
TRAINING = re.compile(r"/v1/trainings/([^/]{1,64})")
PREVIEW = re.compile(r"/v1/trainings/([^/]{1,64})/preview")

Read = Callable[[int], bytes]
"""Reads the request's body; raises RequestTooLarge beyond that many bytes."""


class StudioCalls:
    """Answers the studio calls around one model."""

    def __init__(self, model: ModelPrediction) -> None:
        self._model = model
        self._local = threading.local()
        settings = model.settings
        place = settings.identity_store
        self._enrolment = Enrolment(
            place if "://" in place else str(ROOT / place),
            model.gallery,
            model.identities,
            model.tokens,
            model.store_key,
        )
        self._trainings = Trainings(ROOT / settings.trainings, self._enrolment, settings.training_seconds)

    def route(self, method: str, path: str) -> str | None:
        """The call's name; None where it is none of these."""
        for name, known, pattern in (
            ("faces:inspect", ("POST",), INSPECT),
            ("marks:read", ("POST",), MARKS),
            ("trainings", ("GET", "POST"), TRAININGS),
            ("trainings", ("GET", "DELETE"), TRAINING),
            ("trainings", ("GET",), PREVIEW),
            ("identities", ("PUT", "DELETE"), IDENTITY),
        ):
            if method in known and (path == pattern if isinstance(pattern, str) else pattern.fullmatch(path)):
                return name
        return None

    def answer(self, method: str, path: str, content_type: str, authorization: str, read: Read) -> Reply:
        """Answer one call that `route` knows.

        Raises:
            PredictionError: as in docs/architecture.md; BadToken without an operator's token, before the body is read.
        """
        if not authorization.startswith(BEARER):
            raise BadToken("Expected an operator's token in `Authorization: Bearer`.")
        self._model.tokens.operator(authorization.removeprefix(BEARER))
        if path == INSPECT:
            return _json(self._inspect(read(PICTURE_BYTES)))
        if path == MARKS:
            return _json(self._marks(read(FILE_BYTES), content_type))
        if path == TRAININGS:
            return _json(self._can_train()) if method == "GET" else _json(self._train(read(JSON_BYTES)), 202)
        if preview := PREVIEW.fullmatch(path):
            return _json({"b64": base64.b64encode(self._trainings.preview(preview[1])).decode()})
        name = path.rsplit("/", 1)[-1]
        if TRAINING.fullmatch(path):
            if method == "GET":
                return _json(self._trainings.get(name))
            self._trainings.cancel(name)
            return 204, JSON, b""
        if method == "PUT":
            return _json(self._enrol(name, read(PICTURE_BYTES), content_type), 201)
        # The trainings first: one that ends now must not bring the package back.
        self._trainings.forget(name)
        self._enrolment.remove(name)
        return 204, JSON, b""

    def _inspect(self, data: bytes) -> JsonObject:
        picture = read_picture(data, self._model.settings.max_pixels)
        height, width = picture.shape[:2]
        faces = inspect_faces(picture, self._model.pipeline.finder, self._eye_lids())
        return {"width": width, "height": height, "faces": [face.json() for face in faces]}

    def _eye_lids(self) -> EyeLids:
        """This thread's own."""
        if not hasattr(self._local, "lids"):
            self._local.lids = EyeLids()
        lids: EyeLids = self._local.lids
        return lids

    def _marks(self, data: bytes, content_type: str) -> JsonObject:
        settings = self._model.settings
        if content_type == FILM:
            return marks_of_film(data, settings.watermark_key_bytes, settings.max_pixels)
        return marks_of_picture(read_picture(data, settings.max_pixels), settings.watermark_key_bytes)

    def _enrol(self, identity: str, body: bytes, content_type: str) -> JsonObject:
        if content_type != FRAME:
            raise BadInstance(f"Expected {FRAME}; received {content_type[:64]!r}.")
        card, portrait = split_frame(body)
        picture = read_picture(portrait, self._model.settings.max_pixels)
        made = self._enrolment.add(identity, card, picture, self._model.pipeline.finder)
        return {"id": made.id, "engine": made.engine, "engines": list(made.engines), "consent_hash": made.consent_hash}

    def _can_train(self) -> JsonObject:
        try:
            self._trainings.check()
        except PredictionError as error:
            return {"available": False, "type": error.type, "reason": str(error)}
        return {"available": True, "type": None, "reason": None}

    def _train(self, body: bytes) -> JsonObject:
        try:
            identity = json.loads(body)["identity"]
        except (ValueError, TypeError, KeyError, RecursionError):
            identity = None
        if not isinstance(identity, str) or not IDENTITY_ID.fullmatch(identity):
            raise BadInstance('Expected {"identity": ID}, the id of an enrolled identity.')
        training = asdict(self._trainings.start(self._model.identities.get(identity)))
        return {name: training[name] for name in ("training", "state")}


def _json(answer: JsonObject, status: int = 200) -> Reply:
    return status, JSON, json.dumps(answer, separators=(",", ":"), allow_nan=False).encode()
