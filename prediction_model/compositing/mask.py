"""Where the swapped face may show: inside the live face's own outline, and not over what stays the wearer's."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.types import Mask, Mesh

INSET = 0.012
"""Of the crop's side: the mask is this far inside the mesh's outline before it is feathered."""
FEATHER_TOP, FEATHER_JAW = 0.11, 0.045
"""Of the crop's side: width of the outline's soft edge, all of it inside the outline; wide where a forehead passes
into hair, narrow where a jaw ends."""
TOP, JAW = 0.22, 0.5
"""Of the crop's side, down from its top: the one width holds above, the other below."""
NEUTRAL_EDGE = 0.5
EDGE_WIDTHS = (0.35, 1.0, 1.8)
"""What the widths are multiplied by at `edge` 0, neutral and 1: narrower, a seam would show; wider, the wearer."""
PART_FEATHER = 0.02
"""The same for eyes and mouth."""
OPEN_GAP, CLOSED_GAP = 0.2, 0.1
"""Height of an eye's contour over its width: above the one only the eyeball stays live, below the other the lids do
too."""
RIM = (0.05, 0.09)
"""Of an eye's width: how far below and above an open eye stays live: a picture's lashes would stand still in a
blink."""
LIDS = (0.18, 0.4)
"""Of an eye's width: how far below and above a closed eye its lids stay live."""
DRAWN_AT = 128
"""Masks are drawn at this many pixels a side, then enlarged: they are smooth."""
PARTS_DRAWN_AT = 160
_SHIFT = 4
"""Fractional bits of polygon corners."""

RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
INNER_MOUTH = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
"""Mesh points around the eyeballs and the inside of the lips, in order."""


def outline(mesh: Mesh, size: int, edge: float = NEUTRAL_EDGE) -> Mask:
    """The live face's outline, feathered inwards.

    Args:
        mesh: float32 [468, 3] in crop pixels.
        size: the crop's side.
        edge: 0 to 1, from a narrow to a wide soft edge.

    Returns:
        float32 [size, size], exactly 0 outside the mesh's convex hull and at the crop's border.
    """
    scale = DRAWN_AT / size
    hull = cv2.convexHull(np.ascontiguousarray(mesh[:, :2]) * scale)[:, 0]
    drawn = np.zeros((DRAWN_AT, DRAWN_AT), np.uint8)
    cv2.fillConvexPoly(drawn, _fixed_point(hull), 1, cv2.LINE_8, _SHIFT)
    drawn[[0, -1]] = 0
    drawn[:, [0, -1]] = 0
    depth = cv2.distanceTransform(drawn, cv2.DIST_L2, 3) / DRAWN_AT
    rows = np.arange(DRAWN_AT, dtype=np.float32) / DRAWN_AT
    feather = np.interp(rows, (TOP, JAW), (FEATHER_TOP, FEATHER_JAW)).astype(np.float32)[:, None]
    feather *= np.float32(np.interp(edge, (0, NEUTRAL_EDGE, 1), EDGE_WIDTHS))
    ramp = np.clip((depth - INSET) / feather, 0, 1)
    soft = ramp * ramp * (3 - 2 * ramp)
    return cv2.resize(soft, (size, size), interpolation=cv2.INTER_LINEAR)


def parts(mesh: Mesh, size: int, *, eyes: tuple[float, float], mouth: float) -> Mask | None:
    """The eyeballs and the inside of the mouth, feathered.

    Args:
        mesh: float32 [468, 3] in crop pixels.
        size: the crop's side.
        eyes: how much of the right and of the left eye is wanted, 0 to 1.
        mouth: the same of the mouth.

    Returns:
        float32 [size, size], or None when nothing is wanted.
    """
    if not any(eyes) and not mouth:
        return None
    small = min(size, PARTS_DRAWN_AT)
    mesh = mesh * np.float32(small / size)
    drawn = np.zeros((small, small), np.float32)
    polygons = [(_eye(mesh[list(eye), :2]), weight) for eye, weight in zip((RIGHT_EYE, LEFT_EYE), eyes, strict=True)]
    for polygon, weight in [*polygons, (mesh[list(INNER_MOUTH), :2], mouth)]:
        if weight > 0:
            cv2.fillPoly(drawn, [_fixed_point(polygon)], weight, cv2.LINE_AA, _SHIFT)
    width = max(round(small * PART_FEATHER) | 1, 3)
    soft = cv2.GaussianBlur(drawn, (width, width), 0)
    return soft if small == size else cv2.resize(soft, (size, size), interpolation=cv2.INTER_LINEAR)


def _eye(contour: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What stays live of one eye, [16, 2]: the eyeball while it is open, the lids too when it closes, because a
    picture of an open eye has none."""
    corners = contour[[0, 8]]
    along = corners[1] - corners[0]
    width = max(float(np.hypot(*along)), 1e-3)
    up = np.array([-along[1], along[0]], np.float32) / width
    height = (contour - corners[0]) @ up
    gap = float(height.max() - height.min()) / width
    closed = float(np.clip((OPEN_GAP - gap) / (OPEN_GAP - CLOSED_GAP), 0, 1))
    # The first half of the contour is the lower lid.
    side = np.sign(height[1:8].mean() - height[9:].mean()) or 1.0
    lower, upper = ((rim + lid * closed) * width for rim, lid in zip(RIM, LIDS, strict=True))
    lift = np.zeros(len(contour), np.float32)
    lift[1:8], lift[9:] = side * lower, -side * upper
    return np.asarray(contour + lift[:, None] * up, np.float32)


def _fixed_point(corners: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    return np.round(np.clip(corners, -1e4, 1e4) * (1 << _SHIFT)).astype(np.int32)
