"""Smoothing steadies a still face, follows a moving one, and forgets after a pause."""

from __future__ import annotations

import numpy as np

from prediction_model.faces.align import template
from prediction_model.faces.smooth import LONGEST_STEP_SECONDS, smooth
from prediction_model.types import Mesh

STEP = 1 / 30


def face(x: float = 200.0, noise: float = 0.0, seed: int = 0) -> Mesh:
    points = template() * 200 + (x, 100)
    points = points + np.random.default_rng(seed).normal(0, 1, points.shape) * noise
    return np.concatenate([points, np.zeros((468, 1))], axis=1).astype(np.float32)


def test_a_still_face_jitters_less_than_half_as_much() -> None:
    previous, raw, steady = None, [], []
    for frame in range(40):
        mesh = face(noise=0.5, seed=frame)
        smoothed = smooth(mesh, previous, STEP)
        previous = smoothed[:, :2]
        raw.append(mesh)
        steady.append(smoothed)
    assert np.diff(steady[10:], axis=0)[..., :2].std() < 0.5 * np.diff(raw[10:], axis=0)[..., :2].std()


def test_a_moving_face_is_followed_within_a_fifth_of_its_step() -> None:
    previous = face()[:, :2]
    for frame in range(1, 11):
        smoothed = smooth(face(200.0 + 8 * frame), previous, STEP)
        previous = smoothed[:, :2]
    assert np.abs(smoothed[:, 0] - face(280.0)[:, 0]).max() < 8 / 5


def test_an_opening_mouth_is_followed() -> None:
    opened = face()
    jaw = opened[:, 1] > opened[14, 1] - 0.1
    opened[jaw, 1] += 10
    smoothed = smooth(opened, face()[:, :2], STEP)
    assert (smoothed - face())[jaw, 1].min() > 7


def test_after_a_pause_the_raw_mesh_is_taken() -> None:
    mesh = face(300.0)
    assert np.array_equal(smooth(mesh, face()[:, :2], LONGEST_STEP_SECONDS * 1.1), mesh)
    assert np.array_equal(smooth(mesh, None, STEP), mesh)
