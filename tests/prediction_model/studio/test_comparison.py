"""When a trained model is better than the photograph."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from prediction_model.studio.comparison import Comparison, Swapped, compare, expression_errors, judge
from prediction_model.types import PARTS


@pytest.mark.slow
@pytest.mark.skipif(find_spec("dlib") is None, reason="dlib is not installed")
def test_a_model_is_better_than_its_photograph_and_anothers_is_not(gallery: Path, tmp_path: Path) -> None:
    own, anothers = tmp_path / "p4", tmp_path / "mixed"
    shutil.copytree(gallery / "p4", own)
    shutil.copytree(gallery / "p8", anothers)
    shutil.copyfile(gallery / "p4" / "face.jpg", anothers / "face.jpg")
    better, found = compare(own), compare(anothers)
    assert better.better
    assert not found.nearer and not found.better
    assert found.photo == better.photo, "the same faces, measured the same"


def test_what_chance_explains_is_neither_nearer_nor_as_good() -> None:
    rng = np.random.default_rng(0)
    actors = [f"p{number}" for number in range(1, 9) for _ in range(6)]
    photo = np.stack([rng.normal(0.4, 0.05, 48), rng.normal(0.1, 0.02, 48)], axis=1)
    noise = rng.normal(0, 0.02, (48, 2))

    def judged(identity: float, expression: float, noise: npt.NDArray[np.float64] = noise) -> Comparison:
        return judge(np.stack([photo, photo + noise + [identity, expression]], axis=1), actors, PARTS)

    same = judged(0, 0)
    assert (same.nearer, same.keeps_expression, same.better) == (False, True, False)
    assert judged(-0.1, 0).better and judged(-0.1, -0.05).better
    assert not judged(-0.1, 0.05).better, "nearer, but its expressions are worse"
    assert not judged(0.1, -0.05).better, "better expressions, but of somebody else"
    loud = noise * [1, 6]
    assert not judged(-0.1, 0, loud).keeps_expression, "what cannot be told is not taken for as good"
    one_actor = noise + np.repeat([[-0.4, 0.0], *[[0.02, 0.0]] * 7], 6, axis=0)
    assert not judged(0, 0, one_actor).nearer, "nearer in one actor's six faces says little"


def test_narrow_eyes_that_blink_along_are_no_worse_expression() -> None:
    gaps = np.array([0.2, 0.2, 0.2, 0.02, 0.1, 0.2])

    def errors(made: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        faces = [Swapped(0.4, (0.1, float(a)), (0.1, float(b))) for a, b in zip(gaps, made, strict=True)]
        return expression_errors(["a"] * len(faces), faces)

    assert errors(gaps / 2).max() < 1e-6, "narrow eyes, and they follow"
    assert errors(np.full(len(gaps), 0.2)).max() > 0.8, "eyes that never shut"
