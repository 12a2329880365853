"""The faces of one frame: followed from the frame before where that works, looked for where it does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.faces.detect import Detection, Detector
from prediction_model.faces.landmarks import FaceMesh, roi_of_detection, roi_of_mesh
from prediction_model.faces.smooth import smooth
from prediction_model.faces.track import MAX_FACES, Track, TrackedFace
from prediction_model.types import BgrFrame, Box, Matrix, Mesh

NEW_FACE_FLOOR = 0.5
"""How sure the mesh network must be of a face that was just detected."""
TRACKED_FACE_FLOOR = 0.3
"""How sure of one that it followed: lower, so that a hand before the mouth does not end the swap."""
DETECT_EVERY = 4
"""Frames: the whole frame is searched this often, so that a bystander is soon blurred; every other time with a margin
around it."""
MARGIN = 0.2
"""Of the frame's longer side, in black: with it the detector finds most faces that the frame's edge cuts off by 40 %
(without it, one in three), and fewer of the very small ones."""
LARGEST_JUMP = 0.7
"""Of its own size: a face that seems to have moved further in one frame is another face."""
SAME_FACE = 0.5
"""Two faces whose centres are nearer than this share of the larger one's size are one."""
REMEMBERED_FRAMES = 45
"""For how long a face that is not found is kept in mind."""
FIRST_LOOKS = 2
"""Times the mesh network sees a new face: its first square is a guess from the box, its second fits."""


@dataclass(frozen=True, slots=True)
class FoundFace:
    """One face of the frame."""

    mesh: Mesh
    """float32 [468, 3], smoothed, frame pixels."""
    confidence: float
    """0 to 1, from the mesh network."""
    before: TrackedFace | None
    """The same face in the frame before."""
    number: int = 0
    """1 to `MAX_FACES`: which of the faces it is, for as long as it is followed."""

    @property
    def size(self) -> float:
        """The longer side of the mesh's box, pixels."""
        return _place(self.mesh)[1]

    @property
    def box(self) -> Box:
        """The mesh's box in the frame."""
        left, top, right, bottom = _edges(self.mesh)
        return Box(left, top, right - left, bottom - top)


@dataclass(frozen=True, slots=True)
class Found:
    """Every face of one frame, at most `MAX_FACES`; those of the frame before first, in their order."""

    faces: list[FoundFace]
    lost: list[TrackedFace]
    """Faces of the frames before that were not found: they may still be there, behind a hand or turned away."""
    since_detection: int
    """Frames since the whole frame was last searched in its turn, without a margin."""
    beyond: list[Box] = field(default_factory=list)
    """Where more faces are than `MAX_FACES`: they are not followed, and so can only be veiled."""


class FaceFinder:
    """Detector, mesh and smoothing together. Not thread-safe, because its networks are not."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._mesh = FaceMesh()

    def find(self, frame: BgrFrame, track: Track | None, seconds: float) -> Found:
        """The faces in `frame` [H, W, 3], `seconds` after the frame that `track` tells of."""
        faces: list[FoundFace] = []
        lost: list[TrackedFace] = []
        for before in track.faces if track else ():
            face = self._follow(frame, before, seconds)
            if face is None:
                lost.append(replace(before, lost=before.lost + 1))
            elif not _known(face.mesh, faces):
                faces.append(face)
        since = track.since_detection + 1 if track else 0
        beyond: list[Box] = []
        detections: list[Detection] = []
        # With no room left every frame is searched: what is not followed must be found anew, to be veiled.
        if not faces or lost or since >= 2 * DETECT_EVERY or len(faces) >= MAX_FACES:
            detections = self._detector.detect(frame)
            since %= 2 * DETECT_EVERY
        if track is None or since == DETECT_EVERY:
            detections += self._detect_with_margin(frame)
        faces += self._look(frame, detections, faces, lost)
        if len(faces) >= MAX_FACES:
            beyond = [each.box for each in detections if not _inside_known(each, faces)]
        missing = [face for face in lost if face.lost <= REMEMBERED_FRAMES and not _known(face.points, faces)]
        return Found(_numbered(faces, missing), missing, since, beyond)

    def at(self, frame: BgrFrame, detections: Sequence[Detection]) -> Found:
        """The faces in `frame` where the caller says that they are; the detector does not run."""
        return Found(_numbered(self._look(frame, detections, [], []), []), [], 0)

    def _detect_with_margin(self, frame: BgrFrame) -> list[Detection]:
        margin = round(MARGIN * max(frame.shape[:2]))
        framed = cv2.copyMakeBorder(frame, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
        found = []
        for each in self._detector.detect(np.asarray(framed, np.uint8)):
            box = replace(each.box, x=each.box.x - margin, y=each.box.y - margin)
            found.append(replace(each, box=box, eyes=each.eyes - np.float32(margin)))
        return found

    def _follow(self, frame: BgrFrame, before: TrackedFace, seconds: float) -> FoundFace | None:
        mesh, confidence = self._mesh.landmarks(frame, roi_of_mesh(before.points))
        (centre, size), (old_centre, old_size) = _place(mesh), _place(before.points)
        jump = math.dist(centre, old_centre)
        if confidence < TRACKED_FACE_FLOOR or jump > LARGEST_JUMP * old_size or not 0.5 < size / old_size < 2.0:
            return None
        return FoundFace(smooth(mesh, before.points, seconds), confidence, before)

    def _look(
        self,
        frame: BgrFrame,
        detections: Sequence[Detection],
        known: Sequence[FoundFace],
        lost: Sequence[TrackedFace],
    ) -> list[FoundFace]:
        """The faces of `detections` that are not `known`; one where a `lost` face was is that face."""
        fresh: list[FoundFace] = []
        for detection in detections:
            if len(known) + len(fresh) >= MAX_FACES:
                break
            if _inside_known(detection, [*known, *fresh]):
                continue
            roi: Matrix = roi_of_detection(detection)
            for _ in range(FIRST_LOOKS):
                mesh, confidence = self._mesh.landmarks(frame, roi)
                roi = roi_of_mesh(mesh)
            if confidence >= NEW_FACE_FLOOR and not _known(mesh, [*known, *fresh]):
                fresh.append(FoundFace(mesh, confidence, next((b for b in lost if _same(mesh, b.points)), None)))
        return fresh


def _numbered(faces: Sequence[FoundFace], missing: Sequence[TrackedFace]) -> list[FoundFace]:
    """`faces`, each with the number that it had, or else the lowest that no other has; one that is missing keeps its
    own while there is another to give, because it may come back.

    New ones are numbered from left to right: people who sit still get the same numbers when the track begins anew."""
    numbers: list[int] = []
    for face in faces:
        number = face.before.number if face.before else 0
        numbers.append(0 if number in numbers else number)
    wanted = {face.number for face in missing}
    free = sorted(set(range(1, MAX_FACES + 1)) - set(numbers), key=lambda number: (number in wanted, number))
    new = [place for place, number in enumerate(numbers) if not number]
    for place in sorted(new, key=lambda place: faces[place].box.x):
        numbers[place] = free.pop(0)
    return [replace(face, number=number) for face, number in zip(faces, numbers, strict=True)]


def _edges(points: npt.NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the points' box."""
    x, y = points[:, 0], points[:, 1]
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _place(points: npt.NDArray[np.float32]) -> tuple[tuple[float, float], float]:
    """The middle of the points' box, and its longer side."""
    left, top, right, bottom = _edges(points)
    return ((left + right) / 2, (top + bottom) / 2), max(right - left, bottom - top, 1e-3)


def _same(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> bool:
    """Whether two meshes lie so near to each other that they must be one face."""
    (centre, size), (other_centre, other_size) = _place(one), _place(other)
    return math.dist(centre, other_centre) < SAME_FACE * max(size, other_size)


def _known(mesh: npt.NDArray[np.float32], faces: Sequence[FoundFace]) -> bool:
    return any(_same(mesh, face.mesh) for face in faces)


def _inside_known(detection: Detection, faces: Sequence[FoundFace]) -> bool:
    box = detection.box
    middle = (box.x + box.width / 2, box.y + box.height / 2)
    places = (_place(face.mesh) for face in faces)
    return any(math.dist(middle, centre) < SAME_FACE * size for centre, size in places)
