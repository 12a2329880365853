"""Lights a swapped face as the live one is lit: a coarse field of gains, steady over time.

The gains are ratios of the live to the swapped face in 8 by 8 cells of the crop (the quotient image of Shashua and
Riklin-Raviv, 2001, at low frequency), estimated on skin alone, in the logarithm, so that a strand of hair or the rim
of a pair of glasses does not darken a forehead. They travel in `track` and follow the light with a time constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.faces.align import template
from prediction_model.faces.track import CONTRAST, GAIN_CELLS, MAX_GAIN, Look
from prediction_model.types import Crop, Mask

Gains = npt.NDArray[np.float32]
"""float32 [8, 8, 3], RGB."""

SAMPLES = 32
"""The faces are compared at this many pixels a side."""
FOLLOW_SECONDS = 0.3
OUTLIER = 0.45
"""Natural logarithm: a pixel this far from the median ratio counts half."""
HAIR = (0.55, 1.0)
"""Natural logarithm: a pixel that much darker than skin there begins to count as hair, and is hair."""
HAIRLINE, TEMPLES = 0.24, 0.29
"""Of the crop's side: hair is looked for above the one, and further from the middle than the other."""
FLOOR = 0.02
"""Added to both sides of a ratio, so that black divides."""
PRIOR = 4.0
"""Pixels' worth of the whole face's gain in every cell: what rules where a cell shows no skin."""

CONTRAST_MATCHED = 0.7
"""Power of the contrast's ratio that is taken over: part of it is the person, not the camera."""
FEATURE_SCALE = 3.0
"""Of `SAMPLES`: features are what is finer than this."""

FAINT = np.float32(0.005)
"""Squared distance of a skin's colour from grey, as a share of its brightness: with less there is no colour to lose."""
LEAST_COLOUR = 0.3
"""Of its own colour that a face keeps on the palest skin: lips stay lips."""
GREY = np.array([0.299, 0.587, 0.114], np.float32)

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


@dataclass(frozen=True, slots=True)
class Light:
    """What one frame says about a face's light."""

    gains: Gains
    contrast: float
    """Of the live face's features over the swapped one's."""
    skin: npt.NDArray[np.float32]
    """float32 [8, 8, 3]: the swapped face's own plain skin, RGB."""
    hair: Mask
    """float32 [32, 32]: where the live crop is too dark, at forehead and temples, to be skin."""


@cache
def _hairline() -> Mask:
    """float32 [32, 32]: 1 on an aligned face's forehead and temples, where hair may hang, 0 from the brows down."""
    y, x = (np.mgrid[:SAMPLES, :SAMPLES] + 0.5) / SAMPLES
    forehead = np.clip((HAIRLINE - y) / 0.06, 0, 1)
    temples = np.clip((np.abs(x - 0.5) - TEMPLES) / 0.04, 0, 1)
    return np.asarray(np.maximum(forehead, temples) * np.clip((0.75 - y) / 0.1, 0, 1), np.float32)


def compare(live: Crop, face: Crop, mask: Mask) -> Light | None:
    """What to multiply `face` by so that it is lit and coloured as `live`.

    Args:
        live: float32 [S, S, 3] RGB, the crop that was swapped.
        face: float32 [S, S, 3] RGB, the engine's face.
        mask: float32 [S, S], where `face` will show.

    Returns:
        None when too little of the face shows to tell.
    """
    small = (SAMPLES, SAMPLES)
    shown = cv2.resize(mask, small, interpolation=cv2.INTER_AREA)
    there = np.log(cv2.resize(live, small, interpolation=cv2.INTER_AREA) + FLOOR)
    here = np.log(cv2.resize(face, small, interpolation=cv2.INTER_AREA) + FLOOR)
    weight = shown * _skin()
    ratio = there - here
    brightness = _mean_colour(ratio)
    seen = weight > 0.5
    if np.count_nonzero(seen) < SAMPLES:
        return None
    sorted_brightness = np.sort(brightness[seen])
    off = brightness - sorted_brightness[sorted_brightness.size // 2]
    hair = np.clip((-off - HAIR[0]) / (HAIR[1] - HAIR[0]), 0, 1) * _hairline()
    weight = weight / (1.0 + (off / OUTLIER) ** 2)
    stacked = np.dstack([ratio, here, np.ones_like(weight)]) * weight[..., None]
    overall = stacked.sum(axis=(0, 1)) / weight.sum()
    cells = cv2.resize(stacked, (GAIN_CELLS, GAIN_CELLS), interpolation=cv2.INTER_AREA)
    cells = cv2.GaussianBlur(cells, (3, 3), 0.7, borderType=cv2.BORDER_REPLICATE)
    cells *= (SAMPLES // GAIN_CELLS) ** 2
    field = (cells[..., :6] + PRIOR * overall[:6]) / (cells[..., 6:] + PRIOR)
    gains = np.clip(np.exp(field[..., :3]), 1 / MAX_GAIN, MAX_GAIN)
    core = shown > 0.9
    contrast = _spread(there, core) / max(_spread(here, core), 1e-3)
    skin = np.exp(field[..., 3:]) - FLOOR
    return Light(gains.astype(np.float32), float(np.clip(contrast**CONTRAST_MATCHED, *CONTRAST)), skin, hair)


def _mean_colour(picture: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Of the three colours of each pixel: [H, W]."""
    return cv2.transform(picture, np.full((1, 3), 1 / 3, np.float32))


def _spread(logarithm: npt.NDArray[np.float32], where: npt.NDArray[np.bool_]) -> float:
    """How strongly features stand out of what surrounds them."""
    grey = _mean_colour(logarithm)
    return float((grey - cv2.GaussianBlur(grey, (0, 0), FEATURE_SCALE))[where].std())


def follow(light: Light, previous: Look | None, seconds: float) -> tuple[Gains, float]:
    """Gains and contrast to use now: those of the frame before, moved towards what this frame says."""
    if previous is None:
        return light.gains, light.contrast
    share = 1.0 - float(np.exp(-seconds / FOLLOW_SECONDS))
    gains: Gains = previous.gains * (light.gains / previous.gains) ** np.float32(share)
    return gains, previous.contrast + share * (light.contrast - previous.contrast)


def relight(face: Crop, gains: Gains, contrast: float, skin: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """`face` lit so that `skin` becomes `skin` times `gains`, and its differences from it are times `contrast`: uint8
    [S, S, 3] RGB.

    Where skin becomes paler, the whole face loses as much of its colour first, and only what is left of the change is
    done by gains: gains that take the red out of skin would make grey hair and stubble blue.

    What is brighter than the skin around it (an eye's white, teeth, lips, shine) is not brightened with it: a gain that
    makes dark skin lighter stands for other skin, and would make lamps of the eyes.
    """
    size = face.shape[0]
    light = np.float32(contrast * 255)
    wanted, grey = gains * skin, _grey(skin)
    kept = _colour_kept(skin / grey - 1, wanted / _grey(wanted) - 1)
    after: Gains = np.asarray(wanted / (kept * skin + (1 - kept) * grey), np.float32)
    own, greyed_share = after * kept * light, after * (1 - kept) * light
    darker = cv2.min(face, _over_crop(skin, size))
    lit = cv2.multiply(darker, _over_crop(own, size))
    if kept.min() < 1:
        greyed = cv2.cvtColor(cv2.cvtColor(darker, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        cv2.add(lit, cv2.multiply(greyed, _over_crop(greyed_share, size)), dst=lit)
    brighter = cv2.subtract(face, darker)
    cv2.add(lit, cv2.multiply(brighter, _over_crop(np.minimum(gains, 1) * light, size)), dst=lit)
    cv2.add(lit, _over_crop(wanted * np.float32((1 - contrast) * 255), size), dst=lit)
    return np.asarray(cv2.convertScaleAbs(np.maximum(lit, 0)), np.uint8)


def _colour_kept(has: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """How much of its own colour, 0 to 1, skin keeps that becomes paler: [8, 8, 1].

    Both are differences from grey as shares of the brightness, [8, 8, 3]: what the skin has and what is wanted of it.
    """
    along = (has * wanted).sum(axis=2, keepdims=True)
    return np.clip((along + FAINT) / ((has * has).sum(axis=2, keepdims=True) + FAINT), LEAST_COLOUR, 1)


def _grey(colours: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What OpenCV makes of `colours` [8, 8, 3] RGB in grey: [8, 8, 1], above 0."""
    return np.asarray(np.maximum(colours @ GREY, 1e-3), np.float32)[..., None]


def _over_crop(field: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """[8, 8, 3] spread over [size, size, 3] without steps: cubic to a quarter of it, the rest is smooth enough for
    linear."""
    quarter = cv2.resize(field, (size // 4, size // 4), interpolation=cv2.INTER_CUBIC)
    return cv2.resize(np.maximum(quarter, 0), (size, size), interpolation=cv2.INTER_LINEAR)
