"""Lights a swapped face as the live one is lit: a coarse field of gains, steady over time.

The gains are ratios of the live to the swapped face in 8 by 8 cells of the crop (the quotient image of Shashua and
Riklin-Raviv, 2001, at low frequency), estimated on skin alone, in the logarithm, so that a strand of hair or the rim of a
pair of glasses does not darken a forehead. They travel in `track` and follow the light with a time constant.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.faces.align import template
from prediction_model.faces.track import GAIN_CELLS, MAX_GAIN
from prediction_model.types import Crop, Mask

Gains = npt.NDArray[np.float32]
"""float32 [8, 8, 3], RGB."""

SAMPLES = 32
"""The faces are compared at this many pixels a side."""
FOLLOW_SECONDS = 0.3
OUTLIER = 0.45
"""Natural logarithm: a pixel this far from the median ratio counts half."""
FLOOR = 0.02
"""Added to both sides of a ratio, so that black divides."""
PRIOR = 4.0
"""Pixels' worth of the whole face's gain in every cell: what rules where a cell shows no skin."""

_BROWS = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
_EYES = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
_EYES_LEFT = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
_MOUTH = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91)


@cache
def _skin() -> Mask:
    """float32 [32, 32]: where an aligned face is skin alone; brows, eyes and mouth are each person's own colour."""
    skin = np.ones((SAMPLES * 8, SAMPLES * 8), np.float32)
    places = template() * (SAMPLES * 8)
    for part in (_BROWS[:10], _BROWS[10:], _EYES, _EYES_LEFT, _MOUTH):
        hull = cv2.convexHull(places[list(part)]).astype(np.int32)
        cv2.fillConvexPoly(skin, hull, 0.0)
    skin = cv2.erode(skin, np.ones((15, 15), np.uint8))
    return cv2.resize(skin, (SAMPLES, SAMPLES), interpolation=cv2.INTER_AREA)


def estimate_gains(live: Crop, face: Crop, mask: Mask, previous: Gains | None, seconds: float) -> Gains:
    """What to multiply `face` by so that it is lit and coloured as `live`.

    Args:
        live: float32 [S, S, 3] RGB, the crop that was swapped.
        face: float32 [S, S, 3] RGB, the engine's face.
        mask: float32 [S, S], where `face` will show.
        previous: the gains of the frame before, or None.
        seconds: time since that frame.

    Returns:
        float32 [8, 8, 3], within 1/8 and 8.
    """
    small = (SAMPLES, SAMPLES)
    weight = cv2.resize(mask, small, interpolation=cv2.INTER_AREA) * _skin()
    there = cv2.resize(live, small, interpolation=cv2.INTER_AREA)
    here = cv2.resize(face, small, interpolation=cv2.INTER_AREA)
    ratio = np.log((there + FLOOR) / (here + FLOOR))
    brightness = ratio.mean(axis=2)
    seen = weight > 0.5
    if np.count_nonzero(seen) < SAMPLES:
        return np.ones((GAIN_CELLS, GAIN_CELLS, 3), np.float32) if previous is None else previous
    middle = np.median(brightness[seen])
    weight = weight / (1.0 + ((brightness - middle) / OUTLIER) ** 2)
    overall = (ratio * weight[..., None]).sum(axis=(0, 1)) / weight.sum()
    stacked = np.dstack([ratio * weight[..., None], weight])
    cells = cv2.resize(stacked, (GAIN_CELLS, GAIN_CELLS), interpolation=cv2.INTER_AREA)
    cells = cv2.GaussianBlur(cells, (3, 3), 0.7, borderType=cv2.BORDER_REPLICATE)
    cells *= (SAMPLES // GAIN_CELLS) ** 2
    field = (cells[..., :3] + PRIOR * overall) / (cells[..., 3:] + PRIOR)
    if previous is not None:
        before = np.log(previous)
        field = before + (1.0 - np.exp(-seconds / FOLLOW_SECONDS)) * (field - before)
    gains: Gains = np.clip(np.exp(field), 1 / MAX_GAIN, MAX_GAIN).astype(np.float32)
    return gains


def apply_gains(face: Crop, gains: Gains) -> Crop:
    """`face` [S, S, 3] times `gains`, which are spread over the crop without steps; clipped to [0, 1]."""
    size = face.shape[0]
    spread = cv2.resize(gains, (size, size), interpolation=cv2.INTER_CUBIC)
    lit = cv2.multiply(face, spread)
    np.clip(lit, 0.0, 1.0, out=lit)
    return lit
