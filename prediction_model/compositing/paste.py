"""Puts an aligned face back into its frame, touching nothing but the pixels under its mask."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.types import BgrFrame, Mask, Matrix


def fit_to_frame(matrix: Matrix) -> int:
    """By which power of two to shrink a crop before it is pasted, so that sampling it skips no pixels."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    return 1 << int(np.floor(np.log2(scale))) if scale >= 2 else 1


def shrink_matrix(matrix: Matrix, factor: float) -> Matrix:
    """`matrix` (frame to crop) for the crop shrunk `factor` times; 0.5: enlarged twice."""
    shrunk = matrix / np.float32(factor)
    shrunk[:, 2] -= np.float32((factor - 1) / (2 * factor))
    return shrunk


def paste(frame: BgrFrame, face: npt.NDArray[np.uint8], mask: Mask, matrix: Matrix) -> None:
    """Blend `face` into `frame`, in place.

    Args:
        frame: uint8 [H, W, 3] BGR.
        face: uint8 [S, S, 3] RGB.
        mask: float32 [S, S] in [0, 1]. Where it is 0 the frame keeps its exact values.
        matrix: float32 [2, 3], frame to crop; it enlarges less than twice (`fit_to_frame`).
    """
    into = matrix.astype(np.float64)
    left, top, width, height = _region(mask, into, frame)
    if width <= 0 or height <= 0:
        return
    into[:, 2] += into[:, :2] @ (left, top)
    # Four channels in one go: OpenCV warps them faster than three, and than three and one.
    both = cv2.cvtColor(face, cv2.COLOR_RGB2BGRA)
    cv2.insertChannel(cv2.convertScaleAbs(mask, alpha=255), both, 3)
    both = cv2.warpAffine(both, into, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    alpha = cv2.cvtColor(cv2.extractChannel(both, 3), cv2.COLOR_GRAY2BGR)
    live = frame[top : top + height, left : left + width]
    # Each part is rounded by itself: a level of 255 at most, for half the time of blending in floating point.
    pasted = cv2.multiply(cv2.cvtColor(both, cv2.COLOR_BGRA2BGR), alpha, scale=1 / 255)
    cv2.add(pasted, cv2.multiply(live, cv2.bitwise_not(alpha), scale=1 / 255), dst=live)


def _region(mask: Mask, into: np.ndarray, frame: BgrFrame) -> tuple[int, int, int, int]:
    """Left, top, width and height of what the mask can touch in the frame."""
    x, y, wide, tall = cv2.boundingRect((mask > 0).view(np.uint8))
    if not wide:
        return 0, 0, 0, 0
    x0, x1, y0, y1 = x - 1, x + wide, y - 1, y + tall
    back = cv2.invertAffineTransform(into)
    corners = np.array([[x0, y0], [x1, y0], [x0, y1], [x1, y1]], np.float64) @ back[:, :2].T + back[:, 2]
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, (frame.shape[1], frame.shape[0]))
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])
