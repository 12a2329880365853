"""Another real-time model behind the same page and relay, as docs/architecture.md tells:

PYTHONPATH=docs/examples python -m prediction_model serve --class negative:Negative
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np


class Negative:
    """Answers each frame with its negative. `from_path` is called once per process, `predict_frame` once per frame."""

    @classmethod
    def from_path(cls, model_dir: str) -> Negative:
        """`model_dir` is what `--model-dir` says; a negative needs nothing of it."""
        return cls()

    def predict_frame(self, picture: bytes, instance: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """A picture in, a JPEG and the answer's other fields out."""
        frame = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
        return cv2.imencode(".jpg", 255 - frame)[1].tobytes(), {"faces": [], "swapped": False, "track": None}

    def predict(self, instances: list[Any], **kwargs: Any) -> list[Any]:
        """Instances as JSON, with their pictures in base64: not of this example."""
        return [{"error": {"type": "unsupported", "message": "Send rawPredict.", "code": 501}} for _ in instances]
