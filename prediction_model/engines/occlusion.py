"""Decides what of a learned mask to believe: a hand may show where it surely is before the face, the wearer nowhere.

A network that is unsure draws a blurred hole, and through that hole the wearer would be seen. So holes count only where
they are sharp and reach in from outside the face, as hands do; every other one is closed. Measured: drawn hands before
real faces leave 0.4 times as many unsure pixels as sure ones (median); the small, blurred faces of real signers, whose
hands the network finds but cannot outline, 2.6 times as many (0.74 in one of twenty).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.types import Mask, Mesh

BEFORE, FACE = 0.15, 0.85
"""Below the one something is before the face, above the other nothing is; what lies between is unsure."""
MOST_UNSURE = 0.7
"""Unsure pixels of a face for one before which something is: more, and none is believed."""
SEEN = 0.1
"""Above it a pixel is taken to belong to the face when its outline is drawn: even an unsure network shows the rim."""
SMALLEST, LARGEST = 0.01, 0.65
"""Of the face: a smaller hole is noise, and when more is hidden the network has lost the face."""
CORE = 0.72
"""The live outline, shrunk by this towards its middle: there a mask is judged, because the identity's face may be
narrower than the wearer's."""
RIM = 0.03
"""Of the crop's side: a hole's soft edge."""


def believed(mask: Mask, mesh: Mesh) -> Mask:
    """`mask` with every hole closed that is not surely something before the face.

    Args:
        mask: float32 [S, S], the network's: 0 outside the face and where something is before it.
        mesh: float32 [468, 3], the live face's, in pixels of the crop.

    Returns:
        float32 [S, S], nowhere below `mask`.
    """
    core = _core(mesh, mask.shape[0])
    whole = _whole(mask, core)
    before = whole & (mask < BEFORE)
    unsure = core & (mask >= BEFORE) & (mask <= FACE)
    hidden = cv2.countNonZero(before & core)
    width = _width(mask.shape[0], RIM / 2)
    closed = cv2.erode(whole, np.ones((width, width), np.uint8))
    believable = 0 < hidden <= LARGEST * cv2.countNonZero(core)
    if believable and cv2.countNonZero(unsure) <= MOST_UNSURE * hidden:
        closed = closed & (1 - _reaching_in(before, whole))
    return np.asarray(np.maximum(mask, cv2.blur(closed.astype(np.float32), (width, width))), np.float32)


def doubt(mask: Mask, mesh: Mesh) -> float:
    """Which share of the face, 0 to 1, `mask` is not sure to be free: what to look for hands by. See `believed`."""
    core = _core(mesh, mask.shape[0])
    return cv2.countNonZero(core & (mask <= FACE)) / max(cv2.countNonZero(core), 1)


def _reaching_in(before: npt.NDArray[np.uint8], whole: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The pieces of `before` that touch the border of `whole`, with their edges."""
    border = whole & (1 - cv2.erode(whole, np.ones((3, 3), np.uint8)))
    count, pieces, about, _ = cv2.connectedComponentsWithStats(before)
    least = SMALLEST * cv2.countNonZero(whole)
    reaching = np.zeros_like(before)
    width = _width(before.shape[0], RIM)
    for piece in range(1, count):
        if about[piece, cv2.CC_STAT_AREA] < least:
            continue
        hole = (pieces == piece).astype(np.uint8)
        if (hole & border).any():
            reaching |= cv2.dilate(hole, np.ones((width, width), np.uint8))
    return reaching


def _core(mesh: Mesh, size: int) -> npt.NDArray[np.uint8]:
    """1 well inside the live face's outline, uint8 [S, S]."""
    hull = cv2.convexHull(np.ascontiguousarray(mesh[:, :2]))[:, 0]
    middle = (hull.min(axis=0) + hull.max(axis=0)) / 2
    drawn = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(drawn, np.round(middle + CORE * (hull - middle)).astype(np.int32), 1)
    return drawn


def _whole(mask: Mask, core: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The identity's face as if nothing were before it: the convex hull of what shows of it and of `core`."""
    drawn = np.zeros_like(core)
    shown = core | (mask > SEEN).astype(np.uint8)
    outlines, _ = cv2.findContours(shown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if outlines:
        cv2.fillConvexPoly(drawn, cv2.convexHull(np.concatenate(outlines)), 1)
    return drawn


def _width(size: int, share: float) -> int:
    """Of a kernel that reaches `share` of the crop's side."""
    return 2 * max(round(size * share), 1) + 1
