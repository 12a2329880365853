"""How far eyes are open, by the eye network of MediaPipe Iris (Ablavatski et al., arXiv:2006.11341).

The face mesh hardly moves its lids in a blink; this network's contour does. It takes 1 ms an eye and is for looking at
a face closely, not for every live frame.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.faces.models import EYE, interpreter, model_file
from prediction_model.types import BgrFrame, Mesh

Lids = npt.NDArray[np.float32]
"""float32 [..., 16, 2]: an eye's outer corner, lower lid, inner corner and upper lid, lids from outer to inner."""

RIGHT_EYE, LEFT_EYE = (33, 133), (362, 263)
"""Mesh points: each eye's two corners, from the picture's left to its right; right and left are the person's."""
SIDE = 64
MARGIN = 2.3
"""The network's square, in widths of the eye."""
OUTER, INNER = 0, 8
LOWER, UPPER = slice(1, 8), slice(9, 16)
"""The contour's points: its corners, and the lids between them."""
SHUT, OPEN = 0.06, 0.17
"""The gap between the lids, of the eye's width: shut eyes are below the first, open ones above the second."""


class EyeLids:
    """Measures how far eyes are open. Not thread-safe, because its network is not."""

    def __init__(self) -> None:
        self._network = interpreter(model_file(EYE))
        self._input = self._network.get_input_details()[0]["index"]
        self._contour = self._network.get_output_details()[0]["index"]

    def eyes_open(self, frame: BgrFrame, mesh: Mesh) -> float:
        """The wider open eye of the face of `mesh` [468, 3] in `frame` [H, W, 3] BGR: 0 (shut) to 1 (open)."""
        gap = max(self._gap(frame, mesh, RIGHT_EYE, False), self._gap(frame, mesh, LEFT_EYE, True))
        return float(np.clip((gap - SHUT) / (OPEN - SHUT), 0, 1))

    def contours(self, frame: BgrFrame, mesh: Mesh) -> Lids:
        """Both eyes' lids in `frame` [H, W, 3] BGR, the face's right eye first: float32 [2, 16, 2] in its pixels."""
        eyes = self._contour_of(frame, mesh, RIGHT_EYE, False), self._contour_of(frame, mesh, LEFT_EYE, True)
        return np.stack(eyes)

    def _gap(self, frame: BgrFrame, mesh: Mesh, corners: tuple[int, int], mirrored: bool) -> float:
        return lid_gap(self._contour_of(frame, mesh, corners, mirrored))

    def _contour_of(self, frame: BgrFrame, mesh: Mesh, corners: tuple[int, int], mirrored: bool) -> Lids:
        """One eye's lids, float32 [16, 2]. The network knows right eyes only, so a left one is mirrored."""
        points = mesh[list(corners), :2]
        across, middle = points[1] - points[0], points.mean(axis=0)
        scale = SIDE / max(float(np.hypot(*across)) * MARGIN, 1.0)
        turn = cv2.getRotationMatrix2D(
            (float(middle[0]), float(middle[1])), float(np.degrees(np.arctan2(across[1], across[0]))), scale
        )
        turn[:, 2] += SIDE / 2 - middle
        eye = cv2.warpAffine(frame, turn, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        upright = eye[:, ::-1] if mirrored else eye
        self._network.set_tensor(self._input, upright[None, ..., ::-1].astype(np.float32) / 255)
        self._network.invoke()
        contour = self._network.get_tensor(self._contour).reshape(-1, 3)[:16, :2].astype(np.float32)
        if mirrored:
            contour[:, 0] = SIDE - 1 - contour[:, 0]
        back = cv2.invertAffineTransform(turn)
        return np.asarray(contour @ back[:, :2].T + back[:, 2], np.float32)


def lid_gap(contour: Lids) -> float:
    """The mean gap between the lids of one eye [16, 2], of the eye's width."""
    across = contour[INNER] - contour[OUTER]
    width = max(float(np.hypot(*across)), 1e-3)
    between = contour[UPPER].mean(axis=0) - contour[LOWER].mean(axis=0)
    return abs(float(across[0] * between[1] - across[1] * between[0])) / width**2
