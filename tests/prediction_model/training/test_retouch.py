"""A shipped face is retouched: one brow and half of the forehead as the other ones, and nothing else of anybody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prediction_model.errors import RunRefused
from prediction_model.training import recipes
from prediction_model.training.networks import Modulation, autoencoder
from prediction_model.training.pairs import TRUTH_CHANNELS, Batch
from prediction_model.training.performances import PERSONAS
from prediction_model.training.presets import PRESETS
from prediction_model.training.recipes import Setup, train_retouch
from prediction_model.training.retouch import Mirrored, brow_and_forehead
from prediction_model.training.shared import load_shared, save_shared
from prediction_model.training.trainer import Plan, Progress, read_weights

SIZE = 32


def silent(progress: Progress, speed: float) -> None:
    pass


def setup(folder: Path, preset: str, shared: Path | None) -> Setup:
    plan = Plan(preset=preset, batch_size=2, steps=2, warm_up_steps=1)
    return Setup(folder, plan, "tensorflow", None, shared, silent, lambda text: None)


@pytest.fixture
def shared(tmp_path: Path, tiny: str) -> Path:
    rng = np.random.default_rng(0)
    model = autoencoder(PRESETS[tiny], len(PERSONAS))
    model.set_weights([w + rng.normal(0, 0.1, w.shape) for w in model.get_weights()])
    save_shared(tmp_path / "shared.npz", model, tiny)
    return tmp_path / "shared.npz"


def test_the_area_is_one_brow_and_its_side_of_the_forehead() -> None:
    right, left = (brow_and_forehead(side, 160) for side in ("right", "left"))
    assert np.array_equal(right, left[:, ::-1])
    assert right[20:40, 40:60].min() > 0.9, "the wearer's right is at the left of the picture"
    assert right[:, 90:].max() < 0.1 and right[90:].max() < 0.1


def test_the_truth_is_the_network_s_own_and_in_the_area_the_other_side_s(tiny: str, shared: Path) -> None:
    teacher = load_shared(shared, PRESETS[tiny], len(PERSONAS))
    rng = np.random.default_rng(1)
    crops = rng.random((3, SIZE, SIZE, 3), np.float32)
    labels = rng.random((3, SIZE, SIZE, TRUTH_CHANNELS), np.float32)
    given = Batch(crops, np.zeros(3, np.int32), labels)
    batch = Mirrored(teacher, 1, "right", lambda count: given, SIZE).batch(3)
    assert np.array_equal(batch.crops, crops) and list(batch.identities) == [1, 1, 1]
    assert np.array_equal(batch.truths[..., 4:], labels[..., 4:])
    second = np.ones(3, np.int32)
    made = np.asarray(teacher([crops, second], training=False))
    mirrored = np.asarray(teacher([crops[:, :, ::-1], second], training=False))[:, :, ::-1]
    area = brow_and_forehead("right", SIZE)
    for place, wanted in ((area > 0.99, mirrored), (area < 0.01, made)):
        assert place.any()
        assert np.abs(batch.truths[..., :4] - wanted)[:, place].max() < 0.02
    assert np.abs(made - mirrored).max() > 0.1


def test_only_the_persona_s_own_maps_are_trained(
    tmp_path: Path, tiny: str, eagerly: None, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "HELD_OUT", 4)
    run, ended = train_retouch(setup(tmp_path / "run", tiny, shared), "p2", "left")
    assert ended and run.exported == (1,)
    with pytest.raises(RunRefused, match="trains p2 from retouch"):
        train_retouch(setup(tmp_path / "run", tiny, shared), "p3", "left")
    with pytest.raises(RunRefused, match="trains p2 from retouch"):
        train_retouch(setup(tmp_path / "run", tiny, shared), "p2", "right")
    before = load_shared(shared, PRESETS[tiny], len(PERSONAS))
    after = load_shared(shared, PRESETS[tiny], len(PERSONAS))
    after.set_weights(read_weights(tmp_path / "run" / "weights.npz")[0])
    modulations = [layer for layer in after.get_layer("decoder").layers if isinstance(layer, Modulation)]
    maps = [layer.map.path for layer in modulations if layer.with_map]
    assert maps
    for old, new in zip(before.weights, after.weights, strict=True):
        changed = np.asarray(old) != np.asarray(new)
        if new.path in maps:
            assert changed[1].any() and not np.delete(changed, 1, axis=0).any(), new.path
        else:
            assert not changed.any(), new.path


def test_what_cannot_be_retouched_is_a_sentence(tmp_path: Path, tiny: str, shared: Path) -> None:
    with pytest.raises(RunRefused, match="Only a shipped face"):
        train_retouch(setup(tmp_path / "run", tiny, shared), "p9", "left")
    with pytest.raises(RunRefused, match="begins with the shipped weights"):
        train_retouch(setup(tmp_path / "run", tiny, None), "p2", "left")
