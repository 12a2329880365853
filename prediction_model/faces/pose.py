"""Which way a head looks, from the mesh alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prediction_model.types import Mesh

TEMPLES = (234, 454)
FOREHEAD, CHIN = 10, 152
LEVEL_PITCH = 8.0
"""Degrees by which the line from forehead to chin slopes in a level face: the mean over eight people and 260 poses."""
YAW_GAIN = 1.2
"""The mesh's depth is flatter than a head: measured against rendered heads of known pose."""


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Degrees; 0 looks straight into the camera, upright."""

    yaw: float
    """Above 0: turned to the person's own left."""
    pitch: float
    """Above 0: looking up."""
    roll: float
    """Above 0: tilted to the person's own left shoulder, which is clockwise in the picture."""


def head_pose(mesh: Mesh) -> HeadPose:
    """The pose of `mesh`, float32 [468, 3] with z away from the camera in pixels."""
    across = mesh[TEMPLES[1]] - mesh[TEMPLES[0]]
    down = mesh[CHIN] - mesh[FOREHEAD]
    roll = np.arctan2(across[1], across[0])
    # Measured in the head's own upright axes, so that a tilted head turns and nods like an upright one.
    width = np.hypot(across[0], across[1])
    height = -np.sin(roll) * down[0] + np.cos(roll) * down[1]
    yaw = YAW_GAIN * np.arctan2(across[2], width)
    slope = np.arctan2(down[2], max(float(height), 1e-3))
    return HeadPose(float(np.degrees(yaw)), LEVEL_PITCH - float(np.degrees(slope)), float(np.degrees(roll)))
