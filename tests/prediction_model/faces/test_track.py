"""A track comes back as it went out, and a forged one does no harm."""

from __future__ import annotations

import base64
import dataclasses
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prediction_model.errors import BadInstance
from prediction_model.faces.hands import MOST_HANDS, Square
from prediction_model.faces.shape import COEFFICIENTS, RunningShape
from prediction_model.faces.track import (
    MAX_CHARACTERS,
    MAX_FACES,
    VERSION,
    Look,
    Track,
    TrackedFace,
    decode_track,
    encode_track,
)

RANDOM = np.random.default_rng(5)


def some_track(faces: int = 2) -> Track:
    made = []
    for _ in range(faces):
        points = (RANDOM.random((468, 2)) * 200 + 100).astype(np.float32)
        look = Look(RANDOM.uniform(0.5, 2, (8, 8, 3)).astype(np.float32), 0.75, 0.5)
        shape = RunningShape(RANDOM.uniform(-0.05, 0.05, (COEFFICIENTS, 2)).astype(np.float32), 31)
        made.append(TrackedFace(points, look, shape))
    return Track(tuple(made), 640, 480, 3, 123_456_789)


def test_comes_back_as_it_went_out() -> None:
    track = some_track()
    back = decode_track(encode_track(track), 640, 480)
    assert back is not None
    assert (back.since_detection, back.captured_us) == (3, 123_456_789)
    for before, after in zip(track.faces, back.faces, strict=True):
        assert np.abs(before.points - after.points).max() < 0.01  # pixels
        assert before.look and after.look and before.shape and after.shape
        assert np.allclose(before.look.gains, after.look.gains, rtol=1e-3)
        assert after.look.contrast == pytest.approx(0.75, abs=1e-3)
        assert after.shape.frames == 31
        assert np.allclose(before.shape.mean, after.shape.mean, atol=1e-4)


def test_four_faces_and_two_hands_fit_the_bound() -> None:
    hands = (Square(300.0, 400.0, 120.0, 0.0),) * MOST_HANDS
    assert len(encode_track(dataclasses.replace(some_track(4), hands=hands))) <= MAX_CHARACTERS


def test_a_face_that_was_not_swapped_has_no_look() -> None:
    track = Track((TrackedFace(some_track(1).faces[0].points, None),), 640, 480, 0, 0)
    back = decode_track(encode_track(track), 640, 480)
    assert back is not None
    assert back.faces[0].look is None and back.faces[0].shape is None


def test_a_lost_face_stays_lost_and_keeps_its_look() -> None:
    face = dataclasses.replace(some_track(1).faces[0], lost=12, number=3)
    back = decode_track(encode_track(Track((face,), 640, 480, 0, 0)), 640, 480)
    assert back is not None
    assert back.faces[0].lost == 12 and back.faces[0].look and back.faces[0].number == 3


def test_every_face_keeps_its_number_and_a_forged_one_is_none() -> None:
    one, other = some_track().faces
    faces = (dataclasses.replace(one, number=4), dataclasses.replace(other, look=None, shape=None, number=1))
    text = encode_track(Track(faces, 640, 480, 0, 0))
    back = decode_track(text, 640, 480)
    assert back is not None and [face.number for face in back.faces] == [4, 1]
    raw = bytearray(base64.b64decode(text))
    raw[17 + 16 + 2] = MAX_FACES + 1  # header, box, two bytes of state
    back = decode_track(base64.b64encode(raw).decode(), 640, 480)
    assert back is not None and [face.number for face in back.faces] == [0, 1]


def test_hands_keep_their_places_and_a_forged_one_is_dropped() -> None:
    places = (Square(300.5, 400.25, 120.0, -1.5), Square(12.0, 8.0, 90.0, 3.0))
    track = dataclasses.replace(some_track(1), hands=places)
    text = encode_track(track)
    back = decode_track(text, 640, 480)
    assert back is not None and back.hands == places and len(back.faces) == 1
    for forged in ((math.nan, 8.0, 90.0, 3.0), (12.0, 8.0, 1.0, 3.0), (12.0, 8.0, 1e9, 3.0), (12.0, -1e9, 90.0, 3.0)):
        raw = base64.b64decode(text)[:-16] + struct.pack("<4f", *forged)
        back = decode_track(base64.b64encode(raw).decode(), 640, 480)
        assert back is not None and back.hands == places[:1]
    with pytest.raises(BadInstance, match="1 faces, 2 hands"):
        decode_track(base64.b64encode(base64.b64decode(text)[:-16]).decode(), 640, 480)


def test_another_frame_size_starts_anew() -> None:
    assert decode_track(encode_track(some_track()), 1280, 720) is None


@pytest.mark.parametrize("absent", [None, ""])
def test_none_is_no_track(absent: object) -> None:
    assert decode_track(absent, 640, 480) is None


@pytest.mark.parametrize(
    "forged",
    [
        17,
        ["a"],
        {"faces": []},
        "not base64!",
        "A" * (MAX_CHARACTERS + 1),
        "é",
        base64.b64encode(bytes([VERSION, 4])).decode(),
    ],
    ids=["number", "list", "object", "not base64", "too long", "not ASCII", "cut short"],
)
def test_what_is_no_track_is_refused(forged: object) -> None:
    with pytest.raises(BadInstance):
        decode_track(forged, 640, 480)


def test_another_version_starts_anew() -> None:
    raw = bytearray(base64.b64decode(encode_track(some_track())))
    raw[0] = 200
    assert decode_track(base64.b64encode(raw).decode(), 640, 480) is None


def test_impossible_boxes_are_dropped() -> None:
    raw = bytearray(base64.b64decode(encode_track(some_track(1))))
    for box in ([np.nan, 0, 50, 50], [0, 0, np.inf, 50], [0, 0, 1, 1], [1e9, 0, 50, 50]):
        raw[16:32] = np.array(box, "<f4").tobytes()
        back = decode_track(base64.b64encode(raw).decode(), 640, 480)
        assert back is not None and back.faces == ()


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 2_500), noise=st.binary(min_size=1, max_size=64))
def test_any_bytes_give_a_bounded_track_or_a_typed_error(at: int, noise: bytes) -> None:
    raw = bytearray(base64.b64decode(encode_track(some_track(1))))
    at = min(at, len(raw) - 1)
    raw[at : at + len(noise)] = noise
    try:
        back = decode_track(base64.b64encode(raw).decode(), 640, 480)
    except BadInstance:
        return
    for face in back.faces if back else ():
        assert np.isfinite(face.points).all() and np.abs(face.points).max() <= 4 * 640
        if face.look:
            assert face.look.gains.min() >= 1 / 8 and face.look.gains.max() <= 8
