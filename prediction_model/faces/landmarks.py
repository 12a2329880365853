"""The 468-point face mesh (Kartynnik et al., 2019, arXiv:1907.06724), from a rotated square around one face."""

from __future__ import annotations

import cv2
import numpy as np

from prediction_model.faces.detect import Detection
from prediction_model.faces.models import MESH, interpreter, model_file
from prediction_model.types import BgrFrame, Matrix, Mesh

INPUT_SIZE = 192
POINTS = 468
ROI_SCALE = 1.5
"""The square's side: the longer side of the face's box times this (MediaPipe's own value)."""

RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 33, 263
"""Mesh points: the outer corners of the wearer's right and left eye."""


class FaceMesh:
    """Google's face mesh, on LiteRT. Not thread-safe."""

    def __init__(self) -> None:
        self._model = interpreter(model_file(MESH))
        self._input = self._model.get_input_details()[0]["index"]
        self._points, self._presence = (d["index"] for d in self._model.get_output_details())

    def landmarks(self, frame: BgrFrame, roi: Matrix) -> tuple[Mesh, float]:
        """The mesh of the face inside `roi`.

        Args:
            frame: uint8 [H, W, 3] BGR.
            roi: float32 [2, 3], frame to a 192-pixel square (`roi_of_detection`, `roi_of_mesh`).

        Returns:
            The mesh in frame pixels, float32 [468, 3], and how sure the network is that there is a face, 0 to 1.
        """
        # OpenCV warps four channels in half the time of three.
        padded = cv2.cvtColor(frame, cv2.COLOR_BGR2BGRA)
        square = cv2.warpAffine(padded, roi, (INPUT_SIZE, INPUT_SIZE), flags=cv2.INTER_LINEAR)
        rgb = cv2.cvtColor(square, cv2.COLOR_BGRA2RGB)
        np.multiply(rgb, np.float32(1 / 255), out=self._model.tensor(self._input)()[0])
        self._model.invoke()
        mesh = self._model.get_tensor(self._points).reshape(POINTS, 3)
        logit = float(self._model.get_tensor(self._presence).reshape(-1)[0])
        back = cv2.invertAffineTransform(roi)
        mesh[:, :2] = mesh[:, :2] @ back[:, :2].T + back[:, 2]
        mesh[:, 2] *= float(np.hypot(back[0, 0], back[1, 0]))
        return mesh.astype(np.float32), 1.0 / (1.0 + float(np.exp(-np.clip(logit, -80.0, 80.0))))


def roi_of_detection(detection: Detection) -> Matrix:
    """The square in which the mesh network expects the face of `detection`: upright eyes, 1.5 times the box."""
    box = detection.box
    centre = (box.x + box.width / 2, box.y + box.height / 2)
    return _square(centre, max(box.width, box.height) * ROI_SCALE, detection.eyes[1] - detection.eyes[0])


def roi_of_mesh(mesh: Mesh) -> Matrix:
    """The square for the next frame, from this frame's mesh [468, 3]: how tracking avoids the detector."""
    across = mesh[LEFT_EYE_OUTER, :2] - mesh[RIGHT_EYE_OUTER, :2]
    angle = float(np.arctan2(across[1], across[0]))
    cos, sin = np.cos(angle), np.sin(angle)
    upright = np.array([[cos, sin], [-sin, cos]], np.float32) @ mesh[:, :2].T
    low, high = upright.min(axis=1), upright.max(axis=1)
    middle = (low + high) / 2
    centre = (float(middle[0] * cos - middle[1] * sin), float(middle[0] * sin + middle[1] * cos))
    return _square(centre, float((high - low).max()) * ROI_SCALE, across)


def _square(centre: tuple[float, float], side: float, across: np.ndarray) -> Matrix:
    """Frame to a 192-pixel square centred on `centre`, `side` frame pixels wide, turned so that `across` is level."""
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    matrix = cv2.getRotationMatrix2D(centre, angle, INPUT_SIZE / max(side, 1.0))
    matrix[:, 2] += INPUT_SIZE / 2 - np.array(centre)
    return matrix.astype(np.float32)
