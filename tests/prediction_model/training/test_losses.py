"""What a swap is trained to."""

from __future__ import annotations

import numpy as np
import pytest

from prediction_model.training.losses import MASK_WEIGHT, swap_loss

SIZE = 32


def loss_of(mask: float, wanted: float, made: float = 0.5) -> float:
    truth = np.ones((1, SIZE, SIZE, 6), np.float32)
    truth[..., :3], truth[..., 3] = 0.5, wanted
    swapped = np.full((1, SIZE, SIZE, 4), made, np.float32)
    swapped[..., 3] = mask
    return float(swap_loss()(truth, swapped))


def test_nothing_is_left_to_learn_where_truth_and_swap_agree() -> None:
    for wanted in (0.0, 0.3, 1.0):
        assert loss_of(wanted, wanted) == pytest.approx(0, abs=1e-4)
    assert loss_of(1.0, 1.0, made=0.6) > 0.05


def test_a_mask_that_is_surely_wrong_is_still_pulled_back() -> None:
    surely, less = (1 / (1 + np.exp(-logit)) for logit in (9.0, 8.0))
    pull = loss_of(float(surely), 0.0) - loss_of(float(less), 0.0)
    assert pull == pytest.approx(MASK_WEIGHT, rel=0.05), "a step of one in the logit costs as much as anywhere"
