"""The prediction service over plain HTTP: rawPredict with `application/x-faceswap`, on connections kept alive."""

from __future__ import annotations

import json
import struct
from collections import deque
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from errors import PredictionRefused, PredictionUnavailable
from predictors.base import Prediction, PredictionRequest, prediction_of
from settings import Settings

CONTENT_TYPE = "application/x-faceswap"
RAW_PREDICT_PATH = "/v1/projects/faceswap/locations/local/endpoints/live:rawPredict"
READY_PATH = "/readyz"
JSON_LENGTH = struct.Struct("<I")
MAX_ANSWER_BYTES = 8 << 20
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
        port = f":{parts.port}" if parts.port else ""
        self.name = f"{parts.scheme}://{parts.hostname}{port}"
        self._tls = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path.rstrip("/")
        self._seconds = seconds
        # The newest connection is taken first: the others fall idle, and are closed by the server.
        self._idle: deque[HTTPConnection] = deque(maxlen=MAX_IDLE_CONNECTIONS)

    def predict(self, request: PredictionRequest) -> Prediction:
        """See `Predictor.predict`."""
        instance = json.dumps(request.instance(), separators=(",", ":")).encode()
        body = b"".join((JSON_LENGTH.pack(len(instance)), instance, request.image))
        headers = {"Content-Type": CONTENT_TYPE, "Accept": CONTENT_TYPE, "traceparent": request.traceparent}
        status, content_type, answer = self._post(body, headers)
        if status != 200:
            raise _refusal(status, answer)
        try:
            if content_type != CONTENT_TYPE:
                raise ValueError(f"expected {CONTENT_TYPE}")
            (length,) = JSON_LENGTH.unpack_from(answer)
            start = JSON_LENGTH.size + length
            if start > len(answer):
                raise ValueError("the answer is shorter than it says")
            return prediction_of(json.loads(answer[JSON_LENGTH.size : start]), answer[start:])
        except (ValueError, AttributeError, struct.error):
            raise PredictionUnavailable(f"{self.name} gave an answer that cannot be read.") from None

    def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, str, bytes]:
        """Status, content type and body of the answer."""
        if self._idle:
            try:
                return self._exchange(self._idle.pop(), body, headers)
            except TimeoutError:
                raise PredictionUnavailable(f"{self.name} did not answer in time.") from None
            except (OSError, HTTPException):
                # The server may have closed it while it was idle, which says nothing about a fresh one.
                self.close()
        try:
            return self._exchange(self._connect(self._seconds), body, headers)
        except (OSError, HTTPException) as error:
            raise PredictionUnavailable(f"{self.name} cannot be reached ({type(error).__name__}).") from None

    def _exchange(self, connection: HTTPConnection, body: bytes, headers: dict[str, str]) -> tuple[int, str, bytes]:
        try:
            connection.request("POST", self._path + RAW_PREDICT_PATH, body, headers)
            response = connection.getresponse()
            answer = _read_bounded(response)
        except BaseException:  # gevent.Timeout too: half an answer may be on the wire
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        return response.status, response.headers.get_content_type(), answer

    def _connect(self, seconds: float) -> HTTPConnection:
        kind = HTTPSConnection if self._tls else HTTPConnection
        return kind(self._host, self._port, timeout=seconds)

    def ready(self) -> bool:
        """Whether `/readyz` answers 200."""
        connection = self._connect(READY_SECONDS)
        try:
            connection.request("GET", self._path + READY_PATH)
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def close(self) -> None:
        """Close idle connections."""
        while self._idle:
            self._idle.pop().close()


def _read_bounded(response: HTTPResponse) -> bytes:
    answer = response.read(MAX_ANSWER_BYTES + 1)
    if len(answer) > MAX_ANSWER_BYTES:
        raise HTTPException(f"expected at most {MAX_ANSWER_BYTES} bytes")
    if response.length:
        raise HTTPException("the answer was cut short")  # which http.client does not say by itself
    return answer


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
