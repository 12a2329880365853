"""`faces:inspect`: what a picture's faces are like, so that the client judges enrolments without a model of its own."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from prediction_model.faces.align import align
from prediction_model.faces.embed import Descriptor, describe
from prediction_model.faces.eyes import LEFT_EYE, RIGHT_EYE, EyeLids
from prediction_model.faces.finder import FaceFinder
from prediction_model.faces.pose import HeadPose, head_pose
from prediction_model.types import BgrFrame, Box, JsonObject, Mesh

CROP = 128
"""Pixels: the aligned crop's side that blur and brightness are measured on."""


@dataclass(frozen=True, slots=True)
class InspectedFace:
    """One face of a picture."""

    mesh: Mesh
    """float32 [468, 3] in pixels of the picture."""
    box: Box
    confidence: float
    eye_distance: float
    """Between the eyes' middles, pixels."""
    blur: float
    """Variance of the Laplacian of the aligned crop at 128 pixels (Pech-Pacheco et al., 2000): higher is sharper."""
    brightness: float
    """Mean luma of that crop, 0 to 255."""
    pose: HeadPose
    eyes_open: float
    """0 (shut) to 1."""
    descriptor: Descriptor
    """float32 [128]."""

    def json(self) -> JsonObject:
        """The face as in docs/architecture.md."""
        return {
            "box": [round(v, 1) for v in (self.box.x, self.box.y, self.box.width, self.box.height)],
            "confidence": round(self.confidence, 3),
            "eye_distance": round(self.eye_distance, 1),
            "blur": round(self.blur, 1),
            "brightness": round(self.brightness, 1),
            "yaw": round(self.pose.yaw, 1),
            "pitch": round(self.pose.pitch, 1),
            "roll": round(self.pose.roll, 1),
            "eyes_open": round(self.eyes_open, 2),
            "descriptor": [round(float(v), 5) for v in self.descriptor],
        }


def inspect_faces(picture: BgrFrame, finder: FaceFinder, lids: EyeLids) -> list[InspectedFace]:
    """The faces of `picture`, uint8 [H, W, 3] BGR, the largest first.

    Raises:
        FaceModelMissing: the descriptor's weights are not installed.
    """
    found = sorted(finder.find(picture, None, 0.0).faces, key=lambda face: -face.size)
    return [_inspect(picture, face.mesh, face.box, face.confidence, lids) for face in found]


def _inspect(picture: BgrFrame, mesh: Mesh, box: Box, confidence: float, lids: EyeLids) -> InspectedFace:
    crop = align(picture, mesh, CROP).crop
    luma = cv2.cvtColor(np.rint(crop * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    eyes = [mesh[list(corners), :2].mean(axis=0) for corners in (RIGHT_EYE, LEFT_EYE)]
    return InspectedFace(
        mesh=mesh,
        box=box,
        confidence=confidence,
        eye_distance=float(np.hypot(*(eyes[1] - eyes[0]))),
        blur=float(cv2.Laplacian(luma, cv2.CV_64F).var()),
        brightness=float(luma.mean()),
        pose=head_pose(mesh),
        eyes_open=lids.eyes_open(picture, mesh),
        descriptor=describe(picture, mesh),
    )
