"""Decides what of a learned mask to believe: a hand may show where it surely is before the face, the wearer nowhere.

A network that is unsure draws a blurred hole, and through that hole the wearer would be seen. So holes count only where
they are sharp and reach in from outside the face, as hands do; every other one is closed. Measured: drawn hands before
real faces leave half as many unsure pixels as sure ones (median; 1.2 times as many in one of ten); the small, blurred
faces of real signers, whose hands the network finds but cannot outline, three times as many (0.95 in one of twenty).
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
SMALLEST, LARGEST = 0.01, 0.65
"""Of the face: a smaller hole is noise, and when more is hidden the network has lost the face."""
INSET, RIM = 0.05, 0.03
"""Of the crop's side: how far inside the live outline a face is taken for whole, and a hole's soft edge."""


def believed(mask: Mask, mesh: Mesh) -> Mask:
    """`mask` with every hole closed that is not surely something before the face.

    Args:
        mask: float32 [S, S], the network's: 0 outside the face and where something is before it.
        mesh: float32 [468, 3], the live face's, in pixels of the crop.

    Returns:
        float32 [S, S], nowhere below `mask`.
    """
    whole = _whole(mesh, mask.shape[0])
    inside = _shrunk(whole, INSET)
    before = inside & (mask < BEFORE)
    area = float(inside.sum())
    if before.sum() < SMALLEST * area:
        return _closed(mask, inside)
    unsure = inside & (mask >= BEFORE) & (mask <= FACE)
    opened = _reaching_in(before, inside)
    if unsure.sum() > MOST_UNSURE * before.sum() or (opened & before).sum() > LARGEST * area:
        opened = np.zeros_like(inside)
    # What is not believed is closed as far as the face's own outline.
    closed = _grown(before & (1 - opened), 2 * INSET) & whole
    return _closed(mask, (inside | closed) & (1 - opened))


def _reaching_in(before: npt.NDArray[np.uint8], inside: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The pieces of `before` that touch the border of `inside`, with their edges."""
    border = inside & (1 - _shrunk(inside, 0))
    count, pieces = cv2.connectedComponents(before)
    reaching = np.zeros_like(before)
    for piece in range(1, count):
        hole = (pieces == piece).astype(np.uint8)
        if (hole & border).any() and hole.sum() >= SMALLEST * inside.sum():
            reaching |= _grown(hole, RIM)
    return reaching


def _whole(mesh: Mesh, size: int) -> npt.NDArray[np.uint8]:
    """1 within the live face's outline, uint8 [S, S]."""
    drawn = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(drawn, np.round(cv2.convexHull(np.ascontiguousarray(mesh[:, :2]))).astype(np.int32), 1)
    drawn[[0, -1]] = 0
    drawn[:, [0, -1]] = 0
    return drawn


def _shrunk(area: npt.NDArray[np.uint8], share: float) -> npt.NDArray[np.uint8]:
    """`area` less a rim of `share` of the crop's side, at least a pixel."""
    width = _width(area.shape[0], share)
    return np.asarray(cv2.erode(area, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))), np.uint8)


def _grown(area: npt.NDArray[np.uint8], share: float) -> npt.NDArray[np.uint8]:
    width = _width(area.shape[0], share)
    return np.asarray(cv2.dilate(area, np.ones((width, width), np.uint8)), np.uint8)


def _width(size: int, share: float) -> int:
    """Of a kernel that reaches `share` of the crop's side."""
    return 2 * max(round(size * share), 1) + 1


def _closed(mask: Mask, face: npt.NDArray[np.uint8]) -> Mask:
    """`mask`, 1 where `face` is and softly less around it."""
    width = _width(mask.shape[0], RIM / 2)
    return np.asarray(np.maximum(mask, cv2.blur(face.astype(np.float32), (width, width))), np.float32)
