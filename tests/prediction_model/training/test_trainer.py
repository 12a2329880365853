"""The loop: what is saved is what goes on, an interruption saves, and what goes wrong is one sentence."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from prediction_model.errors import RunRefused, TrainingOutOfMemory
from prediction_model.training.pairs import Batch
from prediction_model.training.trainer import Plan, Progress, Trainer, read_weights

SIZE = 32


def batch(count: int) -> Batch:
    """Always the same: bright and dark squares to swap to their opposites."""
    rng = np.random.default_rng(1)
    crops = np.repeat(np.repeat(rng.random((count, 4, 4, 3), np.float32), SIZE // 4, 1), SIZE // 4, 2)
    ones = np.ones((count, SIZE, SIZE, 1), np.float32)
    return Batch(crops, np.arange(count, dtype=np.int32) % 2, np.concatenate([1 - crops, ones, ones, ones], axis=3))


def plan(preset: str, **changes: object) -> Plan:
    given = {"preset": preset, "batch_size": 4, "steps": 6, "learning_rate": 0.01, "warm_up_steps": 1}
    return Plan(**{**given, **changes})  # type: ignore[arg-type]


def silent(progress: Progress, speed: float) -> None:
    pass


def loss_of(trainer: Trainer) -> float:
    fixed = batch(8)
    return float(trainer.model.test_on_batch([fixed.crops, fixed.identities], fixed.truths))


def test_a_run_goes_on_with_its_loss_within_one_percent(tmp_path: Path, tiny: str) -> None:
    first = Trainer(tmp_path, 2, batch, batch(4), plan(tiny))
    first.run(silent)
    again = Trainer(tmp_path, 2, batch, batch(4), plan(tiny))
    assert again.progress.step == 6
    assert loss_of(again) == pytest.approx(loss_of(first), rel=0.01)
    assert list(again.losses) == pytest.approx(list(first.losses))


def test_two_halves_end_where_one_run_ends(tmp_path: Path, tiny: str) -> None:
    keras.utils.set_random_seed(0)
    whole = Trainer(tmp_path / "whole", 2, batch, batch(4), plan(tiny, final_share=1.0))
    whole.run(silent)
    keras.utils.set_random_seed(0)
    half = Trainer(tmp_path / "half", 2, batch, batch(4), plan(tiny, final_share=1.0, steps=3))
    half.run(silent)
    rest = Trainer(tmp_path / "half", 2, batch, batch(4), plan(tiny, final_share=1.0, steps=3))
    rest.run(silent)
    # The optimizer's memory is in the checkpoint: without it the second half begins anew and ends elsewhere.
    assert rest.losses[-1] == pytest.approx(whole.losses[-1], rel=0.01)


def test_an_interrupted_plan_is_not_begun_again(tmp_path: Path, tiny: str) -> None:
    calls = 0

    def interrupting(count: int) -> Batch:
        nonlocal calls
        calls += 1
        if calls == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return batch(count)

    stopped = Trainer(tmp_path, 2, interrupting, batch(4), plan(tiny, steps=50))
    before = signal.getsignal(signal.SIGINT)
    stopped.run(silent)
    assert signal.getsignal(signal.SIGINT) is before
    assert 0 < stopped.progress.step < 50 and stopped.done < 1
    assert (tmp_path / "weights.npz").is_file() and (tmp_path / "preview.jpg").is_file()
    again = Trainer(tmp_path, 2, batch, batch(4), plan(tiny, steps=50))
    assert again.done == pytest.approx(stopped.done)
    again.run(silent)
    assert again.progress.step == 50


def test_the_mean_is_saved_after_the_weights(tmp_path: Path, tiny: str) -> None:
    trainer = Trainer(tmp_path, 2, batch, batch(4), plan(tiny, steps=12))
    trainer.run(silent)
    weights, mean = read_weights(tmp_path / "weights.npz")
    assert [w.shape for w in weights] == [m.shape for m in mean]
    assert all(np.array_equal(w, now) for w, now in zip(weights, trainer.model.get_weights(), strict=True))
    assert any(not np.array_equal(w, m) for w, m in zip(weights, mean, strict=True))


def test_another_network_s_folder_is_refused(tmp_path: Path, tiny: str) -> None:
    Trainer(tmp_path, 2, batch, batch(4), plan(tiny, steps=1)).run(silent)
    with pytest.raises(RunRefused, match="another network"):
        Trainer(tmp_path, 3, batch, batch(4), plan(tiny))


def test_a_diverged_run_stops_and_keeps_the_last_save(tmp_path: Path, tiny: str) -> None:
    def poisoned(count: int) -> Batch:
        drawn = batch(count)
        drawn.truths[...] = np.nan
        return drawn

    Trainer(tmp_path, 2, batch, batch(4), plan(tiny, steps=1)).run(silent)
    saved = (tmp_path / "weights.npz").read_bytes()
    with pytest.raises(RunRefused, match="--learning-rate"):
        Trainer(tmp_path, 2, poisoned, batch(4), plan(tiny)).run(silent)
    assert (tmp_path / "weights.npz").read_bytes() == saved


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"),
    ],
)
def test_out_of_memory_is_a_sentence_with_a_remedy(tmp_path: Path, tiny: str, error: Exception) -> None:
    def greedy(truth: keras.KerasTensor, swapped: keras.KerasTensor) -> keras.KerasTensor:
        raise error

    trainer = Trainer(tmp_path, 2, batch, batch(4), plan(tiny), loss=greedy)
    with pytest.raises(TrainingOutOfMemory, match="--batch-size 2"):
        trainer.run(silent)


def test_other_errors_are_not_called_out_of_memory(tmp_path: Path, tiny: str) -> None:
    def broken(truth: keras.KerasTensor, swapped: keras.KerasTensor) -> keras.KerasTensor:
        raise KeyError("colour")

    with pytest.raises(KeyError):
        Trainer(tmp_path, 2, batch, batch(4), plan(tiny), loss=broken).run(silent)
