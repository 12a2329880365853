"""What the prediction service says of the faces in a picture (`POST /v1/faces:inspect`), and whether it will do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from facedetect.errors import PoorPicture, Unavailable
from facedetect.operator import NO_ANSWER, Operator, Refusal

PATH = "/v1/faces:inspect"
SAME_PERSON = 0.6
"""Distance of two descriptors below which they are one person's, by dlib's own choice."""
LEAST_EYE_DISTANCE = 50.0
LEAST_SHARPNESS = 80.0
DARKEST, BRIGHTEST = 50.0, 215.0
FRONTAL_DEGREES = 18.0
OPEN_EYES = 0.5


@dataclass(frozen=True, slots=True)
class Face:
    """One face; docs/architecture.md has the units."""

    eye_distance: float
    blur: float
    brightness: float
    yaw: float
    pitch: float
    eyes_open: float
    descriptor: tuple[float, ...]

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Face:
        return cls(
            eye_distance=float(fields["eye_distance"]),
            blur=float(fields["blur"]),
            brightness=float(fields["brightness"]),
            yaw=float(fields["yaw"]),
            pitch=float(fields["pitch"]),
            eyes_open=float(fields["eyes_open"]),
            descriptor=tuple(map(float, fields["descriptor"])),
        )

    def distance(self, descriptor: Sequence[float]) -> float:
        """Euclidean distance to another face's descriptor."""
        return math.dist(self.descriptor, descriptor)


def inspect(operator: Operator, picture: bytes, media: str) -> list[Face]:
    """The faces of `picture`, the largest first. Raises PoorPicture for what is no picture, Unavailable."""
    try:
        return [Face.read(face) for face in operator.call("POST", PATH, picture, media)["faces"]]
    except Refusal as refusal:
        raise PoorPicture(str(refusal)) from None
    except (KeyError, TypeError, ValueError):
        raise Unavailable(NO_ANSWER) from None


def the_one_face(faces: Sequence[Face]) -> Face:
    """The only face. Raises PoorPicture for none or several."""
    if len(faces) != 1:
        raise PoorPicture(
            _("Expected one face; found none. Show your face from the front.")
            if not faces
            else _("Expected one face; found several. Be alone in the picture.")
        )
    return faces[0]


def fit_for_enrolment(faces: Sequence[Face]) -> Face:
    """The only face, good enough to become an identity. Raises PoorPicture with what to do better."""
    face = the_one_face(faces)
    for poor, remedy in (
        (face.eye_distance < LEAST_EYE_DISTANCE, _("The face is too small. Come closer, or choose a larger picture.")),
        (face.blur < LEAST_SHARPNESS, _("The face is blurred. Hold still, and clean the lens.")),
        (face.brightness < DARKEST, _("The face is too dark. Turn towards a window or a lamp.")),
        (face.brightness > BRIGHTEST, _("The face is too bright. Turn away from the lamp.")),
        (max(abs(face.yaw), abs(face.pitch)) > FRONTAL_DEGREES, _("The face looks aside. Look into the camera.")),
        (face.eyes_open < OPEN_EYES, _("The eyes are shut. Open them.")),
    ):
        if poor:
            raise PoorPicture(remedy)
    return face
