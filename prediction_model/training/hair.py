"""Takes strands of hair out of faces that are to be learnt: a network paints them as streaks on everybody's cheeks."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from prediction_model.engines.texture import without_hair
from prediction_model.faces.align import alignment
from prediction_model.training.actors import GREY, Performance, over
from prediction_model.training.pairs import LEFT_EYE, OVAL, RIGHT_EYE, polygon

SIDE = 256
# Mesh points around the brows, in order.
RIGHT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
LEFT_BROW = (336, 296, 334, 293, 300, 276, 283, 282, 295, 285)
SOFTNESS = 3.0
"""Pixels over which what was filled in passes into the picture, at the face's edge and at brows and eyes."""


def without_strands(performance: Performance) -> Performance:
    """The same performance, aligned, with skin where hair lay over its face. Lids are to be measured afterwards."""
    matrix = alignment(performance.mesh, SIDE)
    picture = cv2.warpAffine(performance.picture, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    mesh = performance.mesh.copy()
    mesh[:, :2] = mesh[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    mesh[:, 2] *= float(np.hypot(matrix[0, 0], matrix[1, 0]))
    face = cv2.GaussianBlur(polygon(mesh[list(OVAL), :2], SIDE), (0, 0), SOFTNESS)
    for part in (RIGHT_BROW, LEFT_BROW, RIGHT_EYE, LEFT_EYE):  # seen from the side they reach the face's edge
        face *= 1 - cv2.GaussianBlur(polygon(mesh[list(part), :2], SIDE), (0, 0), SOFTNESS)
    cleaned = without_hair(over(picture, GREY), mesh[:, :2])
    picture[..., :3] = np.round(picture[..., :3] * (1 - face[..., None]) + cleaned * face[..., None])
    return replace(performance, picture=picture, mesh=mesh, lids=None)
