"""One frame through the real pipeline: what is swapped, what is left alone, and that it fails closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest

from prediction_model.compositing.veil import PIXELS_ACROSS
from prediction_model.engines.photo import PhotoEngine
from prediction_model.errors import BadInstance, LabellingFailed, PredictionError
from prediction_model.faces.embed import describe, distance
from prediction_model.faces.finder import FaceFinder
from prediction_model.labels.badge import badge_box
from prediction_model.options import FrameOptions
from prediction_model.picture import read_picture
from prediction_model.pipeline import FrameAnswer, FrameRequest, Pipeline
from prediction_model.prediction import ModelPrediction
from prediction_model.types import AlignedFace, BgrFrame, Part, SwappedFace
from tests.prediction_model.conftest import Frames


def png(frame: BgrFrame) -> bytes:
    """Lossless, so that what is left alone can be compared exactly."""
    return bytes(cv2.imencode(".png", frame)[1])


def decoded(answer: FrameAnswer) -> BgrFrame:
    assert answer.picture is not None
    return np.asarray(cv2.imdecode(np.frombuffer(answer.picture, np.uint8), cv2.IMREAD_COLOR), np.uint8)


@pytest.fixture(scope="module")
def unlabelled() -> tuple[Pipeline, list[BgrFrame]]:
    """A pipeline whose label step only keeps the frame as it was before, in the list."""
    kept: list[BgrFrame] = []

    def keep(frame: BgrFrame, payload: int) -> BgrFrame:
        kept.append(frame.copy())
        return frame

    return Pipeline(read_picture, keep), kept


@pytest.fixture(scope="module")
def persona(model: ModelPrediction) -> PhotoEngine:
    """The photo engine of p1."""
    engine = model.engine_of(model.identities.get("p1"), "photo")
    assert isinstance(engine, PhotoEngine)
    return engine


class Broken:
    """An engine that raises."""

    name, crop_size = "photo", 256
    live_parts: tuple[Part, ...] = ("eyes", "mouth")

    def swap(self, faces: Sequence[AlignedFace]) -> list[SwappedFace]:
        raise MemoryError("no memory left")


@pytest.mark.parametrize(("wearer", "identity"), [("w1", "p1"), ("w2", "p8")])
def test_the_swapped_face_is_nearer_to_the_persona_than_to_the_wearer(
    model: ModelPrediction, finder: FaceFinder, frames: Frames, wearer: str, identity: str
) -> None:
    picture = read_picture((model.identities.get(identity).folder / "face.jpg").read_bytes())
    theirs = describe(picture, finder.find(picture, None, 0.0).faces[0].mesh)
    track, to_persona, to_wearer = None, [], []
    for index, frame in enumerate(frames(wearer)[:60]):
        request = FrameRequest(png(frame), FrameOptions(quality=95), track, captured_us=index * 66_667)
        answer = model.pipeline.run(request, model.engine_of(model.identities.get(identity), "photo"))
        track = answer.track
        assert answer.swapped
        if index % 6 == 5:
            mesh = finder.find(frame, None, 0.0).faces[0].mesh
            made = describe(decoded(answer), mesh)
            to_persona.append(distance(made, theirs))
            to_wearer.append(distance(made, describe(frame, mesh)))
    assert all(near < far for near, far in zip(to_persona, to_wearer, strict=True))
    assert np.mean(to_persona) < 0.65
    assert np.mean(to_wearer) > 0.7


def test_nothing_outside_the_face_changes_before_labelling(
    unlabelled: tuple[Pipeline, list[BgrFrame]], persona: PhotoEngine, frames: Frames
) -> None:
    pipeline, kept = unlabelled
    frame = frames("w2")[3]
    answer = pipeline.run(FrameRequest(png(frame)), persona)
    inside = np.zeros(frame.shape[:2], np.uint8)
    hull = cv2.convexHull(np.ascontiguousarray(answer.faces[0].mesh[:, :2]))
    cv2.fillConvexPoly(inside, np.round(hull).astype(np.int32), 1)
    inside = cv2.dilate(inside, np.ones((5, 5), np.uint8))
    difference = np.abs(kept[-1].astype(int) - frame).max(axis=2)
    assert difference[inside == 0].max() == 0
    assert difference[inside == 1].mean() > 8


def test_a_frame_without_a_face_is_held_blurred_or_black(model: ModelPrediction, persona: PhotoEngine) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    answers = {
        what: model.pipeline.run(FrameRequest(png(frame), FrameOptions(on_failure=what)), persona)
        for what in ("hold", "blur", "black")
    }
    assert not any(answer.swapped or answer.faces for answer in answers.values())
    assert answers["hold"].picture is None
    assert decoded(answers["black"])[:400].max() < 32  # the watermark
    assert decoded(answers["blur"])[:400].std() < 0.2 * frame.std()


def test_an_engine_that_raises_shows_nobody(
    unlabelled: tuple[Pipeline, list[BgrFrame]], finder: FaceFinder, frames: Frames
) -> None:
    pipeline, kept = unlabelled
    answer = pipeline.run(FrameRequest(png(frames("w1")[0])), Broken())
    assert not answer.swapped and answer.picture is not None
    assert finder.find(kept[-1], None, 0.0).faces == []
    coarse = cv2.resize(kept[-1], (16, 12), interpolation=cv2.INTER_AREA)
    assert PIXELS_ACROSS <= 16
    assert np.abs(cv2.resize(coarse, (640, 480)).astype(int) - kept[-1]).mean() < 4
    held = pipeline.run(FrameRequest(png(frames("w1")[0]), FrameOptions(on_failure="hold")), Broken())
    assert held.picture is None


class Invisible:
    """An engine whose mask is empty."""

    name, crop_size = "photo", 64
    live_parts: tuple[Part, ...] = ("eyes", "mouth")

    def swap(self, faces: Sequence[AlignedFace]) -> list[SwappedFace]:
        return [SwappedFace(face.crop, np.zeros((64, 64), np.float32)) for face in faces]


def test_a_face_that_cannot_be_composited_is_not_shown(
    unlabelled: tuple[Pipeline, list[BgrFrame]], finder: FaceFinder, frames: Frames
) -> None:
    pipeline, kept = unlabelled
    answer = pipeline.run(FrameRequest(png(frames("w1")[0])), Invisible())
    assert not answer.swapped
    assert finder.find(kept[-1], None, 0.0).faces == []


class Unchanged:
    """An engine that gives back what it gets, as sharp, lit and coloured as it came."""

    name = "autoencoder"
    live_parts: tuple[Part, ...] = ()

    def __init__(self, crop_size: int) -> None:
        self.crop_size = crop_size

    def swap(self, faces: Sequence[AlignedFace]) -> list[SwappedFace]:
        return [SwappedFace(face.crop, np.ones(face.crop.shape[:2], np.float32)) for face in faces]


@pytest.mark.parametrize("shrunk", [1, 4], ids=["near", "far"])
def test_compositing_adds_nothing_of_its_own(
    unlabelled: tuple[Pipeline, list[BgrFrame]], frames: Frames, shrunk: int
) -> None:
    pipeline, kept = unlabelled
    frame = np.full((480, 640, 3), 90, np.uint8)
    small = cv2.resize(frames("w2")[0], (640 // shrunk, 480 // shrunk), interpolation=cv2.INTER_AREA)
    frame[: 480 // shrunk, : 640 // shrunk] = small
    answer = pipeline.run(FrameRequest(png(frame)), Unchanged(160))
    assert answer.swapped
    box = answer.faces[0].box
    face = np.s_[int(box.y) : int(box.y + box.height), int(box.x) : int(box.x + box.width)]
    change = np.abs(kept[-1].astype(int) - frame)[face]
    assert 0 < change.mean() < 5


def test_no_label_no_frame(persona: PhotoEngine, frames: Frames) -> None:
    def fail(frame: BgrFrame, payload: int) -> BgrFrame:
        raise ValueError("no room for the badge")

    with pytest.raises(LabellingFailed):
        Pipeline(read_picture, fail).run(FrameRequest(png(frames("w1")[0])), persona)


def test_bystanders_are_blurred_left_or_swapped(
    unlabelled: tuple[Pipeline, list[BgrFrame]], persona: PhotoEngine, finder: FaceFinder, frames: Frames
) -> None:
    pipeline, kept = unlabelled
    both = np.hstack([frames("w1")[0], frames("w2")[0]])
    seen = finder.find(both, None, 0.0).faces
    who = [describe(both, face.mesh) for face in seen]

    def result(**options: Any) -> tuple[FrameAnswer, BgrFrame]:
        answer = pipeline.run(FrameRequest(png(both), FrameOptions(**options)), persona)
        return answer, kept[-1]

    answer, frame = result()
    other = answer.faces[1].mesh
    index = int(np.argmin([np.abs(face.mesh - other).mean() for face in seen]))
    assert len(answer.faces) == 2
    assert distance(describe(frame, other), who[index]) > 0.6

    answer, frame = result(bystanders="leave")
    assert distance(describe(frame, answer.faces[1].mesh), who[index]) < 0.1

    answer, frame = result(faces="all")
    assert len(finder.find(frame, None, 0.0).faces) == 2
    assert all(distance(describe(frame, face.mesh), was) > 0.6 for face, was in zip(seen, who, strict=True))


@pytest.mark.parametrize("options", [FrameOptions(), FrameOptions(faces="all", bystanders="leave")], ids=str)
def test_of_a_crowd_nobody_is_shown(
    unlabelled: tuple[Pipeline, list[BgrFrame]], persona: PhotoEngine, frames: Frames, options: FrameOptions
) -> None:
    pipeline, kept = unlabelled
    one = cv2.resize(frames("w2")[0], (320, 240), interpolation=cv2.INTER_AREA)
    crowd = np.ascontiguousarray(np.tile(one, (2, 3, 1)))  # more than a track holds
    track: object = None
    for _ in range(2):  # those that are followed take the room of the others
        track = pipeline.run(FrameRequest(png(crowd), options, track), persona).track
        for number in range(6):
            row, column = divmod(number, 3)
            middle = np.s_[row * 240 + 80 : row * 240 + 160, column * 320 + 120 : column * 320 + 200]
            changed = np.abs(kept[-1][middle].astype(int) - crowd[middle]).mean()
            assert changed > 5, f"face {number} is shown"


def test_a_swapped_face_that_hides_is_veiled_where_it_was(
    unlabelled: tuple[Pipeline, list[BgrFrame]], persona: PhotoEngine, frames: Frames
) -> None:
    pipeline, kept = unlabelled
    both = np.hstack([frames("w1")[0], frames("w2")[0]])
    first = pipeline.run(FrameRequest(png(both), FrameOptions(bystanders="leave"), captured_us=0), persona)
    x = int(first.faces[0].box.x) // 640 * 640
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    hidden = both.copy()
    hidden[:, x : x + 640] = noise  # the wearer's half: no face can be found, another is still in sight
    request = FrameRequest(png(hidden), FrameOptions(bystanders="leave"), first.track, captured_us=33_000)
    answer = pipeline.run(request, persona)
    assert answer.swapped and len(answer.faces) == 1
    centre = first.faces[0].mesh[:, :2].mean(axis=0).astype(int)
    around = np.s_[centre[1] - 60 : centre[1] + 60, centre[0] - 60 : centre[0] + 60]
    assert kept[-1][around].std() < 0.4 * hidden[around].std()


def test_a_track_makes_the_next_frame_steady_and_a_hostile_one_is_refused(
    model: ModelPrediction, persona: PhotoEngine, frames: Frames
) -> None:
    first = model.pipeline.run(FrameRequest(png(frames("w1")[0]), captured_us=0), persona)
    again = model.pipeline.run(FrameRequest(png(frames("w1")[0]), track=first.track, captured_us=33_000), persona)
    assert again.faces[0].before is not None
    assert np.abs(again.faces[0].mesh - first.faces[0].mesh)[:, :2].max() < 2  # pixels
    with pytest.raises(BadInstance):
        model.pipeline.run(FrameRequest(png(frames("w1")[0]), track="x" * 99), persona)


def test_mirror_flips_the_picture_and_its_boxes_but_not_the_badge(
    model: ModelPrediction, persona: PhotoEngine, frames: Frames
) -> None:
    picture = png(frames("w1")[0])
    plain, mirrored = (
        model.pipeline.run(FrameRequest(picture, FrameOptions(mirror=m)), persona) for m in (False, True)
    )
    x, _, width, _ = plain.json()["faces"][0]["box"]
    assert mirrored.json()["faces"][0]["box"][0] == pytest.approx(639 - x - width, abs=0.2)
    one, other = decoded(plain).astype(int), decoded(mirrored).astype(int)
    assert np.abs(one[:380] - other[:380, ::-1]).mean() < 4
    left, top, width, height = badge_box(640, 480)
    badge = np.s_[top + 2 : top + height - 2, left + 2 : left + width - 2]
    assert np.abs(one[badge] - other[badge]).mean() < 0.3 * np.abs(one[badge] - other[:, ::-1][badge]).mean()


def test_strength_nought_shows_the_live_face_unchanged(
    unlabelled: tuple[Pipeline, list[BgrFrame]], persona: PhotoEngine, frames: Frames
) -> None:
    pipeline, kept = unlabelled
    pipeline.run(FrameRequest(png(frames("w1")[0]), FrameOptions(strength=0.0)), persona)
    assert np.array_equal(kept[-1], frames("w1")[0])


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_the_persona_is_worn_at_both_ends_of_the_edge(
    unlabelled: tuple[Pipeline, list[BgrFrame]], persona: PhotoEngine, finder: FaceFinder, frames: Frames, edge: float
) -> None:
    pipeline, kept = unlabelled
    frame = frames("w1")[0]
    answer = pipeline.run(FrameRequest(png(frame), FrameOptions(edge=edge)), persona)
    at_the_end = kept[-1]
    pipeline.run(FrameRequest(png(frame), FrameOptions(edge=0.5)), persona)
    neutral = kept[-1]
    pipeline.run(FrameRequest(png(frame)), persona)
    assert np.array_equal(kept[-1], neutral) and not np.array_equal(at_the_end, neutral)
    mesh = answer.faces[0].mesh
    assert distance(describe(at_the_end, mesh), describe(frame, mesh)) > 0.5


def test_an_unreadable_picture_is_a_typed_error(model: ModelPrediction, persona: PhotoEngine) -> None:
    with pytest.raises(PredictionError) as caught:
        model.pipeline.run(FrameRequest(b"GIF89a"), persona)
    assert caught.value.status == 400
