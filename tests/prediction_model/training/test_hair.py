"""Strands of hair are taken out of a face, and what belongs to it stays."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from prediction_model.training.actors import GREY, Performance, over
from prediction_model.training.hair import SIDE, without_strands
from prediction_model.training.pairs import LIPS, RIGHT_EYE
from prediction_model.training.performances import bundled

CHEEK = (234, 132)
"""Two mesh points at the edge of the right cheek."""
DARK = (20, 15, 10, 255)


def calm(actor: str) -> Performance:
    given, neutral = bundled()
    return next(p for p in given if p.actor == actor and p.index == neutral)


def brightness(performance: Performance, points: tuple[int, ...]) -> float:
    """Of the picture within the polygon of mesh points, 0 to 255."""
    picture = over(performance.picture, GREY)
    area = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(area, [np.round(performance.mesh[list(points), :2]).astype(np.int32)], 1)
    return float(picture[area > 0].mean())


def test_a_strand_over_the_cheek_goes() -> None:
    face = calm("p7")
    inwards = (face.mesh[1, :2] - face.mesh[234, :2]) * 0.12
    ends = np.round(face.mesh[list(CHEEK), :2] + inwards).astype(int)
    picture = face.picture.copy()
    cv2.line(picture, ends[0].tolist(), ends[1].tolist(), DARK, 7)
    middle = face.mesh[list(CHEEK), :2].mean(axis=0) + inwards
    cleaned = without_strands(replace(face, picture=picture))
    there = without_strands(face).mesh[list(CHEEK), :2].mean(axis=0) + inwards * SIDE / face.picture.shape[0]
    x, y = np.round(middle).astype(int)
    u, v = np.round(there).astype(int)
    skin = over(face.picture, GREY)[y - 2 : y + 3, x - 2 : x + 3].mean()
    assert over(picture, GREY)[y - 2 : y + 3, x - 2 : x + 3].mean() < 0.4 * skin
    assert over(cleaned.picture, GREY)[v - 2 : v + 3, u - 2 : u + 3].mean() > 0.75 * skin


def test_eyes_and_mouth_stay() -> None:
    for actor in ("p1", "p4", "p7"):
        face = calm(actor)
        cleaned = without_strands(face)
        assert cleaned.lids is None and cleaned.picture.shape == (SIDE, SIDE, 4)
        for points in (RIGHT_EYE, LIPS):
            assert abs(brightness(cleaned, points) - brightness(face, points)) < 8, (actor, points)
