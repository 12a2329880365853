"""The prediction service over HTTP, at the routes of AI Platform and Vertex AI, so that Google's own clients drive
it unchanged.

A plain WSGI application: a frame costs one regular expression and two copies here. Any class with `from_path` and
`predict` is served (`--class module:Class`); one that has `predict_frame` gets pictures without base64.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import re
import struct
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client import multiprocess as prometheus_multiprocess

from prediction_model.errors import BadInstance, InstanceFailed, PredictionError, RequestTooLarge, UnreadablePicture
from prediction_model.types import JsonObject

LOG = logging.getLogger(__name__)

FRAME = "application/x-faceswap"
JSON = "application/json; charset=utf-8"
JPEG = "image/jpeg"
MAX_REQUEST_BYTES = 24 << 20
MAX_JSON_BYTES = 1 << 20
"""Of the instance before a frame's picture."""
LENGTH = struct.Struct("<I")
RESERVED_PARAMETERS = {"self", "instances"}
"""Names of `predict`'s own arguments."""

PREDICT = re.compile(r"/v1/projects/[^/]+/(?:models/[^/]+(?:/versions/[^/]+)?|locations/[^/]+/endpoints/[^/]+):predict")
RAW_PREDICT = re.compile(r"/v1/projects/[^/]+/locations/[^/]+/endpoints/[^/]+:rawPredict")

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Reply = tuple[int, str, bytes]
"""HTTP status, content type, body."""

REASONS = {status.value: status.phrase for status in HTTPStatus}


class Model(Protocol):
    """What can be served."""

    def predict(self, instances: list[Any], **kwargs: Any) -> list[Any]: ...


class Studio(Protocol):
    """The studio calls (`serving.studio`), where the model has them."""

    def route(self, method: str, path: str) -> str | None: ...

    def answer(
        self, method: str, path: str, content_type: str, authorization: str, read: Callable[[int], bytes]
    ) -> Reply: ...


class _Metrics:
    """Counts and times of this process, summed over workers where `PROMETHEUS_MULTIPROC_DIR` is set."""

    def __init__(self) -> None:
        # Not the global registry: several applications may live in one process, in tests.
        self.registry = CollectorRegistry()
        self.requests = Counter("faceswap_prediction_requests", "Requests", ["route", "status"], registry=self.registry)
        self.seconds = Histogram(
            "faceswap_prediction_seconds",
            "Time in the service",
            ["route"],
            buckets=(0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 5),
            registry=self.registry,
        )
        self.stages = Histogram(
            "faceswap_prediction_stage_seconds",
            "Time of a frame by stage",
            ["stage"],
            buckets=(0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.1),
            registry=self.registry,
        )

    def page(self) -> bytes:
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            prometheus_multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return bytes(generate_latest(registry))
        return bytes(generate_latest(self.registry))


class PredictionApp:
    """The WSGI application around one model."""

    def __init__(self, model: Model, studio: Studio | None = None) -> None:
        self._model = model
        self._studio = studio
        self._metrics = _Metrics()
        self._frame = getattr(model, "predict_frame", None)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        started = time.perf_counter()
        route, (status, content_type, body) = self._answer(environ)
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(time.perf_counter() - started)
        headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
        if status == 413:
            # What was not read of the request must not be taken for the next one.
            headers.append(("Connection", "close"))
        start_response(f"{status} {REASONS.get(status, 'Error')}", headers)
        return [body]

    def _answer(self, environ: Environ) -> tuple[str, Reply]:
        """The route's name, and the reply."""
        path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
        route = "other"
        try:
            if path in ("/healthz", "/readyz", "/metrics"):
                return path[1:], self._look(path)
            for route, pattern, answer in (
                ("predict", PREDICT, self._predict),
                ("rawPredict", RAW_PREDICT, self._raw_predict),
            ):
                if pattern.fullmatch(path):
                    if method != "POST":
                        return route, _error(405, "UNIMPLEMENTED", "method", f"Expected POST; received {method}.")
                    return route, answer(environ)
            called = self._studio.route(method, path) if self._studio else None
            if self._studio and called:
                route = called
                return route, self._studio_call(self._studio, environ)
            route = "other"
            return route, _error(404, "NOT_FOUND", "route", "There is no such route; docs/architecture.md lists them.")
        except PredictionError as error:
            return route, _error(error.status, error.canonical, error.type, str(error))
        except Exception:
            LOG.exception("a request was not answered")
            return route, _error(500, "INTERNAL", "internal", "The service failed on this request: send the next one.")

    def _look(self, path: str) -> Reply:
        if path == "/metrics":
            return 200, "text/plain; version=0.0.4; charset=utf-8", self._metrics.page()
        return 200, JSON, b'{"status": "ok"}'

    def _predict(self, environ: Environ) -> Reply:
        try:
            body = json.loads(_read(environ))
        except (ValueError, RecursionError):
            raise BadInstance('Expected a JSON object with "instances"; this is not JSON.') from None
        if not isinstance(body, dict) or not isinstance(body.get("instances"), list):
            raise BadInstance('Expected a JSON object with a list "instances"; there is none.')
        parameters = body.get("parameters")
        if not isinstance(parameters, dict):
            parameters = {}
        if not RESERVED_PARAMETERS.isdisjoint(parameters):
            raise BadInstance(f"`parameters` cannot be named {' or '.join(sorted(RESERVED_PARAMETERS))}.")
        predictions = self._model.predict(body["instances"], **parameters)
        return 200, JSON, json.dumps({"predictions": predictions}, separators=(",", ":")).encode()

    def _raw_predict(self, environ: Environ) -> Reply:
        content_type = _content_type(environ)
        if content_type == "application/json":
            return self._predict(environ)
        body = _read(environ)
        if content_type == FRAME:
            instance, picture = split_frame(body)
            jpeg, answer = self._one(picture, instance)
            return 200, FRAME, join_frame(answer, jpeg or b"")
        if content_type in (JPEG, "image/png", "image/webp", "application/octet-stream"):
            jpeg, _ = self._one(body, {})
            return 200, JPEG, jpeg or b""
        raise BadInstance(f"Expected {FRAME}, {JPEG} or application/json; received {content_type[:64]!r}.")

    def _studio_call(self, studio: Studio, environ: Environ) -> Reply:
        content_type, authorization = _content_type(environ), environ.get("HTTP_AUTHORIZATION", "")
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        return studio.answer(method, path, content_type, authorization, lambda most: _read(environ, most))

    def _one(self, picture: bytes, instance: JsonObject) -> tuple[bytes | None, JsonObject]:
        if not picture:
            raise UnreadablePicture("Expected a picture after the instance; received nothing.")
        if self._frame is not None:
            jpeg, answer = self._frame(picture, instance)
        else:
            jpeg, answer = _over_base64(self._model, picture, instance)
        for stage, ms in (answer.get("timings_ms") or {}).items():
            self._metrics.stages.labels(stage).observe(ms / 1e3)
        return jpeg, answer


def split_frame(body: bytes) -> tuple[JsonObject, bytes]:
    """An `application/x-faceswap` body: the instance, and the picture's bytes. Raises BadInstance."""
    if len(body) < LENGTH.size:
        raise BadInstance("Expected a u32 length, that much JSON, then the picture; the length is cut off.")
    (length,) = LENGTH.unpack_from(body)
    if length > min(len(body) - LENGTH.size, MAX_JSON_BYTES):
        raise BadInstance(
            f"Expected {length} bytes of JSON before the picture; the body has {len(body) - LENGTH.size}."
        )
    try:
        instance = json.loads(body[LENGTH.size : LENGTH.size + length])
    except (ValueError, RecursionError):
        instance = None
    if not isinstance(instance, dict):
        raise BadInstance("Expected the instance to be a JSON object; this is not.")
    return instance, body[LENGTH.size + length :]


def join_frame(answer: JsonObject, picture: bytes) -> bytes:
    """The body that `split_frame` takes apart."""
    head = json.dumps(answer, separators=(",", ":")).encode()
    return b"".join((LENGTH.pack(len(head)), head, picture))


def _over_base64(model: Model, picture: bytes, instance: JsonObject) -> tuple[bytes | None, JsonObject]:
    """One frame through a class that knows JSON instances only. Raises InstanceFailed."""
    answer = model.predict([{**instance, "image": {"b64": base64.b64encode(picture).decode()}}])[0]
    if isinstance(answer, dict) and "error" in answer:
        raise InstanceFailed(answer["error"])
    image = answer.pop("image", None) if isinstance(answer, dict) else answer
    text = image.get("b64") if isinstance(image, dict) else image
    try:
        jpeg = base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        jpeg = None
    return jpeg, answer if isinstance(answer, dict) else {}


def _content_type(environ: Environ) -> str:
    return str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()


def _read(environ: Environ, most: int = MAX_REQUEST_BYTES) -> bytes:
    """The request's body, bounded."""
    length = environ.get("CONTENT_LENGTH", "")
    if not length.isdecimal():
        raise BadInstance("Expected a Content-Length; chunked bodies are not read.")
    if int(length) > most:
        raise RequestTooLarge(f"Expected at most {most >> 20} MiB; received {int(length) >> 20} MiB.")
    return bytes(environ["wsgi.input"].read(int(length)))


def _error(status: int, canonical: str, kind: str, message: str) -> Reply:
    error = {"error": {"code": status, "status": canonical, "type": kind, "message": message}}
    return status, JSON, json.dumps(error).encode()
