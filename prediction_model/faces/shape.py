"""How one person's face at rest differs from the average: its proportions, without its expression.

56 pairs of numbers, the weights of Gaussians on an 8 by 8 grid over the crop, fitted to the mesh. The mean over time
takes the expression out; it travels in `track`. With it, an engine can give the wearer another person's proportions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.faces.align import template
from prediction_model.types import Mesh

GRID = 8
WIDTH = 0.7
"""Of a cell: the Gaussians' standard deviation."""
STIFFNESS = 1e-2
"""Regularises the fit."""
COEFFICIENTS = 56
"""Those of the 64 Gaussians that reach the mesh."""
LARGEST = 0.5
"""Bound of a coefficient, in crop sides: faces stay below half of it."""
MEMORY = 150
"""Frames over which the mean runs."""
FRONTAL = 0.9
"""Cosine of the yaw above which proportions can be seen."""
OUTLINE_KEPT = 0.06
"""Crop sides inside the outline within which a reshaped face goes back to the wearer's own outline."""
RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 33, 263

Shape = npt.NDArray[np.float32]
"""float32 [56, 2]."""


@dataclass(frozen=True, slots=True)
class RunningShape:
    """The mean so far."""

    mean: Shape
    frames: int
    """How many it is made of, at most `MEMORY`."""


@cache
def _basis() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Coefficients to points, float32 [468, 56], and points to coefficients, float32 [56, 468]."""
    cells = (np.arange(GRID) + 0.5) / GRID
    centres = np.stack(np.meshgrid(cells, cells), axis=-1).reshape(-1, 2)
    squared = ((template()[:, None] - centres) ** 2).sum(axis=2)
    reach = np.exp(-squared / (2 * (WIDTH / GRID) ** 2))
    reach = reach[:, reach.sum(axis=0) > 0.5]
    points = reach / reach.sum(axis=1, keepdims=True)
    fit = np.linalg.solve(points.T @ points + STIFFNESS * np.eye(points.shape[1]), points.T)
    return points.astype(np.float32), fit.astype(np.float32)


@cache
def _inside() -> npt.NDArray[np.float32]:
    """float32 [468, 1]: 0 on the template's outline, 1 within."""
    outline = cv2.convexHull(template())
    depth = [cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x, y in template()]
    return np.clip(np.array(depth, np.float32) / OUTLINE_KEPT, 0, 1)[:, None]


def shape_of(mesh: Mesh, size: int) -> Shape:
    """The proportions that `mesh` [468, 3] shows, in pixels of a crop of side `size`: float32 [56, 2]."""
    shape: Shape = _basis()[1] @ (mesh[:, :2] / np.float32(size) - template())
    return np.clip(shape, -LARGEST, LARGEST)


def observe(before: RunningShape | None, mesh: Mesh, size: int) -> RunningShape:
    """The running mean, with what `mesh` (crop pixels) shows. It begins at the average face."""
    running = before or RunningShape(np.zeros((COEFFICIENTS, 2), np.float32), 1)
    if _cosine_of_yaw(mesh) < FRONTAL:
        return running
    frames = min(running.frames + 1, MEMORY)
    mean = running.mean + (shape_of(mesh, size) - running.mean) / np.float32(frames)
    return RunningShape(mean, frames)


def coherent(changes: npt.NDArray[np.complex128]) -> npt.NDArray[np.complex128]:
    """The part of 468 points' changes that neighbours share: complex [468], x + iy."""
    points, fit = _basis()
    # As a matrix of two real columns: BLAS would start threads for a product with a vector, and spin in them.
    shared = points @ (fit @ np.stack([changes.real, changes.imag], axis=1).astype(np.float32))
    together: npt.NDArray[np.complex128] = shared[:, 0] + 1j * shared[:, 1]
    return together


def reshape(mesh: Mesh, size: int, wearer: Shape, identity: Shape, share: float) -> Mesh:
    """`mesh` (crop pixels) with its proportions moved from the wearer's towards the identity's by `share`.

    The outline stays where it is, so that the face still fits the head.
    """
    offset = _basis()[0] @ (identity - wearer) * (_inside() * np.float32(share * size))
    offset[:, 0] *= _cosine_of_yaw(mesh)
    moved = mesh.copy()
    moved[:, :2] += offset
    return moved


def _cosine_of_yaw(mesh: Mesh) -> float:
    across = mesh[LEFT_EYE_OUTER] - mesh[RIGHT_EYE_OUTER]
    return float(np.hypot(across[0], across[1]) / max(float(np.linalg.norm(across)), 1e-6))
