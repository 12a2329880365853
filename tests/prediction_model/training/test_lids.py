"""Eyes opened and shut in pictures, looked at by the eye network, which does not know how it was done."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prediction_model.faces.eyes import EyeLids
from prediction_model.training.actors import GREY, Performance, over, with_lids
from prediction_model.training.backgrounds import made_up
from prediction_model.training.lids import THINNEST, FloatArray, move_lids, openness
from prediction_model.training.pairs import Pairs
from prediction_model.training.performances import PERSONAS, bundled

SIZE = 160


@pytest.fixture(scope="module")
def neutral() -> list[Performance]:
    """Every persona's calm face, lids measured."""
    given, calm = bundled()
    return list(with_lids(p for p in given if p.index == calm))


def picture_of(performance: Performance) -> FloatArray:
    return over(performance.picture, GREY).astype(np.float32) / np.float32(255)


def measured(picture: FloatArray, performance: Performance) -> float:
    frame = np.asarray(np.clip(np.round(picture * 255), 0, 255), np.uint8)
    return openness(EyeLids().contours(frame, performance.mesh))


def test_eyes_of_every_persona_shut_half_and_whole(neutral: list[Performance]) -> None:
    assert [p.actor for p in neutral] == list(PERSONAS)
    for face in neutral:
        assert face.lids is not None
        was = openness(face.lids)
        half = measured(move_lids(picture_of(face), face.lids, 0.5), face)
        shut = measured(move_lids(picture_of(face), face.lids, THINNEST), face)
        assert shut < 0.85 * was and shut < half < was, face.actor


def test_only_the_surroundings_of_the_eyes_change(neutral: list[Performance]) -> None:
    for face in neutral:
        assert face.lids is not None
        picture = picture_of(face)
        changed = np.abs(move_lids(picture, face.lids, THINNEST) - picture).max(axis=2) > 1 / 255
        nose, brows = face.mesh[1, 1], face.mesh[[105, 334], 1].min()
        rows = np.flatnonzero(changed.any(axis=1))
        assert brows - 12 < rows.min() and rows.max() < nose, face.actor


def test_factor_one_changes_nothing(neutral: list[Performance]) -> None:
    face = neutral[0]
    assert face.lids is not None
    assert np.abs(move_lids(picture_of(face), face.lids, 1.0) - picture_of(face)).max() < 2 / 255


def test_lids_near_the_border_and_a_tiny_face_are_survived(neutral: list[Performance]) -> None:
    face = neutral[0]
    assert face.lids is not None
    for lids in (face.lids - face.lids.min(axis=(0, 1)), face.lids + 10_000, face.lids * 0.001):
        moved = move_lids(picture_of(face), np.asarray(lids, np.float32), 0.3)
        assert moved.shape == (*face.picture.shape[:2], 3) and np.isfinite(moved).all()


def test_a_truth_is_as_far_open_as_the_input(neutral: list[Performance]) -> None:
    """An input with narrow eyes gets a truth with narrow eyes, whatever the truth's render shows."""
    source, truth = neutral[2], neutral[0]
    assert source.lids is not None
    shut = move_lids(source.picture.astype(np.float32), source.lids, 0.1)
    squinting = next(with_lids([replace(source, picture=np.asarray(np.round(shut), np.uint8))]))
    drawn = {}
    for name, performance in (("open", source), ("squinting", squinting)):
        given = [replace(p, actor=source.actor) for p in [source] * 8] + [performance] * 200
        pairs = Pairs(given, [{truth.index: truth}], made_up(SIZE + 96, 0), SIZE, 1)
        faces = [measured(np.ascontiguousarray(t[..., 2::-1]), on_crop(truth)) for t in pairs.batch(24).truths]
        drawn[name] = float(np.quantile(faces, 0.8))
    assert drawn["squinting"] < 0.9 * drawn["open"]


def on_crop(performance: Performance) -> Performance:
    """The same with its mesh where it lies in an aligned crop."""
    matrix = performance.matrix(SIZE)
    mesh = performance.mesh.copy()
    mesh[:, :2] = mesh[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    return replace(performance, mesh=mesh)
