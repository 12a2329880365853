"""Makes a swapped face as sharp, or as soft, as the live one.

Sharpness is told by how fast detail falls off from one octave to the next (frame pixels), which depends little on
whose face it is: about 0.65 for a sharp picture, 0.5 for one that is blurred by a pixel.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.faces.track import SOFTNESS, Look
from prediction_model.types import Crop

FOLLOW_SECONDS = 1.0
"""A camera's sharpness changes slowly."""
FALL_OFF = (0.42, 0.47, 0.53, 0.64)
BLUR = (1.4, 1.0, 0.7, 0.0)
"""The fall-off of faces blurred by so many pixels (standard deviation), measured on the eight personas."""
LARGEST, SMALLEST = 128, 16
"""Pixels: the middle of the face is looked at in this size."""
STEEPENED, STEEPENED_OVER = 0.75, 0.9
"""Unsharp mask of a crop that is enlarged: amount, and standard deviation in its own pixels."""
SHARPENED = 0.8
"""At most."""
NARROW, NARROW_KERNEL = 1.0, (5, 5)
"""Blurs up to that standard deviation need no wider kernel; OpenCV would take seven pixels for twice the time."""


def softness(live: Crop, face: Crop, scale: float, previous: Look | None, seconds: float) -> float:
    """The blur that `face` needs to look as `live`.

    Args:
        live, face: float32 [S, S, 3] RGB.
        scale: crop pixels per frame pixel.
        previous: how the face looked in the frame before.
        seconds: time since then.

    Returns:
        Standard deviation in frame pixels (in crop pixels where these are larger); negative: how much to sharpen.
    """
    wanted = blur_of(live, scale)
    has = blur_of(face, scale)
    needed = float(np.sqrt(wanted**2 - has**2)) if wanted > has else (wanted - has) * SHARPENED
    needed = float(np.clip(needed, *SOFTNESS))
    if previous is None:
        return needed
    return previous.softness + (1.0 - float(np.exp(-seconds / FOLLOW_SECONDS))) * (needed - previous.softness)


def blur_of(crop: Crop, scale: float) -> float:
    """How blurred the middle of `crop` [S, S, 3] is at the frame's own resolution: standard deviation in frame
    pixels, or in crop pixels where these are larger."""
    quarter = crop.shape[0] // 4
    side = int(np.clip(2 * quarter / max(scale, 1.0), SMALLEST, LARGEST))
    green = np.ascontiguousarray(crop[quarter:-quarter, quarter:-quarter, 1])
    green = cv2.resize(green, (side, side), interpolation=cv2.INTER_AREA)
    fine, middle, broad = (cv2.GaussianBlur(green, (0, 0), sigma) for sigma in (0.6, 1.2, 2.4))
    fall_off = float(np.abs(fine - middle).mean()) / max(float(np.abs(middle - broad).mean()), 1e-5)
    return float(np.interp(fall_off, FALL_OFF, BLUR))


def soften(picture: npt.NDArray[np.uint8], amount: float, pixels: float) -> npt.NDArray[np.uint8]:
    """Blur `picture` [H, W, 3] by `amount` frame pixels, `pixels` of its own being one; sharpen it if `amount` is
    negative."""
    if abs(amount) < 0.15:
        return picture
    if amount > 0:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), amount * pixels), np.uint8)
    blurred = cv2.GaussianBlur(picture, NARROW_KERNEL if pixels <= NARROW else (0, 0), pixels)
    return np.asarray(cv2.addWeighted(picture, 1 - amount, blurred, amount, 0), np.uint8)


def enlarge(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """`picture` [S, S, 3] twice as large, its edges as steep as before: [2 S, 2 S, 3]."""
    # Sharpened before and not after: nearly the same picture, for a quarter of the pixels.
    blurred = cv2.GaussianBlur(picture, NARROW_KERNEL, STEEPENED_OVER)
    steep = cv2.addWeighted(picture, 1 + STEEPENED, blurred, -STEEPENED, 0)
    size = 2 * picture.shape[0]
    return np.asarray(cv2.resize(steep, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)
