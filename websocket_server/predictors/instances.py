"""The JSON form of the prediction contract: `{"instances": […]}` → `{"predictions": […]}`, the picture as base64."""

from __future__ import annotations

import base64
from typing import Any

from errors import PredictionRefused, PredictionUnavailable
from messages import JsonObject, encode_json
from predictors.base import Prediction, PredictionRequest, prediction_of
from predictors.raw import MAX_MESSAGE_CHARACTERS, MAX_METADATA_BYTES, MAX_TYPE_CHARACTERS


def instances_of(request: PredictionRequest) -> JsonObject:
    """The body that carries `request`."""
    image = {"b64": base64.b64encode(request.image).decode("ascii")}
    return {"instances": [{"image": image, **request.instance()}]}


def prediction_of_answer(answer: Any) -> Prediction:
    """The one prediction in an answer.

    Raises PredictionRefused for an error in its place, and PredictionUnavailable for what is not an answer.
    """
    try:
        (metadata,) = answer["predictions"]
        if "error" in metadata:
            error = metadata["error"]
            type_, message = str(error["type"])[:MAX_TYPE_CHARACTERS], str(error["message"])[:MAX_MESSAGE_CHARACTERS]
            if 400 <= error["code"] < 500:
                raise PredictionRefused(type_, message, error["code"])
            raise PredictionUnavailable("The prediction service failed on this frame.")
        image = metadata["image"]
        picture = b"" if image is None else base64.b64decode(image["b64"], validate=True)
        # Google's client has read it, and takes more than we can write, or want to keep.
        if len(encode_json({**metadata, "image": None}).encode()) > MAX_METADATA_BYTES:
            raise ValueError("the answer tells more than a prediction has to tell")
        return prediction_of(metadata, picture)
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError):
        raise PredictionUnavailable("The prediction service gave an answer that cannot be read.") from None
