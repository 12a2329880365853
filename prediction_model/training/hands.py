"""Draws hands: fists, flat and spread hands and pointing fingers, of rounded limbs that shade each other.

A hand before a face is the commonest thing in its way and the hardest to tell from it, because both are skin; what
tells them apart is form. Lengths are in palm widths; the hand points up (-y) before it is turned.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.types import Mask

Generator = np.random.Generator
Points = npt.NDArray[np.float64]

FINGER_PLACES = (-0.36, -0.12, 0.12, 0.35)
FINGER_LENGTHS = (0.95, 1.08, 1.0, 0.78)
FINGER_RADIUS, TIP_RADIUS, THUMB_RADIUS = 0.125, 0.095, 0.14
PALM_LENGTH = 1.05
PALM_WIDTHS = (0.24, 0.42)
"""Of the crop's side: from a hand at the face to one held before it."""
JOINTS = (0.0, 0.45, 0.75, 1.0)
"""Where a finger bends, as shares of its length."""
EDGE = 1.2
"""Pixels over which a hand's outline fades."""


def hand(rng: Generator, size: int, centre: tuple[float, float]) -> tuple[Mask, Mask]:
    """One hand with its forearm.

    Args:
        rng: where chance comes from.
        size: S, the crop's side in pixels.
        centre: where the middle of its palm or fingers comes to lie, pixels.

    Returns:
        Where it covers the crop, and its shading (about 1 where it faces the light), both float32 [S, S].
    """
    scale = size * float(rng.uniform(*PALM_WIDTHS))
    turn, mirrored = _turn(rng), float(rng.choice([-1, 1]))
    aim = np.array([0, -rng.uniform(-0.2, 1.2)])
    height = np.full((size, size), -1.0, np.float32)
    for joints, radii, lift in _limbs(rng):
        places = ((joints - aim) * [mirrored, 1]) @ turn.T * scale + centre
        for a, b, (first, last) in zip(places[:-1], places[1:], radii, strict=True):
            _raise_limb(height, a, b, first * scale, last * scale, lift * scale)
    cover = np.clip(height / EDGE, 0, 1)
    return cover, _shading(height, rng, scale)


def _limbs(rng: Generator) -> list[tuple[Points, list[tuple[float, float]], float]]:
    """Chains of limbs: their joints [n, 2], both radii of each, and how far they lie before the palm."""
    fold = float(rng.choice([0.0, rng.uniform(0.2, 0.7), 1.0]))
    spread = float(rng.choice([0.0, rng.uniform(0.05, 0.28)])) * (1 - fold)
    pointing = int(rng.integers(4)) if rng.random() < 0.25 else None
    limbs: list[tuple[Points, list[tuple[float, float]], float]] = []
    for finger, (x, length) in enumerate(zip(FINGER_PLACES, FINGER_LENGTHS, strict=True)):
        bent = 0.0 if finger == pointing else fold if pointing is None else 1.0
        angle = (finger - 1.5) * spread + rng.normal(0, 0.03)
        shown = length * (1 - 0.62 * bent)
        along = np.array([np.sin(angle), -np.cos(angle)])
        root = np.array([x, -PALM_LENGTH / 2 + abs(x) * 0.15])
        joints = np.array([root + along * share * shown for share in JOINTS])
        widths = np.interp((0, 1, 2, 3), (0, 3), (FINGER_RADIUS, TIP_RADIUS + 0.02 * bent))
        limbs.append((joints, list(pairwise(widths)), 0.06 + 0.05 * bent))
    # The palm: four bones side by side, so that knuckles show; then the wrist and the forearm.
    for x in FINGER_PLACES:
        limbs.append((np.array([[x * 0.8, PALM_LENGTH / 2], [x, -PALM_LENGTH / 2 + 0.1]]), [(0.2, 0.17)], 0.0))
    inwards = rng.uniform(-0.5, 1.0)
    thumb = np.array([[-0.3, 0.3], [-0.55 - 0.12 * inwards, -0.05], [-0.52 + 0.2 * (1 - inwards), -0.5]])
    limbs.append((thumb, [(0.2, THUMB_RADIUS), (THUMB_RADIUS, 0.11)], 0.08))
    wrist = np.array([[0.0, PALM_LENGTH / 2], [0.0, PALM_LENGTH / 2 + 0.5], [rng.normal(0, 0.3), 4.0]])
    limbs.append((wrist, [(0.36, 0.33), (0.33, 0.55)], -0.05))
    return limbs


def _turn(rng: Generator) -> Points:
    """Fingers upwards more often than not, and to either side."""
    angle = rng.normal(0, 0.8)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _raise_limb(height: Mask, a: Points, b: Points, first: float, last: float, lift: float) -> None:
    """Raise `height` to a rounded limb from `a` to `b`, of radius `first` there and `last` here; all in pixels."""
    size, widest = height.shape[0], max(first, last)
    left, top = np.clip(np.floor(np.minimum(a, b) - widest), 0, size).astype(int)
    right, bottom = np.clip(np.ceil(np.maximum(a, b) + widest) + 1, 0, size).astype(int)
    if left >= right or top >= bottom:
        return
    x = np.arange(left, right, dtype=np.float32)[None] - np.float32(a[0])
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(a[1])
    along, down = (np.float32(step) for step in b - a)
    share = np.clip((x * along + y * down) / max(along * along + down * down, np.float32(1e-3)), 0, 1)
    radius = np.float32(first) + np.float32(last - first) * share
    inside = radius**2 - (x - share * along) ** 2 - (y - share * down) ** 2
    region = height[top:bottom, left:right]
    np.maximum(region, np.where(inside > 0, np.sqrt(np.maximum(inside, 0)) + np.float32(lift), -1), out=region)


def _shading(height: Mask, rng: Generator, scale: float) -> Mask:
    """Light from one side, and the dark where limbs meet."""
    smooth = cv2.GaussianBlur(np.maximum(height, 0), (0, 0), max(0.03 * scale, 0.6))
    down, across = np.gradient(smooth)
    length = np.sqrt(down**2 + across**2 + 1)
    angle, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.8)
    light = (-(across * np.cos(angle) + down * np.sin(angle)) * tilt + 1) / length
    hollow = cv2.GaussianBlur(smooth, (0, 0), max(0.12 * scale, 1.0)) - smooth
    dark = np.clip(hollow / (0.12 * scale), 0, 1) * rng.uniform(0.3, 0.7)
    ambient = rng.uniform(0.35, 0.7)
    return np.asarray((ambient + (1 - ambient) * np.clip(light, 0, 1.3)) * (1 - dark), np.float32)
