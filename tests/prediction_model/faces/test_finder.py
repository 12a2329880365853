"""Faces are found in real frames, followed without the detector, and found by dlib too."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from prediction_model.faces.detect import BlazeFace, Detection, Detector
from prediction_model.faces.dlib_detector import DlibDetector
from prediction_model.faces.embed import SAME_PERSON, describe, distance
from prediction_model.faces.finder import DETECT_EVERY, FaceFinder, Found
from prediction_model.faces.track import Track, TrackedFace
from prediction_model.types import BgrFrame
from tests.prediction_model.conftest import Frames


class Counting:
    """Counts the calls of a real detector."""

    def __init__(self) -> None:
        self.calls = 0
        self._detector = BlazeFace()

    def detect(self, frame: BgrFrame) -> list[Detection]:
        self.calls += 1
        return self._detector.detect(frame)


def test_a_followed_face_needs_the_detector_only_now_and_then(frames: Frames) -> None:
    detector = Counting()
    finder = FaceFinder(detector)
    track, sizes = None, []
    for frame in frames("w1")[: 2 * DETECT_EVERY]:
        found = finder.find(frame, track, 1 / 15)
        assert len(found.faces) == 1
        sizes.append(found.faces[0].size)
        faces = tuple(TrackedFace(face.mesh[:, :2], None) for face in found.faces)
        track = Track(faces, 640, 480, found.since_detection, 0)
    assert detector.calls == 3  # the first frame as it is and with a margin, and once after DETECT_EVERY
    assert np.ptp(sizes) < 0.2 * np.mean(sizes)


def test_two_people_are_two_faces_largest_or_not(frames: Frames) -> None:
    both = np.hstack([frames("w1")[0], frames("w2")[0]])
    found = FaceFinder(BlazeFace()).find(both, None, 0.0)
    assert sorted(face.box.x > 640 for face in found.faces) == [False, True]
    assert numbers(found) == [1, 2]


def with_a_bystander(frames: Frames) -> BgrFrame:
    """A wearer, and at the left edge, which cuts off a third of it, a face half as large."""
    frame = frames("w1")[0].copy()
    other = cv2.resize(frames("w2")[0], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    (face,) = FaceFinder(BlazeFace()).find(other, None, 0.0).faces
    seen = other[:, round(face.box.x + 0.35 * face.box.width) :][:, :160]
    frame[: seen.shape[0], : seen.shape[1]] = seen
    return np.asarray(frame, np.uint8)


def test_a_bystander_whom_the_frame_s_edge_cuts_off_is_found(frames: Frames, finder: FaceFinder) -> None:
    frame = with_a_bystander(frames)
    assert len(BlazeFace().detect(frame)) == 1, "the detector alone does not see them"
    assert len(finder.find(frame, None, 0.0).faces) == 2
    # Nor does one who comes later stay unseen.
    track = track_of(finder.find(frames("w1")[0], None, 0.0), 640)
    seen = []
    for _ in range(2 * DETECT_EVERY):
        found = finder.find(frame, track, 1 / 15)
        seen.append(len(found.faces))
        track = track_of(found, 640)
    assert seen[0] == 1 and seen[-1] == 2


def test_a_track_that_points_nowhere_is_left_for_the_detector(frames: Frames, finder: FaceFinder) -> None:
    frame = frames("w1")[0]
    nowhere = np.random.default_rng(1).uniform(0, 60, (468, 2)).astype(np.float32)
    found = finder.find(frame, Track((TrackedFace(nowhere, None),), 640, 480, 0, 0), 1 / 15)
    true = finder.find(frame, None, 0.0)
    assert [face.size for face in found.faces] == pytest.approx([face.size for face in true.faces], rel=0.02)


def test_a_face_that_is_hidden_is_kept_in_mind_and_found_again(frames: Frames, finder: FaceFinder) -> None:
    both = np.hstack([frames("w1")[0], frames("w2")[0]])
    seen = finder.find(both, None, 0.0)
    track = Track(tuple(TrackedFace(face.mesh[:, :2], None) for face in seen.faces), 1280, 480, 0, 0)
    hidden = both.copy()
    hidden[:, 640:] = 90
    found = finder.find(hidden, track, 1 / 15)
    assert len(found.faces) == 1 and [face.lost for face in found.lost] == [1]
    kept = (TrackedFace(found.faces[0].mesh[:, :2], None), *found.lost)
    again = finder.find(both, Track(kept, 1280, 480, 0, 0), 1 / 15)
    assert len(again.faces) == 2 and again.lost == []
    assert all(face.before for face in again.faces)


def track_of(found: Found, width: int) -> Track:
    """What the next frame is told of `found`."""
    seen = [TrackedFace(face.mesh[:, :2], None, number=face.number) for face in found.faces]
    return Track((*seen, *found.lost), width, 480, found.since_detection, 0)


def numbers(found: Found) -> list[int]:
    """The faces' numbers, from left to right."""
    return [face.number for face in sorted(found.faces, key=lambda face: face.box.x)]


def test_a_face_keeps_its_number_whoever_comes_and_goes(frames: Frames, finder: FaceFinder) -> None:
    empty = np.full((480, 640, 3), 90, np.uint8)
    alone = finder.find(np.hstack([empty, frames("w1")[0], empty]), None, 0.0)
    assert numbers(alone) == [1]
    three = np.hstack([frames("w2")[0], frames("w1")[0], frames("w2")[30]])
    joined = finder.find(three, Track(track_of(alone, 1920).faces, 1920, 480, 2 * DETECT_EVERY, 0), 1 / 15)
    left, middle, right = numbers(joined)
    assert (left, middle, right) == (2, 1, 3)
    hidden = finder.find(np.hstack([frames("w2")[0], empty, frames("w2")[30]]), track_of(joined, 1920), 1 / 15)
    assert numbers(hidden) == [left, right] and [face.number for face in hidden.lost] == [1]
    back = finder.find(three, track_of(hidden, 1920), 1 / 15)
    assert numbers(back) == [left, 1, right]


def test_of_a_forged_track_no_two_faces_get_one_number(frames: Frames, finder: FaceFinder) -> None:
    both = np.hstack([frames("w1")[0], frames("w2")[0]])
    faces = [replace(face, number=2) for face in track_of(finder.find(both, None, 0.0), 1280).faces]
    assert sorted(numbers(finder.find(both, Track(tuple(faces), 1280, 480, 0, 0), 1 / 15))) == [1, 2]


def test_an_empty_frame_has_no_face(finder: FaceFinder) -> None:
    assert finder.find(np.full((480, 640, 3), 90, np.uint8), None, 0.0).faces == []


def test_dlib_finds_the_same_face(frames: Frames, finder: FaceFinder) -> None:
    frame = frames("w2")[0]
    detector: Detector = DlibDetector()
    by_dlib = FaceFinder(detector).find(frame, None, 0.0).faces
    assert len(by_dlib) == 1
    difference = by_dlib[0].mesh - finder.find(frame, None, 0.0).faces[0].mesh
    assert np.abs(difference[:, :2]).mean() < 3  # pixels


def test_the_descriptor_tells_the_wearers_apart(frames: Frames, finder: FaceFinder) -> None:
    first, later, other = (frames(name)[at] for name, at in (("w1", 0), ("w1", 60), ("w2", 0)))
    a, b, c = (describe(frame, finder.find(frame, None, 0.0).faces[0].mesh) for frame in (first, later, other))
    assert distance(a, b) < 0.4 < SAME_PERSON < 0.8 < distance(a, c)
