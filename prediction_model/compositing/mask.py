"""Where the swapped face may show: inside the live face's own outline, and not over what stays the wearer's."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.types import Mask, Mesh

INSET = 0.02
"""Of the crop's side: the mask is this far inside the mesh's outline before it is feathered."""
FEATHER = 0.07
"""Of the crop's side: width of the outline's soft edge, all of it inside the outline."""
PART_FEATHER = 0.02
"""The same for eyes and mouth."""
DRAWN_AT = 128
"""Masks are drawn at this many pixels a side, then enlarged: they are smooth."""
_SHIFT = 4
"""Fractional bits of polygon corners."""

RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
INNER_MOUTH = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
"""Mesh points around the eyeballs and the inside of the lips, in order."""


def outline(mesh: Mesh, size: int) -> Mask:
    """The live face's outline, feathered inwards.

    Args:
        mesh: float32 [468, 3] in crop pixels.
        size: the crop's side.

    Returns:
        float32 [size, size], exactly 0 outside the mesh's convex hull and at the crop's border.
    """
    scale = DRAWN_AT / size
    hull = cv2.convexHull(np.ascontiguousarray(mesh[:, :2]) * scale)[:, 0]
    drawn = np.zeros((DRAWN_AT, DRAWN_AT), np.float32)
    cv2.fillConvexPoly(drawn, _fixed_point(hull), 1.0, cv2.LINE_AA, _SHIFT)
    drawn[[0, -1]] = 0
    drawn[:, [0, -1]] = 0
    reach = max(round(DRAWN_AT * (INSET + FEATHER / 2)), 1)
    inner = cv2.erode(drawn, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    width = max(round(DRAWN_AT * FEATHER / 2) | 1, 3)
    soft = cv2.blur(cv2.blur(inner, (width, width)), (width, width))
    return cv2.resize(soft, (size, size), interpolation=cv2.INTER_LINEAR)


def parts(mesh: Mesh, size: int, *, eyes: bool, mouth: bool) -> Mask | None:
    """The eyeballs and the inside of the mouth, feathered: float32 [size, size], or None when neither is asked for."""
    wanted = ((RIGHT_EYE, LEFT_EYE) if eyes else ()) + ((INNER_MOUTH,) if mouth else ())
    if not wanted:
        return None
    drawn = np.zeros((size, size), np.float32)
    polygons = [_fixed_point(mesh[list(part), :2]) for part in wanted]
    cv2.fillPoly(drawn, polygons, 1.0, cv2.LINE_AA, _SHIFT)
    width = max(round(size * PART_FEATHER) | 1, 3)
    return cv2.GaussianBlur(drawn, (width, width), 0)


def _fixed_point(corners: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    return np.round(np.clip(corners, -1e4, 1e4) * (1 << _SHIFT)).astype(np.int32)
