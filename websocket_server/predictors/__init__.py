"""One module per way to reach the prediction tier; `base` says what such a module is."""

from __future__ import annotations

import importlib
from typing import cast

from predictors.base import Prediction, PredictionRequest, Predictor, prediction_of
from settings import Settings

__all__ = ["Prediction", "PredictionRequest", "Predictor", "connect_all", "prediction_of"]

MODULES = ("http", "ai_platform", "vertex")


def connect_all(settings: Settings) -> list[Predictor]:
    """A predictor for each address of the settings. Raises SystemExit for a kind that does not exist."""
    if settings.predictor not in MODULES:
        raise SystemExit(f"FACESWAP_PREDICTOR: expected one of {', '.join(MODULES)}; received {settings.predictor!r}.")
    if not settings.predictors:
        raise SystemExit("FACESWAP_PREDICTORS: expected at least one address, such as http://127.0.0.1:8002.")
    module = importlib.import_module(f"predictors.{settings.predictor}")
    return [cast(Predictor, module.connect(address, settings)) for address in settings.predictors]
