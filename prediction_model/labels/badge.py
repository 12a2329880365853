"""The visible label: a pill that says "AI MODIFIED", at the lower left, readable at any size.

The words are those of the Code of Practice to Art. 50 of the EU AI Act (2026-06).
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.errors import PictureTooSmall
from prediction_model.types import BgrFrame

TEXT = "AI MODIFIED"
SHARE = 0.052
"""The pill's height, as a share of the frame's shorter side."""
LEAST_HEIGHT = 13
"""Pixels: below it the words cannot be read."""
MARGIN = 0.6
"""Distance from the frame's edges, in heights of the pill."""
OPACITY = 0.78
OVERSAMPLING = 4
CACHED_SIZES = 32


@lru_cache(maxsize=CACHED_SIZES)
def _pill(height: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The badge `height` pixels high: colour times alpha, float32 [h, w, 3] in 0 to 255, and 1 - alpha, float32
    [h, w, 1]."""
    tall = height * OVERSAMPLING
    face, thickness = cv2.FONT_HERSHEY_DUPLEX, max(1, tall // 26)
    scale = tall * 0.5 / cv2.getTextSize(TEXT, face, 1.0, thickness)[0][1]
    (text_width, text_height), _ = cv2.getTextSize(TEXT, face, scale, thickness)
    dot = int(tall * 0.16)
    wide = text_width + int(tall * 1.35) + dot
    wide += -wide % OVERSAMPLING
    shape = np.zeros((tall, wide), np.uint8)
    radius = tall // 2
    for middle in (radius, wide - 1 - radius):
        cv2.circle(shape, (middle, radius), radius - 1, 255, -1)
    cv2.rectangle(shape, (radius, 0), (wide - 1 - radius, tall - 1), 255, -1)
    colour = np.full((tall, wide, 3), (34, 28, 24), np.uint8)
    cv2.circle(colour, (int(tall * 0.55), radius), dot, (92, 196, 255), -1, cv2.LINE_AA)
    origin = (int(tall * 0.85) + dot, (tall + text_height) // 2)
    cv2.putText(colour, TEXT, origin, face, scale, (255, 255, 255), thickness, cv2.LINE_AA)
    ink = (colour.max(axis=2, keepdims=True).astype(np.float32) - 34) / 221
    alpha = shape[..., None].astype(np.float32) / 255 * np.maximum(OPACITY, np.clip(ink * 2, 0, 1))
    size = (wide // OVERSAMPLING, height)
    lit = cv2.resize(colour.astype(np.float32) * alpha, size, interpolation=cv2.INTER_AREA)
    left = 1 - cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    return lit, left[..., None]


def badge_box(width: int, height: int) -> tuple[int, int, int, int]:
    """Where the badge lies in a frame of that size: left, top, width, height in pixels.

    Raises:
        PictureTooSmall: the frame is too small to carry it.
    """
    tall = max(LEAST_HEIGHT, round(min(width, height) * SHARE))
    while True:
        wide = _pill(tall)[0].shape[1]
        if wide <= width and tall <= height:
            break
        if tall <= LEAST_HEIGHT:
            raise PictureTooSmall(
                f"Expected a frame of at least {wide}×{tall} pixels, which a readable label needs; received "
                f"{width}×{height}. Send a larger one."
            )
        tall = max(LEAST_HEIGHT, tall - 1)
    margin = round(tall * MARGIN)
    return min(margin, width - wide), max(height - tall - margin, 0), wide, tall


def put_badge(frame: BgrFrame) -> None:
    """Draw the badge on `frame`, uint8 [H, W, 3] BGR, in place.

    Raises:
        PictureTooSmall: the frame is too small to carry it.
    """
    left, top, wide, tall = badge_box(frame.shape[1], frame.shape[0])
    lit, rest = _pill(tall)
    region = frame[top : top + tall, left : left + wide]
    region[:] = np.rint(region * rest + lit)
