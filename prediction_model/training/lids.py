"""Opens and shuts eyes in pictures, so that a pair's input and truth agree on them.

A render's eyes shut as far as its photograph's do, which is seldom far and for everybody different: the same
performance leaves one actor's eyes open and half shuts another's. What the network is to learn, that lids follow lids,
has to be put into the pairs: both faces' lids are measured, and the truth's moved to be as far open as the input's.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.faces.eyes import INNER, LOWER, OUTER, UPPER, Lids, lid_gap

ABOVE, BELOW = 0.42, 0.3
"""How far above the upper and below the lower lid the skin gives way, in widths of the eye."""
BESIDE = 0.15
"""How far beside the corners it does."""
LOWER_SHARE = 0.15
"""Of the way that shutting lids go to each other, the lower lid's."""
THINNEST = 0.03
"""Of the gap: as far as eyes are shut, for pictures keep a line between lids."""

FloatArray = npt.NDArray[np.float32]


def openness(contours: Lids) -> float:
    """The mean gap between the lids of both eyes [2, 16, 2], of the eyes' width."""
    return (lid_gap(contours[0]) + lid_gap(contours[1])) / 2


def move_lids(picture: FloatArray, contours: Lids, factor: float) -> FloatArray:
    """`picture` with the gap between its lids `factor` times what it was.

    Args:
        picture: float32 [H, W, C]; not changed.
        contours: float32 [2, 16, 2], see `EyeLids.contours`, in pixels of the picture.
        factor: from `THINNEST`, shut, over 1, unchanged.
    """
    moved = picture.copy()
    for contour in contours:
        _move_eye(moved, contour, max(factor, THINNEST))
    return moved


def _move_eye(picture: FloatArray, contour: Lids, factor: float) -> None:
    """The same for one eye [16, 2], in place.

    Column by column of the eye's own axes: what lies between brow and upper lid, between the lids, and between the
    lower lid and the cheek is stretched or squeezed, each evenly.
    """
    origin, across = contour[OUTER], contour[INNER] - contour[OUTER]
    width = float(np.hypot(*across))
    if width < 2:
        return
    x_axis = across / width
    y_axis = np.array([-x_axis[1], x_axis[0]], np.float32)
    if (contour[LOWER].mean(axis=0) - contour[UPPER].mean(axis=0)) @ y_axis < 0:
        y_axis = -y_axis
    left, top, right, bottom = _around(contour, width, picture.shape[1], picture.shape[0])
    if left >= right or top >= bottom:
        return
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
    across_eye = ((x - origin[0]) * x_axis[0] + (y - origin[1]) * x_axis[1]) / width
    down = ((x - origin[0]) * y_axis[0] + (y - origin[1]) * y_axis[1]) / width
    local = (contour - origin) / width
    along, height = local @ x_axis, local @ y_axis
    upper, lower = (_lid(across_eye, along, height, part) for part in (UPPER, LOWER))
    lower = np.maximum(lower, upper)
    # Beside the corners the pull dies away.
    beside = np.clip(np.maximum(-across_eye, across_eye - 1) / BESIDE, 0, 1)
    meeting = lower - LOWER_SHARE * (lower - upper)
    new_upper, new_lower = (meeting + factor * (lid - meeting) for lid in (upper, lower))
    brow, cheek = upper - ABOVE, lower + BELOW
    was = _stretched(down, (brow, new_upper, new_lower, cheek), (brow, upper, lower, cheek))
    shift = ((was - down) * (1 - beside) * width).astype(np.float32)
    picture[top:bottom, left:right] = cv2.remap(
        picture, x + shift * y_axis[0], y + shift * y_axis[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).reshape(bottom - top, right - left, -1)


def _around(contour: Lids, width: float, columns: int, rows: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what may move, in the picture."""
    (left, top), (right, bottom) = contour.min(axis=0), contour.max(axis=0)
    margin = width * max(ABOVE, BELOW, BESIDE) + 1
    low = np.maximum(np.floor([left - margin, top - margin]), 0).astype(int)
    high = np.minimum(np.ceil([right + margin, bottom + margin]), [columns, rows]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _lid(place: FloatArray, along: FloatArray, height: FloatArray, part: slice) -> FloatArray:
    """The lid's height at each `place` across the eye; from the corners outwards it is the corners'."""
    points = sorted(zip(along[part].tolist(), height[part].tolist(), strict=True))
    xs, ys = [0.0, *(p[0] for p in points), 1.0], [0.0, *(p[1] for p in points), 0.0]
    return np.interp(place, np.maximum.accumulate(np.clip(xs, 0, 1)), ys).astype(np.float32)


def _stretched(
    value: FloatArray, knots: tuple[FloatArray, FloatArray, FloatArray, FloatArray], goals: tuple[FloatArray, ...]
) -> FloatArray:
    """`value` mapped piece by piece from between `knots` to between `goals`; beyond the outer ones unchanged."""
    result = value
    for start, end, first, last in zip(knots[:-1], knots[1:], goals[:-1], goals[1:], strict=True):
        share = (value - start) / np.maximum(end - start, 1e-4)
        result = np.where((value >= start) & (value < end), first + share * (last - first), result)
    return np.asarray(result, np.float32)
