"""Hands before a face are found, followed and left in the picture; what is no hand is not.

The hands are drawn: nobody's.
"""

from __future__ import annotations

import logging
from typing import Literal

import cv2
import numpy as np
import pytest

from prediction_model.errors import FaceModelMissing
from prediction_model.faces import hands
from prediction_model.faces.finder import FaceFinder
from prediction_model.faces.hands import HandFinder, available, covered
from prediction_model.faces.track import decode_track
from prediction_model.options import FrameOptions
from prediction_model.picture import read_picture
from prediction_model.pipeline import FrameAnswer, FrameRequest, Pipeline
from prediction_model.prediction import ModelPrediction
from prediction_model.training.hands import hand
from prediction_model.types import BgrFrame, Box, Mask
from tests.prediction_model.conftest import Frames

SKIN = np.array([120, 150, 200], np.float32)
"""BGR."""
DRAWN = (8, 9, 13, 32)
"""Seeds of whole hands that lie over the lower face."""
STILL = np.array([[1, 0, 0], [0, 1, 0]], np.float32)

Engine = Literal["autoencoder", "photo"]

needs_models = pytest.mark.skipif(not available(), reason="the hands' models have no wheel for this machine")


@pytest.fixture(scope="module")
def finder_of_hands() -> HandFinder:
    return HandFinder()


def with_hand(frame: BgrFrame, seed: int) -> tuple[BgrFrame, Mask]:
    """`frame` [480, 640, 3] with a drawn hand before its middle, and where that covers it, float32 [480, 640]."""
    rng = np.random.default_rng(seed)
    drawn, shading = hand(rng, 480, (240 + rng.uniform(-60, 60), 300 + rng.uniform(-60, 60)))
    cover = np.zeros(frame.shape[:2], np.float32)
    cover[:, 80:560] = drawn
    shown = frame.astype(np.float32)
    lit = np.clip(SKIN * shading[..., None], 0, 255)
    shown[:, 80:560] = shown[:, 80:560] * (1 - drawn[..., None]) + lit * drawn[..., None]
    return shown.astype(np.uint8), cover


def face_of(finder: FaceFinder, frame: BgrFrame) -> Box:
    return finder.find(frame, None, 0).faces[0].box


@needs_models
@pytest.mark.parametrize("seed", DRAWN)
def test_a_hand_is_found_where_it_is_and_followed(
    finder_of_hands: HandFinder, finder: FaceFinder, frames: Frames, seed: int
) -> None:
    frame = frames("w1")[0]
    face = face_of(finder, frame)
    shown, cover = with_hand(frame, seed)
    (found,) = finder_of_hands.find(shown, face, (), search=True)
    drawn = covered([found], STILL, np.ones(frame.shape[:2], np.float32)) > 0.5
    near = np.zeros_like(drawn)
    x, y = found.middle.astype(int)
    reach = int(found.square.side / 2)
    near[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach] = True  # the whole forearm is not its business
    shared, either = (drawn & (cover > 0.5) & near).sum(), ((drawn | (cover > 0.5)) & near).sum()
    assert shared / either > 0.6
    moved = np.roll(shown, (5, 8), (0, 1))
    (followed,) = finder_of_hands.find(moved, face, [found.square], search=False)
    assert np.linalg.norm(followed.middle - found.middle - (8, 5)) < 0.05 * found.square.side
    assert finder_of_hands.find(frame, face, [followed.square], search=False) == []


@needs_models
@pytest.mark.parametrize("name", ["w1", "w2"])
def test_a_face_alone_is_no_hand(finder_of_hands: HandFinder, finder: FaceFinder, frames: Frames, name: str) -> None:
    for frame in frames(name)[::8]:
        assert finder_of_hands.find(frame, face_of(finder, frame), (), search=True) == []


@needs_models
def test_a_hand_far_from_the_face_is_left_alone(
    finder_of_hands: HandFinder, finder: FaceFinder, frames: Frames
) -> None:
    shown, _ = with_hand(frames("w1")[0], DRAWN[0])
    face = face_of(finder, frames("w1")[0])
    assert finder_of_hands.find(shown, face, (), search=True)
    away = Box(face.x, face.y - 2 * face.height, face.width, face.height)
    assert finder_of_hands.find(shown, away, (), search=True) == []


@needs_models
def test_hands_that_hide_nearly_all_of_a_face_are_not_believed(finder_of_hands: HandFinder, frames: Frames) -> None:
    shown, cover = with_hand(frames("w1")[0], DRAWN[0])
    found = finder_of_hands.find(shown, Box(220, 140, 200, 200), (), search=True)
    assert covered(found, STILL, np.ones_like(cover)).max() > 0.9
    under = (covered(found, STILL, np.ones_like(cover)) > 0.99).astype(np.float32)
    assert not covered(found, STILL, under).any(), "a face that is all under the hand"
    assert not covered([], STILL, under).any()


def swapped(model: ModelPrediction, pipeline: Pipeline, frame: BgrFrame, engine: Engine, track: object) -> FrameAnswer:
    options = FrameOptions(engine=engine, quality=95)
    picture = bytes(cv2.imencode(".png", frame)[1])
    return pipeline.run(FrameRequest(picture, options, track), model.engine_of(model.identities.get("p1"), engine))


def decoded(answer: FrameAnswer) -> BgrFrame:
    assert answer.picture is not None
    return np.asarray(cv2.imdecode(np.frombuffer(answer.picture, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def difference(answer: FrameAnswer, frame: BgrFrame, where: Mask) -> float:
    """Mean of the absolute differences of the picture from `frame`, where `where` is 1."""
    return float(cv2.absdiff(decoded(answer), frame)[where > 0.99].mean())


@needs_models
@pytest.mark.parametrize("engine", ["autoencoder", "photo"])
def test_a_hand_before_the_face_stays_in_the_picture(
    model: ModelPrediction, frames: Frames, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = frames("w1")[0]
    shown, cover = with_hand(frame, DRAWN[1])
    swapping = Pipeline(read_picture, lambda frame, _: frame)
    alone = swapped(model, swapping, frame, engine, None)
    face = np.zeros(frame.shape[:2], np.float32)
    face[cv2.absdiff(decoded(alone), frame).sum(axis=2) > 30] = 1
    middle = cv2.erode(cover, np.ones((25, 25))) * face  # of the hand, where a face would be drawn
    assert middle.sum() > 500
    first = swapped(model, swapping, shown, engine, None)
    assert first.swapped and difference(first, shown, middle) < 4
    track = decode_track(first.track, 640, 480)
    assert track and len(track.hands) == 1
    again = swapped(model, swapping, shown, engine, first.track)
    assert again.swapped and difference(again, shown, middle) < 4
    monkeypatch.setattr("prediction_model.pipeline.available", lambda: False)
    without = swapped(model, Pipeline(read_picture, lambda frame, _: frame), shown, engine, None)
    if engine == "photo":  # the network of the other has learnt such hands
        assert without.swapped and difference(without, shown, middle) > 3 * difference(first, shown, middle)


def test_nobody_looks_for_hands_where_the_network_is_sure_of_the_face(
    model: ModelPrediction, frames: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("prediction_model.pipeline.available", lambda: asked.append(1))
    pipeline, track = Pipeline(read_picture, lambda frame, _: frame), None
    for frame in frames("w1")[:9]:
        track = swapped(model, pipeline, frame, "autoencoder", track).track
    assert not asked
    swapped(model, pipeline, frames("w1")[0], "photo", None)
    assert asked, "the other engine cannot tell"


def test_without_the_models_it_is_said_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def missing(name: str) -> None:
        raise FaceModelMissing(name, "it is not installed", "pip install --no-deps mediapipe==0.10.21")

    monkeypatch.setattr(hands, "model_file", missing)
    available.cache_clear()
    try:
        with caplog.at_level(logging.WARNING):
            assert not available() and not available()
    finally:
        available.cache_clear()
    (record,) = caplog.records
    assert record.getMessage().startswith("Hands before a face are painted over. The model palm_detection_lite.tflite")
    assert "pip install --no-deps mediapipe==0.10.21" in record.getMessage()
