"""Puts an engine's face into the frame: lit, coloured, as sharp as the live one, and masked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.compositing.colour import compare, follow, relight
from prediction_model.compositing.detail import enlarge, soften, softness
from prediction_model.compositing.glare import eyes_seen
from prediction_model.compositing.mask import outline, parts
from prediction_model.compositing.paste import fit_to_frame, paste, shrink_matrix
from prediction_model.faces.hands import Hand, covered
from prediction_model.faces.track import Look
from prediction_model.types import AlignedFace, BgrFrame, Crop, Mask, SwappedFace

SMALL_CROP, ENLARGED_BELOW = 192, 0.7
"""A crop of at most so many pixels a side is enlarged and sharpened before a paste that would stretch it further."""
SMALLEST_CROP = 16
"""Pixels: what is left of the crop of a face too small to be seen."""


def composite(
    frame: BgrFrame,
    live: AlignedFace,
    swapped: SwappedFace,
    *,
    live_eyes: bool,
    live_mouth: bool,
    strength: float,
    edge: float,
    hands: Sequence[Hand] = (),
    before: Look | None,
    seconds: float,
) -> Look | None:
    """Paste `swapped` over `live` in `frame` [H, W, 3], in place.

    Args:
        live_eyes, live_mouth: whether the wearer's own show through.
        strength: 0 to 1, multiplies the mask.
        edge: 0 to 1, how wide the mask's soft edge is.
        hands: of the frame; where they cover the face, the frame stays as it is.
        before: how the face looked in the frame before, `seconds` ago.

    Returns:
        How it looks now, for the next frame; None, and nothing is pasted, when too little of it is in sight to be lit.
    """
    size = live.crop.shape[0] // min(fit_to_frame(live.matrix), live.crop.shape[0] // SMALLEST_CROP)
    factor = live.crop.shape[0] // size
    matrix = shrink_matrix(live.matrix, factor)
    crop, face = _resized(live.crop, size), _resized(swapped.face, size)
    shape = outline(live.mesh / np.float32(factor), size, edge)
    mask: Mask = shape * _resized(swapped.mask, size)
    if hands:
        mask = mask * (1.0 - covered(hands, matrix, shape))
    light = compare(crop, face, mask)
    if light is None:
        return None
    mask = mask * (1.0 - cv2.resize(light.hair, (size, size), interpolation=cv2.INTER_LINEAR))
    gains, contrast = follow(light, before, seconds)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    look = Look(gains, contrast, softness(crop, face, scale, before, seconds))
    lit = soften(relight(face, gains, contrast, light.skin), look.softness, max(scale, 1.0))
    mesh = (live.mesh if swapped.mesh is None else swapped.mesh) / np.float32(factor)
    eyes = eyes_seen(crop, live.mesh / np.float32(factor)) if live_eyes else (0.0, 0.0)
    showing = parts(mesh, size, eyes=eyes, mouth=float(live_mouth))
    if showing is not None:
        moved = None if swapped.moved is None else swapped.moved / np.float32(factor)
        lit = _with_live_parts(lit, crop, showing, moved)
    mask = mask * np.float32(strength)
    if size <= SMALL_CROP and scale < ENLARGED_BELOW:
        lit, mask, matrix = enlarge(lit), _resized(mask, 2 * size), shrink_matrix(matrix, 0.5)
    paste(frame, lit, mask, matrix)
    return look


def _resized(picture: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    if picture.shape[0] == size:
        return picture
    how = cv2.INTER_AREA if size < picture.shape[0] else cv2.INTER_LINEAR
    return cv2.resize(picture, (size, size), interpolation=how)


@cache
def _pixels(size: int) -> npt.NDArray[np.float32]:
    """float32 [size, size, 2]: every pixel's own x and y."""
    along = np.arange(size, dtype=np.float32)
    return np.stack(np.meshgrid(along, along), axis=-1)


def _with_live_parts(
    face: npt.NDArray[np.uint8], live: Crop, showing: Mask, moved: npt.NDArray[np.float32] | None
) -> npt.NDArray[np.uint8]:
    """`face` with the live crop where `showing` is 1; `moved` (pixels) says where the live crop has it."""
    left, top, width, height = cv2.boundingRect((showing > 0).view(np.uint8))
    if not width:
        return face
    region = np.s_[top : top + height, left : left + width]
    size = face.shape[0]
    if moved is None:
        seen = live[region]
    else:
        places = cv2.resize(moved, (size, size), interpolation=cv2.INTER_LINEAR)[region] + _pixels(size)[region]
        seen = cv2.remap(live, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = np.ascontiguousarray(showing[region])
    mixed = face.copy()
    mixed[region] = cv2.blendLinear(
        cv2.convertScaleAbs(seen, alpha=255), np.ascontiguousarray(face[region]), alpha, 1 - alpha
    )
    return mixed
