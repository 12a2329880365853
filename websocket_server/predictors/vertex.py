"""The prediction tier behind a Vertex AI endpoint, shared or dedicated, by `aiplatform v1`.

`…:rawPredict`, the default, sends the picture's bytes; `…:predict` sends it as base64 in JSON, a third larger, for a
model server that knows only JSON.
"""

from __future__ import annotations

from typing import Any

from predictors.base import Prediction, PredictionRequest
from predictors.google_api import Address, GoogleApi
from predictors.instances import instances_of, prediction_of_answer
from predictors.raw import CONTENT_TYPE, prediction_of_raw, raw_body
from settings import Settings

RESOURCE = "projects/[^/:]+/locations/[^/:]+/endpoints/[^/:]+"
EXAMPLE = "https://REGION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/REGION/endpoints/ID:rawPredict"


class VertexPredictor:
    """One endpoint."""

    def __init__(self, address: Address, seconds: float) -> None:
        self._api = GoogleApi("aiplatform", address, seconds)
        self.name = self._api.name
        self._sends_bytes = address.method != "predict"

    def predict(self, request: PredictionRequest) -> Prediction:
        """See `Predictor.predict`."""
        if self._sends_bytes:
            return self._raw_predict(request)
        body = instances_of(request)

        def call(service: Any) -> Any:
            made = _endpoints(service).predict(endpoint=self._api.address.resource, body=body)
            made.headers["traceparent"] = request.traceparent
            return made

        return prediction_of_answer(self._api.execute(call))

    def _raw_predict(self, request: PredictionRequest) -> Prediction:
        body = b"".join(raw_body(request))

        def call(service: Any) -> Any:
            made = _endpoints(service).rawPredict(endpoint=self._api.address.resource, body={})
            # The client would send its JSON envelope of an HttpBody; REST takes the bytes themselves.
            made.body, made.body_size = body, len(body)
            made.headers |= {"content-type": CONTENT_TYPE, "accept": CONTENT_TYPE, "traceparent": request.traceparent}
            made.postproc = self._read
            return made

        prediction: Prediction = self._api.execute(call)
        return prediction

    def _read(self, response: Any, content: bytes) -> Prediction:
        content_type = response.get("content-type", "").partition(";")[0].strip().lower()
        return prediction_of_raw(content_type, content)

    def ready(self) -> bool:
        """See `Predictor.ready`."""
        return self._api.ready()

    def close(self) -> None:
        """See `Predictor.close`."""
        self._api.close()


def _endpoints(service: Any) -> Any:
    return service.projects().locations().endpoints()


def connect(address: str, settings: Settings) -> VertexPredictor:
    """See `predictors.base`."""
    return VertexPredictor(Address.parse(address, RESOURCE, EXAMPLE), settings.longest_predict_seconds)
