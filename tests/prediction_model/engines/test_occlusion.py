"""A hand before the face may show, the wearer may not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from prediction_model.engines.occlusion import believed
from prediction_model.faces.align import template
from prediction_model.types import Mask, Mesh

SIZE = 160
MESH: Mesh = (template() * SIZE).astype(np.float32)


def face() -> Mask:
    drawn = np.zeros((SIZE, SIZE), np.float32)
    cv2.fillConvexPoly(drawn, np.round(cv2.convexHull(MESH)).astype(np.int32), 1.0)
    return np.asarray(cv2.GaussianBlur(drawn, (5, 5), 0), np.float32)


def with_hole(centre: tuple[int, int], radius: int, blur: float) -> Mask:
    hole = np.zeros((SIZE, SIZE), np.float32)
    cv2.circle(hole, centre, radius, 1.0, -1)
    return np.asarray(face() * (1 - cv2.GaussianBlur(hole, (0, 0), blur)), np.float32)


MIDDLE = tuple(np.round((MESH.min(axis=0) + MESH.max(axis=0)) / 2).astype(int).tolist())
CHIN = (MIDDLE[0], int(MESH[:, 1].max()))


def test_a_face_with_nothing_before_it_stays_whole() -> None:
    made = believed(face(), MESH)
    assert made[MIDDLE[1], MIDDLE[0]] == 1 and made[0, 0] == 0
    assert np.all(made >= face() - 1e-6)


def test_a_face_narrower_than_the_wearers_stays_as_narrow() -> None:
    middle = np.array(MIDDLE, np.float32)
    narrow = np.zeros((SIZE, SIZE), np.float32)
    corners = middle + (cv2.convexHull(MESH) - middle) * np.array([0.84, 1.0], np.float32)
    cv2.fillConvexPoly(narrow, np.round(corners).astype(np.int32), 1.0)
    assert np.abs(believed(narrow, MESH) - narrow).max() < 0.25


def test_a_hand_that_reaches_in_shows() -> None:
    hand = with_hole(CHIN, 40, 1.0)
    made = believed(hand, MESH)
    assert made[CHIN[1] - 25, CHIN[0]] < 0.05
    assert made[MIDDLE[1] - 25, MIDDLE[0]] > 0.99


@pytest.mark.parametrize(
    "mask",
    [with_hole(MIDDLE, 22, 1.0), with_hole(CHIN, 40, 14.0), with_hole(CHIN, 130, 1.0), 0.5 * face()],
    ids=["inside the face", "blurred", "nearly all of it", "unsure everywhere"],
)
def test_a_hole_that_is_not_surely_a_hand_is_closed(mask: Mask) -> None:
    made = believed(mask, MESH)
    inner = cv2.erode((face() > 0.99).astype(np.uint8), np.ones((45, 45), np.uint8)) > 0
    assert made[inner].min() > 0.99, "the wearer shows nowhere"
    assert np.all(made >= mask - 1e-6)
