"""The prediction service over plain HTTP: rawPredict with `application/x-faceswap`, on connections kept alive."""

from __future__ import annotations

import json
import ssl
import struct
from typing import Any
from urllib.parse import urlsplit

from errors import PredictionRefused, PredictionUnavailable
from predictors.base import Prediction, PredictionRequest, prediction_of
from predictors.http1 import Answer, BadAnswer, HttpConnection, head
from settings import Settings

CONTENT_TYPE = "application/x-faceswap"
RAW_PREDICT_PATH = "/v1/projects/faceswap/locations/local/endpoints/live:rawPredict"
READY_PATH = "/readyz"
JSON_LENGTH = struct.Struct("<I")
MAX_IDLE_CONNECTIONS = 64
READY_SECONDS = 1.0
MAX_MESSAGE_CHARACTERS = 300
RETRYABLE_REFUSALS = (408, 429)


class HttpPredictor:
    """One prediction server at `address`, e.g. `http://127.0.0.1:8002`."""

    def __init__(self, address: str, seconds: float) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SystemExit(
                f"FACESWAP_PREDICTORS: expected addresses like http://127.0.0.1:8002, received {address!r}."
            )
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host, self._port = parts.hostname, parts.port or (443 if self._tls else 80)
        self._authority = parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"
        self.name = f"{parts.scheme}://{self._authority}"
        self._path = parts.path.rstrip("/")
        self._seconds = seconds
        # The newest connection is taken first: the others fall idle, and are closed by the server.
        self._idle: list[HttpConnection] = []

    def predict(self, request: PredictionRequest) -> Prediction:
        """See `Predictor.predict`."""
        instance = json.dumps(request.instance(), separators=(",", ":")).encode()
        body = (JSON_LENGTH.pack(len(instance)), instance, request.image)
        headers = {
            "Content-Type": CONTENT_TYPE,
            "Accept": CONTENT_TYPE,
            "Content-Length": str(sum(map(len, body))),
            "traceparent": request.traceparent,
        }
        request_head = head("POST", self._path + RAW_PREDICT_PATH, self._authority, headers)
        answer = self._post(b"".join((request_head, *body)))
        if answer.status != 200:
            raise _refusal(answer.status, answer.body)
        try:
            if answer.content_type != CONTENT_TYPE:
                raise ValueError(f"expected {CONTENT_TYPE}")
            (length,) = JSON_LENGTH.unpack_from(answer.body)
            start = JSON_LENGTH.size + length
            if start > len(answer.body):
                raise ValueError("the answer is shorter than it says")
            return prediction_of(json.loads(answer.body[JSON_LENGTH.size : start]), answer.body[start:])
        except (ValueError, AttributeError, struct.error):
            raise PredictionUnavailable(f"{self.name} gave an answer that cannot be read.") from None

    def _post(self, request: bytes) -> Answer:
        if self._idle:
            try:
                return self._exchange(self._idle.pop(), request)
            except TimeoutError:
                raise PredictionUnavailable(f"{self.name} did not answer in time.") from None
            except (OSError, BadAnswer):
                # The server may have closed it while it was idle, which says nothing about a fresh one.
                self.close()
        try:
            return self._exchange(self._connect(self._seconds), request)
        except (OSError, BadAnswer) as error:
            raise PredictionUnavailable(f"{self.name} cannot be reached ({type(error).__name__}).") from None

    def _exchange(self, connection: HttpConnection, request: bytes) -> Answer:
        try:
            answer = connection.exchange(request)
        except BaseException:  # gevent.Timeout too: half an answer may be on the wire
            connection.close()
            raise
        if answer.keeps_alive and len(self._idle) < MAX_IDLE_CONNECTIONS:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def _connect(self, seconds: float) -> HttpConnection:
        return HttpConnection(self._host, self._port, seconds, self._tls)

    def ready(self) -> bool:
        """Whether `/readyz` answers 200."""
        request = head("GET", self._path + READY_PATH, self._authority, {"Connection": "close"})
        try:
            connection = self._connect(READY_SECONDS)
        except OSError:
            return False
        try:
            return connection.exchange(request).status == 200
        except (OSError, BadAnswer):
            return False
        finally:
            connection.close()

    def close(self) -> None:
        """Close idle connections."""
        while self._idle:
            self._idle.pop().close()


def _refusal(status: int, answer: bytes) -> PredictionRefused | PredictionUnavailable:
    """What an answer that is not 200 means."""
    if not 400 <= status < 500 or status in RETRYABLE_REFUSALS:
        return PredictionUnavailable(f"The prediction server answered {status}.")
    type_, message = "refused", f"The prediction service answered {status}."
    try:
        error: Any = json.loads(answer)["error"]
        type_, message = str(error["type"])[:64], str(error["message"])[:MAX_MESSAGE_CHARACTERS]
    except (ValueError, KeyError, TypeError):
        pass
    return PredictionRefused(type_, message, status)


def connect(address: str, settings: Settings) -> HttpPredictor:
    """See `predictors.base`."""
    return HttpPredictor(address, settings.predict_seconds)
