"""Takes out of one identity what its portraits have at one side by accident, such as a strand of hair above a brow:
that side learns to look as the other does, mirrored.

The teacher is the network itself. Given the input mirrored, it draws the clean side where the marked one would be, and
mirrored back that is in the right place, in the same pose, expression and light.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import keras
import numpy as np

from prediction_model.faces.align import template
from prediction_model.training.pairs import RIGHT_EYE, Batch, polygon
from prediction_model.training.trainer import swap_in_parts
from prediction_model.types import Mask

MIDDLE_OF_FOREHEAD = 9
"""Mesh point between the brows."""
SOFTNESS = 0.025
"""Of the crop's side: the standard deviation of the blur at the area's border."""


class Mirrored:
    """Draws batches for ever whose truths are what `teacher` makes of them, retouched.

    Args:
        teacher: the network as it was, `[crops, identities]` to RGB and mask; it must not be trained.
        identity: the one to retouch.
        side: "right" or "left", the face's own: the one with the accident.
        draw: gives a batch of n inputs.
        size: S, the crop's side.
    """

    def __init__(self, teacher: keras.Model, identity: int, side: str, draw: Callable[[int], Batch], size: int) -> None:
        self._teacher = teacher
        self._identity = identity
        self._draw = draw
        self._area = brow_and_forehead(side, size)[..., None]

    def batch(self, count: int) -> Batch:
        """The next `count` of them."""
        given = self._draw(count)
        identities = np.full(count, self._identity, np.int32)
        made = swap_in_parts(self._teacher, given.crops, identities)
        mirrored = swap_in_parts(self._teacher, np.ascontiguousarray(given.crops[:, :, ::-1]), identities)[:, :, ::-1]
        truths = given.truths.copy()
        truths[..., :4] = made * (1 - self._area) + mirrored * self._area
        return replace(given, identities=identities, truths=truths)


def brow_and_forehead(side: str, size: int) -> Mask:
    """1 from one eye's lid upwards and outwards, else 0, softly: float32 [size, size]."""
    points = template() * size
    eye = points[list(RIGHT_EYE)]
    inner, outer = points[RIGHT_EYE[8]], points[RIGHT_EYE[0]]
    middle = points[MIDDLE_OF_FOREHEAD]
    step = size * 0.04
    border = [
        (0, 0),
        (middle[0] - step, 0),
        (middle[0] - step, middle[1] + step),
        (inner[0], eye[:, 1].min() - step / 2),
        (outer[0], outer[1] - step / 2),
        (outer[0] - step, outer[1] + 2 * step),
        (0, outer[1] + 3 * step),
    ]
    area = cv2.GaussianBlur(polygon(np.array(border, np.float32), size), (0, 0), SOFTNESS * size)
    return np.asarray(area if side == "right" else area[:, ::-1], np.float32)
