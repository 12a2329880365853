"""Vertex AI's custom prediction routine: Google's own model server with our predictor and handler in it.

    HANDLER_MODULE=prediction_model.serving.vertex HANDLER_CLASS=FrameHandler
    PREDICTOR_MODULE=prediction_model.serving.vertex PREDICTOR_CLASS=FacePredictor
    python -m google.cloud.aiplatform.prediction.model_server

`Dockerfile` beside this file says the same. Google's default handler reads JSON only and runs one prediction at a time
on its event loop; this one takes what `serving.http` takes, bytes included, and predicts in threads.
https://cloud.google.com/vertex-ai/docs/predictions/custom-prediction-routines
"""

from __future__ import annotations

import asyncio
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
from fastapi import Request, Response
from google.cloud.aiplatform.prediction.handler import PredictionHandler
from google.cloud.aiplatform.prediction.predictor import Predictor

from prediction_model.prediction import ModelPrediction
from prediction_model.serving.http import PredictionApp
from prediction_model.serving.wsgi_call import call
from prediction_model.settings import current

THREADS = 4
"""Frames of a worker under way at a time, as in `python -m prediction_model serve`."""
ROUTE = "/v1/projects/-/locations/-/endpoints/-:rawPredict"
"""Vertex AI keeps the container from knowing its endpoint, and sends predict and rawPredict to the same path."""


class FacePredictor(Predictor):  # type: ignore[misc]
    """`ModelPrediction` as Vertex AI's interface has it."""

    def load(self, artifacts_uri: str, **kwargs: Any) -> None:
        """Load once per worker.

        Args:
            artifacts_uri: `AIP_STORAGE_URI`: a folder of identity packages, local or `gs://`; empty: the shipped
                gallery.
            kwargs: not used.
        """
        self.model = ModelPrediction.from_path(_model_folder(artifacts_uri))

    def predict(self, instances: dict[str, Any]) -> dict[str, Any]:
        """`{"instances": […]}` → `{"predictions": […]}`: for whoever puts this predictor into Google's own handler."""
        return {"predictions": self.model.predict(instances["instances"])}


class FrameHandler(PredictionHandler):  # type: ignore[misc]
    """Takes JSON, `application/x-faceswap` and bare pictures."""

    def __init__(self, artifacts_uri: str, predictor: type[Predictor] | None = None) -> None:
        super().__init__(artifacts_uri, predictor or FacePredictor)
        cv2.setNumThreads(1)
        self._app = PredictionApp(self._predictor.model)
        self._threads = ThreadPoolExecutor(THREADS, "predict")

    async def handle(self, request: Request) -> Response:
        """Answer one request, errors too: what a prediction may raise is a status here, as everywhere."""
        body = await request.body()
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._threads, call, self._app, "POST", ROUTE, request.headers, body)
        return Response(answer.body, answer.status, dict(answer.headers))


def _model_folder(uri: str) -> Path:
    """Where the packages at `uri` are on this disk; fetched once where they are in a bucket."""
    if not uri:
        return current().gallery_folder
    if "://" not in uri:
        return Path(uri)
    import fsspec

    folder = Path(tempfile.mkdtemp(prefix="faceswap-model-"))
    filesystem, root = fsspec.core.url_to_fs(uri)
    # With a slash at the end fsspec copies what is in the folder, not the folder.
    filesystem.get(root.rstrip("/") + "/", str(folder) + "/", recursive=True)
    return folder
