"""Several faces in one frame, each with an identity of its own: who wears what, and that nobody wears what they may
not."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from prediction_model.engines.base import SwapEngine
from prediction_model.errors import IdentityNotAllowed, UnknownIdentity
from prediction_model.faces.embed import describe, distance
from prediction_model.faces.finder import FaceFinder
from prediction_model.identities.package import CARD, write_card
from prediction_model.options import FrameOptions
from prediction_model.picture import read_picture
from prediction_model.pipeline import FrameAnswer, FrameRequest, Pipeline
from prediction_model.prediction import ModelPrediction
from prediction_model.settings import Settings
from prediction_model.types import AlignedFace, BgrFrame, JsonObject, Part, SwappedFace
from tests.prediction_model.conftest import Frames
from tests.prediction_model.keys import Signer

EVERYBODY = FrameOptions(faces="all", quality=95)


@pytest.fixture(scope="module")
def both(frames: Frames) -> BgrFrame:
    """Wearer 1 on the left, wearer 2 on the right: [480, 1280, 3]."""
    return np.hstack([frames("w1")[0], frames("w2")[0]])


def png(frame: BgrFrame) -> bytes:
    return bytes(cv2.imencode(".png", frame)[1])


def engine(model: ModelPrediction, identity: str) -> SwapEngine:
    return model.engine_of(model.identities.get(identity), "photo")


def from_left(answer: FrameAnswer) -> list[int]:
    """Numbers of the faces, from left to right."""
    return [face.number for face in sorted(answer.faces, key=lambda face: face.box.x)]


def run(
    pipeline: Pipeline, frame: BgrFrame, engine: SwapEngine, assigned: dict[int, SwapEngine], track: object = None
) -> tuple[FrameAnswer, BgrFrame]:
    answer = pipeline.run(FrameRequest(png(frame), EVERYBODY, track), engine, assigned)
    assert answer.picture is not None
    return answer, np.asarray(cv2.imdecode(np.frombuffer(answer.picture, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def test_each_face_wears_its_own_identity_also_when_they_change_places(
    model: ModelPrediction, finder: FaceFinder, both: BgrFrame
) -> None:
    theirs = {}
    for identity in ("p1", "p8"):
        picture = read_picture((model.identities.get(identity).folder / "face.jpg").read_bytes())
        theirs[identity] = describe(picture, finder.find(picture, None, 0.0).faces[0].mesh)
    left, right = from_left(run(model.pipeline, both, engine(model, "p1"), {})[0])
    for worn in (("p1", "p8"), ("p8", "p1")):
        # One is assigned, the other gets what everybody gets.
        answer, shown = run(model.pipeline, both, engine(model, worn[0]), {right: engine(model, worn[1])})
        assert from_left(answer) == [left, right] and answer.swapped
        for face, identity in zip(sorted(answer.faces, key=lambda face: face.box.x), worn, strict=True):
            made = describe(shown, face.mesh)
            other = "p8" if identity == "p1" else "p1"
            assert distance(made, theirs[identity]) < distance(made, theirs[other])


def test_the_numbers_are_in_the_answer_and_travel_in_the_track(model: ModelPrediction, both: BgrFrame) -> None:
    first, _ = run(model.pipeline, both, engine(model, "p1"), {})
    assert sorted(face["number"] for face in first.json()["faces"]) == [1, 2]
    swapped_places, _ = run(model.pipeline, both, engine(model, "p1"), {}, first.track)
    assert from_left(swapped_places) == from_left(first)


class Recorded:
    """An engine that says how many faces each call brought."""

    live_parts: tuple[Part, ...] = ()

    def __init__(self, name: str, crop_size: int) -> None:
        self.name, self.crop_size = name, crop_size
        self.calls: list[int] = []

    def swap(self, faces: Sequence[AlignedFace]) -> list[SwappedFace]:
        self.calls.append(len(faces))
        assert all(face.crop.shape == (self.crop_size, self.crop_size, 3) for face in faces)
        return [SwappedFace(face.crop, np.ones(face.crop.shape[:2], np.float32)) for face in faces]


def test_every_engine_gets_its_own_faces_in_one_call(model: ModelPrediction, both: BgrFrame) -> None:
    one, other = Recorded("photo", 256), Recorded("autoencoder", 128)
    run(model.pipeline, both, one, {2: other})
    assert (one.calls, other.calls) == ([1], [1])
    run(model.pipeline, both, one, {1: one, 4: other})
    assert (one.calls, other.calls) == ([1, 2], [1])


class Broken(Recorded):
    """An engine that raises."""

    def swap(self, faces: Sequence[AlignedFace]) -> list[SwappedFace]:
        raise MemoryError("no memory left")


def test_one_engine_that_raises_shows_neither_face(model: ModelPrediction, finder: FaceFinder, both: BgrFrame) -> None:
    answer, shown = run(model.pipeline, both, engine(model, "p1"), {2: Broken("photo", 128)})
    assert not answer.swapped
    assert finder.find(shown, None, 0.0).faces == []


def test_of_several_faces_only_the_largest_is_swapped_unless_all_are_asked_for(
    model: ModelPrediction, both: BgrFrame
) -> None:
    engines = {number: Recorded(f"engine {number}", 128) for number in (1, 2)}
    model.pipeline.run(FrameRequest(png(both), FrameOptions()), engines[1], dict(engines))
    assert sorted(len(each.calls) for each in engines.values()) == [0, 1]


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


@pytest.fixture
def enrolled(gallery: Path, tmp_path: Path, signer: Signer) -> tuple[ModelPrediction, str]:
    """A model that serves `me`, a person with consent, and the consent's hash."""
    consent, digest = signer.consent("me", "self")
    shutil.copytree(gallery / "p2", tmp_path / "me")
    card = json.loads((tmp_path / "me" / CARD).read_text())
    write_card(tmp_path / "me", {**card, "id": "me", "kind": "self", "consent": consent, "consent_hash": digest})
    settings = Settings(verify_key=signer.verify_key, identity_store=str(tmp_path))
    return ModelPrediction.from_path(gallery, settings), digest


@pytest.fixture(scope="module")
def jpeg(both: BgrFrame) -> bytes:
    return bytes(cv2.imencode(".jpg", both)[1])


def assigning(identities: dict[str, str], session: str | None = None, **options: Any) -> JsonObject:
    return {"session": session, "options": {"faces": "all", "identities": identities, **options}}


@pytest.mark.parametrize("number", ["1", "2", "3"])
def test_every_assigned_identity_is_checked_as_the_one_is_also_of_a_face_that_is_not_there(
    enrolled: tuple[ModelPrediction, str], signer: Signer, jpeg: bytes, number: str
) -> None:
    model, digest = enrolled
    assigned = {number: "me"}
    assert model.predict_frame(jpeg, assigning(assigned, signer.session({"p1": "", "me": digest})))[1]["swapped"]
    for allowed in ({"p1": ""}, {"p1": "", "me": ""}, {"p1": "", "me": "0" * 64}, {"me": digest}):
        with pytest.raises(IdentityNotAllowed):
            model.predict_frame(jpeg, assigning(assigned, signer.session(allowed)))
    with pytest.raises(IdentityNotAllowed):
        model.predict_frame(jpeg, assigning(assigned))  # without a session there is the gallery alone
    assert model.predict_frame(jpeg, assigning({number: "p3"}))[1]["swapped"]


def test_an_identity_that_was_deleted_or_whose_consent_ended_gets_no_frame_more(
    enrolled: tuple[ModelPrediction, str], signer: Signer, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, digest = enrolled
    now = time.time()
    session = signer.session({"p1": "", "me": digest}, exp=int(now) + 9000)
    request = assigning({"2": "me"}, session)
    assert model.predict_frame(jpeg, request)[1]["swapped"]
    monkeypatch.setattr("prediction_model.prediction.time.time", lambda: now + 3601)  # the consent's hour is over
    with pytest.raises(IdentityNotAllowed):
        model.predict_frame(jpeg, request)
    monkeypatch.undo()
    assert model.predict_frame(jpeg, request)[1]["swapped"]
    shutil.rmtree(model.identities.get("me").folder)
    model.identities.forget("me")
    with pytest.raises(UnknownIdentity):
        model.predict_frame(jpeg, request)


def test_a_method_that_an_assigned_identity_lacks_is_its_own_instead(
    enrolled: tuple[ModelPrediction, str], signer: Signer, jpeg: bytes
) -> None:
    model, _ = enrolled
    folder = model.identities.get("me").folder
    card = json.loads((folder / CARD).read_text())
    write_card(folder, {**card, "engine": "photo", "engines": ["photo"]})
    session = signer.session({"p1": "", "me": card["consent_hash"]})
    instance = assigning({"2": "me"}, session, engine="autoencoder")
    assert model.predict_frame(jpeg, instance)[1]["swapped"]
