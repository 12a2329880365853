"""The prediction tier behind AI Platform's routes, by `ml v1 projects.predict`: the original system's call.

Google closed AI Platform Prediction on 2025-01-31. The call lives on for whoever serves these routes themselves, as
`python -m prediction_model serve` does; on Google's side `vertex` has taken its place.
"""

from __future__ import annotations

from typing import Any

from predictors.base import Prediction, PredictionRequest
from predictors.google_api import Address, GoogleApi
from predictors.instances import instances_of, prediction_of_answer
from settings import Settings

RESOURCE = "projects/[^/:]+/models/[^/:]+(?:/versions/[^/:]+)?"
EXAMPLE = "https://ml.googleapis.com/v1/projects/PROJECT/models/MODEL/versions/VERSION"


class AiPlatformPredictor:
    """One model, or one version of it."""

    def __init__(self, address: Address, seconds: float) -> None:
        self._api = GoogleApi("ml", address, seconds)
        self.name = self._api.name

    def predict(self, request: PredictionRequest) -> Prediction:
        """See `Predictor.predict`."""
        body = instances_of(request)

        def call(service: Any) -> Any:
            made = service.projects().predict(name=self._api.address.resource, body=body)
            made.headers["traceparent"] = request.traceparent
            return made

        return prediction_of_answer(self._api.execute(call))

    def ready(self) -> bool:
        """See `Predictor.ready`."""
        return self._api.ready()

    def close(self) -> None:
        """See `Predictor.close`."""
        self._api.close()


def connect(address: str, settings: Settings) -> AiPlatformPredictor:
    """See `predictors.base`."""
    parsed = Address.parse(address, RESOURCE, EXAMPLE)
    if parsed.method == "rawPredict":
        raise SystemExit("FACESWAP_PREDICTORS: AI Platform has no rawPredict; leave it out of the address.")
    return AiPlatformPredictor(parsed, settings.longest_predict_seconds)
