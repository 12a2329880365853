"""Pairs out of one photograph and out of footage: what is made is the right person in the right performance."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from prediction_model.engines.photo import CROP_SIZE
from prediction_model.errors import TrainingDataRefused
from prediction_model.faces.align import align, alignment
from prediction_model.training.actors import GREY, Mesher, Performance, over
from prediction_model.training.backgrounds import made_up
from prediction_model.training.classical import Disguises, Unpaired, by_yaw, disguised, recoloured, warp
from prediction_model.training.face_folder import yaw
from prediction_model.training.pairs import Pairs
from prediction_model.training.performances import PERSONAS, bundled
from prediction_model.training.photo_pairs import read_photograph, truths
from prediction_model.types import Mesh

UPPER, LOWER, CORNERS = 13, 14, (61, 291)


@pytest.fixture(scope="module")
def performances() -> tuple[list[Performance], int]:
    return bundled()


@pytest.fixture(scope="module")
def made(performances: tuple[list[Performance], int]) -> dict[int, Performance]:
    """The first persona's neutral face as the photograph of somebody new, performed by the other seven."""
    given, neutral = performances
    face = next(p for p in given if p.actor == "p1" and p.index == neutral)
    photograph = read_photograph(cv2.resize(over(face.picture, GREY), None, fx=2, fy=2), "p1")
    return truths(photograph, [p for p in given if p.actor != "p1"], neutral)


def opening(mesh: Mesh) -> float:
    """How far the mouth is open, of its width."""
    width = float(np.hypot(*(mesh[CORNERS[0], :2] - mesh[CORNERS[1], :2])))
    return float(np.hypot(*(mesh[UPPER, :2] - mesh[LOWER, :2]))) / width


def test_the_bundle_holds_every_persona_giving_the_same_performances(
    performances: tuple[list[Performance], int],
) -> None:
    given, neutral = performances
    indices = {actor: sorted(p.index for p in given if p.actor == actor) for actor in PERSONAS}
    assert len({tuple(found) for found in indices.values()}) == 1
    assert neutral in indices["p1"] and max(indices["p1"]) < 240
    assert all(p.picture.shape[2] == 4 and p.mesh.shape == (468, 3) for p in given)


def test_a_truth_is_nearer_to_how_that_person_gives_the_performance_than_to_others(
    made: dict[int, Performance], performances: tuple[list[Performance], int]
) -> None:
    """Against the persona's own renders, which the pairs were not made from."""
    given, _ = performances
    own: list[float] = []
    others: list[float] = []
    for index, truth in list(made.items())[::4]:
        crop = truth.picture[..., 2::-1].astype(np.float32) / 255
        inside = np.s_[60:200, 64:192]
        for p in (p for p in given if p.index == index):
            real = align(over(p.picture, GREY), p.mesh, CROP_SIZE)
            error = float(np.abs(real.crop[inside] - crop[inside]).mean())
            (own if p.actor == "p1" else others).append(error)
    assert np.mean(own) < 0.75 * np.mean(others)


def test_a_truth_s_mouth_and_pose_are_the_performance_s(
    made: dict[int, Performance], performances: tuple[list[Performance], int]
) -> None:
    given, _ = performances
    real = {p.index: p for p in given if p.actor == "p1"}
    both = [(opening(truth.mesh), opening(real[index].mesh)) for index, truth in made.items()]
    assert np.corrcoef(np.array(both).T)[0, 1] > 0.9
    turns = [(yaw(truth.mesh), yaw(real[index].mesh)) for index, truth in made.items()]
    assert np.corrcoef(np.array(turns).T)[0, 1] > 0.9


def test_a_truth_shows_the_mouth_that_its_mesh_says(made: dict[int, Performance]) -> None:
    widest = max(made.values(), key=lambda truth: opening(truth.mesh))
    found = Mesher().mesh(np.ascontiguousarray(widest.picture[..., :3]))
    assert found is not None
    assert opening(found) > 0.5 * opening(widest.mesh) > 0.1


def test_a_truth_s_mesh_is_aligned_as_its_picture(made: dict[int, Performance]) -> None:
    for truth in made.values():
        matrix = alignment(truth.mesh, CROP_SIZE)
        assert np.abs(matrix - np.array([[1, 0, 0], [0, 1, 0]])).max() < 0.02 * CROP_SIZE
        assert np.abs(matrix[:, :2] - np.eye(2)).max() < 0.02


def test_photographs_that_show_too_little_are_refused(performances: tuple[list[Performance], int]) -> None:
    given, neutral = performances
    with pytest.raises(TrainingDataRefused, match=r"wall\.jpg shows no face"):
        read_photograph(np.full((400, 400, 3), 90, np.uint8), "wall.jpg")
    face = next(p for p in given if p.index == neutral)
    small = np.full((300, 300, 3), GREY, np.uint8)
    small[50:166, 50:166] = cv2.resize(over(face.picture, GREY), (116, 116), interpolation=cv2.INTER_AREA)
    with pytest.raises(TrainingDataRefused, match="pixels high, expected 120"):
        read_photograph(small, "far.jpg")
    turned = max(given, key=lambda p: abs(yaw(p.mesh)))
    large = cv2.resize(over(turned.picture, GREY), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    with pytest.raises(TrainingDataRefused, match="looks to the side"):
        read_photograph(np.asarray(large, np.uint8), "turned.jpg")


def test_pairs_of_a_photograph_can_be_drawn(
    made: dict[int, Performance], performances: tuple[list[Performance], int]
) -> None:
    given, _ = performances
    batch = Pairs([p for p in given if p.index in made], [made], made_up(256, 0, 4), 64, 0).batch(6)
    assert batch.crops.shape == (6, 64, 64, 3) and batch.truths.shape == (6, 64, 64, 6)
    face = batch.truths[..., 5]
    assert 0.15 < face.mean() < 0.8
    assert (batch.truths[..., :3][face == 1] > 0.02).any(axis=1).mean() > 0.98  # no black hole in any face


def test_every_direction_is_drawn_as_often(performances: tuple[list[Performance], int]) -> None:
    given, _ = performances
    front = [p for p in given if abs(yaw(p.mesh)) < 0.1][:40]
    side = [p for p in given if yaw(p.mesh) > 0.6][:4]
    chances = by_yaw(front + side)
    assert chances.sum() == pytest.approx(1)
    assert chances[len(front) :].sum() > 5 * len(side) / (len(front) + len(side))


def test_faces_are_warped_until_late_and_then_not(performances: tuple[list[Performance], int]) -> None:
    given, _ = performances
    people = [[p for p in given if p.actor == actor] for actor in ("p1", "p5")]
    early = Unpaired(people, 64, 0).batch(8, done=0.1)
    late = Unpaired(people, 64, 0).batch(8, done=0.9)
    assert list(early.identities) == [0, 1] * 4
    assert np.abs(early.crops - early.truths[..., :3]).mean() > 0.01
    assert np.array_equal(late.crops, late.truths[..., :3])


def test_warping_moves_what_is_in_the_middle_and_keeps_the_colours() -> None:
    rng = np.random.default_rng(0)
    face = cv2.GaussianBlur(rng.random((64, 64, 3), np.float32), (0, 0), 3)
    bent = warp(face, rng)
    assert np.abs(bent - face)[16:-16, 16:-16].mean() > 0.002
    assert bent.min() >= face.min() - 1e-6 and bent.max() <= face.max() + 1e-6


def test_recolouring_takes_the_other_s_mean() -> None:
    rng = np.random.default_rng(0)
    face, other = (rng.uniform(low, low + 0.3, (32, 32, 3)).astype(np.float32) for low in (0.1, 0.5))
    assert np.allclose(recoloured(face, other, 1.0).mean(axis=(0, 1)), other.mean(axis=(0, 1)), atol=0.02)
    assert np.array_equal(recoloured(face, other, 0.0), face)


def test_a_disguise_changes_the_face_and_nothing_around_it(performances: tuple[list[Performance], int]) -> None:
    given, neutral = performances
    strangers = Disguises([p for p in given if p.index == neutral and p.actor in ("p4", "p8")])
    faces = [p for p in given if p.actor == "p1"][:6]
    pairs = disguised(faces, strangers, 12, 0)
    changed = [pair for pair in pairs if not np.array_equal(pair[0].picture, pair[1].picture)]
    assert 6 <= len(changed) <= 12
    for worn, truth in changed:
        assert worn.index == truth.index and np.array_equal(worn.mesh, truth.mesh)
        difference = np.abs(worn.picture[..., :3].astype(float) - truth.picture[..., :3]).mean(axis=2)
        x, y = truth.mesh[1, :2].astype(int)
        assert difference[y - 10 : y + 10, x - 10 : x + 10].mean() > 2
        assert difference[:6].max() == 0 and difference[-6:].max() == 0


def test_made_up_backgrounds_differ_and_repeat_with_their_seed(tmp_path: Path) -> None:
    pictures = made_up(96, 3, 4)
    assert all(p.shape == (96, 96, 3) and p.dtype == np.uint8 for p in pictures)
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() > 5
    assert all(np.array_equal(a, b) for a, b in zip(pictures, made_up(96, 3, 4), strict=True))
