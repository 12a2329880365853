"""One request through the WSGI application, as the servers of Vertex AI and Ray make it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from prediction_model.prediction import ModelPrediction
from prediction_model.serving.http import FRAME, PredictionApp, join_frame
from prediction_model.serving.wsgi_call import call

RAW_PREDICT = "/v1/projects/P/locations/L/endpoints/E:rawPredict"
GONE = {"error": {"type": "unknown_identity", "message": "No identity 'p9' is served here.", "code": 404}}


class PredictOnly:
    """A model that takes JSON instances only, as any class may."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict(self, instances: list[Any], **kwargs: Any) -> list[Any]:
        return [self.answer for _ in instances]


def test_routes_headers_and_body_arrive(model: ModelPrediction) -> None:
    app = PredictionApp(model)
    assert call(app, "GET", "/healthz", {}, b"").status == 200
    assert call(app, "GET", RAW_PREDICT, {}, b"").status == 405
    answer = call(app, "POST", RAW_PREDICT, {"content-type": "image/jpeg"}, b"no picture")
    assert answer.status == 400
    assert ("Content-Length", str(len(answer.body))) in answer.headers
    assert json.loads(answer.body)["error"]["type"] == "unreadable_picture"


def test_a_length_that_the_client_made_up_is_not_believed(model: ModelPrediction) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": "99999999"}
    answer = call(PredictionApp(model), "POST", RAW_PREDICT, headers, b'{"instances": []}')
    assert (answer.status, json.loads(answer.body)) == (200, {"predictions": []})


@pytest.mark.parametrize(("body", "content_type"), [(join_frame({}, b"jpeg"), FRAME), (b"jpeg", "image/jpeg")])
@pytest.mark.parametrize(
    ("answer", "status", "type_"),
    [(GONE, 404, "unknown_identity"), ({"error": {"code": 12}}, 500, "internal"), ({"error": "?"}, 500, "internal")],
)
def test_an_error_in_an_instances_place_is_the_frames_status(
    body: bytes, content_type: str, answer: Any, status: int, type_: str
) -> None:
    answered = call(PredictionApp(PredictOnly(answer)), "POST", RAW_PREDICT, {"Content-Type": content_type}, body)
    assert answered.status == status
    error = json.loads(answered.body)["error"]
    assert (error["code"], error["type"]) == (status, type_)
