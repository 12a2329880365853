"""Steadies a mesh over time: the One-Euro filter (Casiez, Roussel, Vogel, CHI 2012), split into pose and shape.

The pose (where the face is, how large, how turned) and the shape (what the face does, in the crop's coordinates) are
filtered apart, so that a moving head does not loosen the filter of a still mouth. The filter's own memory is only the
mesh it gave last: speeds come from the difference to it, and are averaged over neighbouring points instead of over
time, since what neighbours share is movement and what they do not is noise.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prediction_model.faces.align import alignment
from prediction_model.faces.shape import coherent
from prediction_model.types import Mesh

POSE_CUTOFF_HZ, POSE_BETA = 1.5, 60.0
"""Cutoff at rest, and how much a speed of one face width per second raises it."""
SHAPE_CUTOFF_HZ, SHAPE_BETA = 1.2, 60.0
LONGEST_STEP_SECONDS = 0.25
"""After a longer pause the raw mesh is taken as it is."""

Points = npt.NDArray[np.float32]
"""float32 [468, 2], frame pixels."""


def smooth(mesh: Mesh, previous: Points | None, seconds: float) -> Mesh:
    """`mesh` moved towards where it was.

    Args:
        mesh: float32 [468, 3], frame pixels, as the network gave it.
        previous: float32 [468, 2], what this function gave for the frame before; None for a new face.
        seconds: time between the two frames.

    Returns:
        float32 [468, 3]; z is not filtered.
    """
    if previous is None or not 0 < seconds <= LONGEST_STEP_SECONDS:
        return mesh
    turn, centre, shape = _pose_and_shape(mesh[:, :2])
    old_turn, old_centre, old_shape = _pose_and_shape(previous)
    size = max(abs(turn), 1e-3)
    moved = max(abs(centre - old_centre), abs(turn - old_turn)) / size / seconds
    share = float(_share(POSE_CUTOFF_HZ + POSE_BETA * moved, seconds))
    turn, centre = old_turn + share * (turn - old_turn), old_centre + share * (centre - old_centre)
    change = shape - old_shape
    speed = np.abs(coherent(change)) / seconds
    shape = old_shape + _share(SHAPE_CUTOFF_HZ + SHAPE_BETA * speed, seconds) * change
    places = shape * turn + centre
    smoothed = mesh.copy()
    smoothed[:, 0], smoothed[:, 1] = places.real, places.imag
    return smoothed


def _share(cutoff: npt.NDArray[np.float64] | float, seconds: float) -> npt.NDArray[np.float64]:
    """How much of the new value to take: an exponential filter of `cutoff` Hz."""
    return np.asarray(1.0 / (1.0 + 1.0 / (2 * np.pi * np.asarray(cutoff) * seconds)))


def _pose_and_shape(points: Points) -> tuple[complex, complex, npt.NDArray[np.complex128]]:
    """Points as complex numbers: crop to frame (turn and scale), the crop's middle in the frame, and [468] in the
    crop."""
    matrix = alignment(points, 1)
    turn = complex(matrix[0, 0], matrix[1, 0])
    if abs(turn) < 1e-9:
        turn = 1e-9 + 0j
    shift = complex(matrix[0, 2], matrix[1, 2])
    places = (points[:, 0] + 1j * points[:, 1]) * turn + shift - (0.5 + 0.5j)
    return 1 / turn, (0.5 + 0.5j - shift) / turn, places
