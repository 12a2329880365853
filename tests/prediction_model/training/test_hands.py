"""Hands to train against."""

from __future__ import annotations

import cv2
import numpy as np

from prediction_model.faces.align import template
from prediction_model.training.augment import occlude
from prediction_model.training.hands import hand
from prediction_model.types import Mesh

SIZE = 160
MESH: Mesh = template().astype(np.float32) * SIZE


def test_a_hand_lies_where_it_was_asked_for_and_reaches_out_of_the_crop() -> None:
    rng = np.random.default_rng(1)
    near, leaves = [], []
    for _ in range(40):
        cover, shade = hand(rng, SIZE, (80.0, 90.0))
        assert cover.shape == shade.shape == (SIZE, SIZE) and cover.dtype == shade.dtype == np.float32
        assert cover.min() >= 0 and cover.max() == 1 and 0.03 < cover.mean() < 0.6
        assert shade[cover > 0].min() > 0 and shade.max() < 1.6
        near.append(cover[60:120, 50:110].max())
        leaves.append(max(cover[0].max(), cover[-1].max(), cover[:, 0].max(), cover[:, -1].max()))
        pieces, _, stats, _ = cv2.connectedComponentsWithStats((cover > 0.5).astype(np.uint8))
        assert pieces == 2 or np.sort(stats[1:, cv2.CC_STAT_AREA])[:-1].max() < 60, "one hand, in one piece"
    assert min(near) == 1, "it is where it was asked for"
    assert min(leaves) > 0.5, "a forearm holds it"


def test_hands_differ_and_are_drawn_again_by_the_same_seed() -> None:
    def drawn(seed: int) -> list[bytes]:
        rng = np.random.default_rng(seed)
        return [hand(rng, SIZE, (80.0, 90.0))[0].tobytes() for _ in range(6)]

    assert drawn(1) == drawn(1) and len(set(drawn(1))) == 6 and drawn(1) != drawn(2)


def test_what_is_before_a_face_is_seen_where_it_covers_and_nowhere_else() -> None:
    crop = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    texture = np.zeros((SIZE, SIZE, 3), np.float32)
    rng, covered = np.random.default_rng(5), 0
    for _ in range(30):
        made, cover = occlude(crop, MESH, texture, rng)
        assert np.array_equal(made[cover == 0], crop[cover == 0])
        covered += bool(np.abs(made - crop)[cover > 0.9].mean() > 0.02) if (cover > 0.9).any() else 0
    assert covered > 20
