"""Makes faces unrecognisable: what is shown of a bystander, and of the wearer when a swap fails."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.types import BgrFrame

PIXELS_ACROSS = 10
"""What is left of a veiled face's width; 16 is where people begin to recognise each other."""
GROWN = 1.7
"""The veil covers the face's box times this: hair and ears identify too."""


def veil_face(frame: BgrFrame, mesh: npt.NDArray[np.float32]) -> None:
    """Blur the face of `mesh` [468, 2 or 3] (frame pixels), and its surroundings, in place."""
    low, high = mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)
    centre, half = (low + high) / 2, (high - low) / 2 * GROWN
    left, top = np.maximum(np.floor(centre - half), 0).astype(int)
    right, bottom = np.minimum(np.ceil(centre + half), (frame.shape[1], frame.shape[0])).astype(int)
    if right - left < 1 or bottom - top < 1:
        return
    region = frame[top:bottom, left:right]
    pixels = float((high - low).min()) / PIXELS_ACROSS
    blurred = _coarse(region, max(pixels, 1.0))
    shape = np.zeros(region.shape[:2], np.uint8)
    middle = (round(float(centre[0] - left)), round(float(centre[1] - top)))
    axes = (max(round(float(half[0])), 1), max(round(float(half[1])), 1))
    cv2.ellipse(shape, middle, axes, 0, 0, 360, 255, -1)
    cv2.copyTo(blurred, shape, region)


def veil_frame(frame: BgrFrame) -> BgrFrame:
    """The whole of `frame` so coarse that not even a face that fills it can be recognised."""
    return _coarse(frame, max(frame.shape[:2]) / PIXELS_ACROSS)


def black_frame(frame: BgrFrame) -> BgrFrame:
    """Black, of the same shape."""
    return np.zeros_like(frame)


def _coarse(region: BgrFrame, pixels: float) -> BgrFrame:
    """`region` averaged over squares of `pixels`, then spread smoothly."""
    height, width = region.shape[:2]
    small = cv2.resize(
        region, (max(round(width / pixels), 1), max(round(height / pixels), 1)), interpolation=cv2.INTER_AREA
    )
    coarse: BgrFrame = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    return coarse
