"""The square crop that every engine works on: the face upright, centred, and always the same size.

The crop follows the upper face alone, so that neither a smile nor an opening jaw moves it; 8 % of it is left above the
forehead's mesh points and 16 % below the chin of a closed mouth.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.types import AlignedFace, BgrFrame, Matrix, Mesh

UPPER_LIP = 0
"""Mesh point: middle of the upper lip. What is above it in the template steers the alignment."""


@cache
def template() -> npt.NDArray[np.float32]:
    """float32 [468, 2]: where the mesh of an average neutral face lies in the crop, as shares of its side.

    It is the mean over frontal renders of the eight personas, made symmetrical.
    """
    points: npt.NDArray[np.float32] = np.load(Path(__file__).with_name("template.npy"))
    return points


@cache
def _steering() -> tuple[npt.NDArray[np.intp], npt.NDArray[np.complex64]]:
    """The steering points' indices, and their places in the template as complex numbers around their mean."""
    points = template()
    indices = np.flatnonzero(points[:, 1] < points[UPPER_LIP, 1] - 0.04)
    places = (points[indices, 0] + 1j * points[indices, 1]).astype(np.complex64)
    return indices, places


def alignment(mesh: Mesh, size: int) -> Matrix:
    """The similarity (turn, scale, shift) that takes `mesh` to the template by least squares (Umeyama, 1991).

    Args:
        mesh: float32 [468, 3] in frame pixels.
        size: the crop's side in pixels.

    Returns:
        float32 [2, 3], frame pixels to crop pixels.
    """
    indices, places = _steering()
    live = mesh[indices, 0] + 1j * mesh[indices, 1]
    live_mean, place_mean = live.mean(), places.mean()
    centred = live - live_mean
    turn = np.vdot(centred, places - place_mean) / max(float(np.vdot(centred, centred).real), 1e-6)
    shift = place_mean - turn * live_mean
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    return (matrix * size).astype(np.float32)


def align(frame: BgrFrame, mesh: Mesh, size: int) -> AlignedFace:
    """Cut the face of `mesh` out of `frame`.

    Args:
        frame: uint8 [H, W, 3] BGR. What lies outside is filled by repeating its border.
        mesh: float32 [468, 3] in frame pixels.
        size: the crop's side in pixels.

    Returns:
        The crop (float32 [size, size, 3] RGB, 0 to 1), the mesh in its pixels, and the matrix that made it.
    """
    matrix = alignment(mesh, size)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    source = frame
    into = matrix
    if scale < 0.5:
        # Bilinear sampling skips pixels when it shrinks by more than two: shrink by area first.
        half = 1 << int(np.floor(np.log2(1 / scale)))
        source = cv2.resize(frame, None, fx=1 / half, fy=1 / half, interpolation=cv2.INTER_AREA)
        into = matrix.copy()
        into[:, 2] += into[:, :2] @ np.full(2, (half - 1) / 2, np.float32)
        into[:, :2] *= half
    # OpenCV warps four channels in half the time of three.
    padded = cv2.cvtColor(source, cv2.COLOR_BGR2BGRA)
    crop = cv2.warpAffine(padded, into, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    rgb = cv2.cvtColor(crop, cv2.COLOR_BGRA2RGB).astype(np.float32)
    rgb *= 1.0 / 255.0
    moved = mesh.copy()
    moved[:, :2] = mesh[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    moved[:, 2] *= scale
    return AlignedFace(rgb, moved, matrix, frame)
