"""The prediction service over plain HTTP: rawPredict with `application/x-faceswap`, on connections kept alive."""

from __future__ import annotations

import contextlib
import ssl
from urllib.parse import quote, urlsplit

import gevent

from errors import PredictionLate, PredictionUnavailable
from predictors.base import Prediction, PredictionRequest
from predictors.http1 import Answer, BadAnswer, HttpConnection, head
from predictors.raw import CONTENT_TYPE, prediction_of_raw, raw_body, refusal_of
from settings import Settings

RAW_PREDICT_PATH = "/v1/projects/faceswap/locations/local/endpoints/live:rawPredict"
READY_PATH = "/readyz"
MAX_IDLE_CONNECTIONS = 64
READY_SECONDS = 1.0
IDENTITY_HEADER = "serve_multiplexed_model_id"


class HttpPredictor:
    """One prediction server at `address`, e.g. `http://127.0.0.1:8002`."""

    def __init__(self, address: str, seconds: float) -> None:
        parts = urlsplit(address)
        try:
            host, port = (parts.hostname or "").encode("idna").decode(), parts.port
        except ValueError:  # no name, or no port, that there can be
            host, port = "", None
        if parts.scheme not in ("http", "https") or not host:
            raise SystemExit(
                f"FACESWAP_PREDICTORS: expected addresses like http://127.0.0.1:8002, received {address!r}."
            )
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host, self._port = host, port or (443 if self._tls else 80)
        named = f"[{host}]" if ":" in host else host
        self._authority = named if port is None else f"{named}:{port}"
        self.name = f"{parts.scheme}://{self._authority}"
        self._path = parts.path.rstrip("/")
        self._seconds = seconds
        # The newest connection is taken first: the others fall idle, and are closed by the server.
        self._idle: list[HttpConnection] = []

    def predict(self, request: PredictionRequest) -> Prediction:
        """See `Predictor.predict`."""
        body = raw_body(request)
        headers = {
            "Content-Type": CONTENT_TYPE,
            "Accept": CONTENT_TYPE,
            "Content-Length": str(sum(map(len, body))),
            "traceparent": request.traceparent,
            # Ray Serve's router sends an identity's frames to the replicas that have loaded it; others ignore it.
            IDENTITY_HEADER: quote(request.identity),
        }
        request_head = head("POST", self._path + RAW_PREDICT_PATH, self._authority, headers)
        answer = self._post(b"".join((request_head, *body)))
        if answer.status != 200:
            raise refusal_of(answer.status, answer.body)
        return prediction_of_raw(answer.content_type, answer.body)

    def _post(self, request: bytes) -> Answer:
        if self._idle:
            connection = self._idle.pop()
            try:
                if not connection.is_silent:
                    raise BadAnswer("expected no answer before the request")
                return self._exchange(connection, request)
            except TimeoutError:
                raise PredictionLate("The prediction service did not answer in time.") from None
            except (OSError, BadAnswer):
                # The server may have closed it while it was idle, which says nothing about a fresh one.
                connection.close()
                self.close()
        try:
            return self._exchange(self._connect(self._seconds), request)
        except TimeoutError:
            raise PredictionLate("The prediction service did not answer in time.") from None
        except (OSError, BadAnswer):
            raise PredictionUnavailable("The prediction service cannot be reached. The relay keeps trying.") from None

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
            # A connection's own bound is that of each read, of which a slow answer may take thousands.
            in_time = gevent.Timeout(READY_SECONDS, TimeoutError("no answer in time"))
            with in_time, contextlib.closing(self._connect(READY_SECONDS)) as connection:
                return connection.exchange(request).status == 200
        except (OSError, BadAnswer):
            return False

    def close(self) -> None:
        """Close idle connections."""
        while self._idle:
            self._idle.pop().close()


def connect(address: str, settings: Settings) -> HttpPredictor:
    """See `predictors.base`."""
    return HttpPredictor(address, settings.longest_predict_seconds)
