"""The loop: what is saved is what goes on, an interruption saves, and what goes wrong is one sentence."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from prediction_model.errors import RunRefused, TrainingOutOfMemory
from prediction_model.training import trainer as loop
from prediction_model.training.networks import Modulation, convolution
from prediction_model.training.objective import Loss
from prediction_model.training.pairs import Batch
from prediction_model.training.trainer import Plan, Progress, Trainer, read_weights

SIZE = 32


def batch(count: int) -> Batch:
    """Always the same: bright and dark squares to swap to their opposites."""
    rng = np.random.default_rng(1)
    crops = np.repeat(np.repeat(rng.random((count, 4, 4, 3), np.float32), SIZE // 4, 1), SIZE // 4, 2)
    ones = np.ones((count, SIZE, SIZE, 1), np.float32)
    return Batch(crops, np.arange(count, dtype=np.int32) % 2, np.concatenate([1 - crops, ones, ones, ones], axis=3))


def network(identities: int) -> keras.Model:
    """One of each kind of layer that a preset has: TensorFlow takes a fifth of the time to build its graph."""
    crop, identity = keras.Input((SIZE, SIZE, 3)), keras.Input((), dtype="int32")
    x = layers.ReLU()(Modulation(identities)([convolution(crop, 4, 3, 1, "only"), identity]))
    return keras.Model([crop, identity], layers.Conv2D(4, 3, padding="same", activation="sigmoid")(x))


def trainer(
    folder: Path,
    draw: Callable[[int], Batch] | None = None,
    identities: int = 2,
    loss: Loss | None = None,
    **changes: object,
) -> Trainer:
    given = {"batch_size": 4, "steps": 6, "learning_rate": 0.01, "warm_up_steps": 1}
    plan = Plan(**{**given, **changes})  # type: ignore[arg-type]
    return Trainer(folder, identities, draw or batch, batch(4), plan, model=network(identities), loss=loss)


def silent(progress: Progress, speed: float) -> None:
    pass


def loss_of(trainer: Trainer) -> float:
    fixed = batch(8)
    return float(trainer.model.test_on_batch([fixed.crops, fixed.identities], fixed.truths))


def test_a_run_goes_on_with_its_loss_within_one_percent(tmp_path: Path) -> None:
    first = trainer(tmp_path)
    first.run(silent)
    again = trainer(tmp_path)
    assert again.progress.step == 6
    assert loss_of(again) == pytest.approx(loss_of(first), rel=0.01)
    assert list(again.losses) == pytest.approx(list(first.losses))


def test_two_halves_end_where_one_run_ends(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    whole = trainer(tmp_path / "whole", final_share=1.0)
    whole.run(silent)
    keras.utils.set_random_seed(0)
    half = trainer(tmp_path / "half", final_share=1.0, steps=3)
    half.run(silent)
    rest = trainer(tmp_path / "half", final_share=1.0, steps=3)
    rest.run(silent)
    # The optimizer's memory is in the checkpoint: without it the second half begins anew and ends elsewhere.
    assert rest.losses[-1] == pytest.approx(whole.losses[-1], rel=0.01)


def test_an_interrupted_plan_is_not_begun_again(tmp_path: Path) -> None:
    calls = 0

    def interrupting(count: int) -> Batch:
        nonlocal calls
        calls += 1
        if calls == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return batch(count)

    stopped = trainer(tmp_path, interrupting, steps=50)
    before = signal.getsignal(signal.SIGINT)
    stopped.run(silent)
    assert signal.getsignal(signal.SIGINT) is before
    assert 0 < stopped.progress.step < 50 and stopped.done < 1
    assert (tmp_path / "weights.npz").is_file() and (tmp_path / "preview.jpg").is_file()
    again = trainer(tmp_path, steps=50)
    assert again.done == pytest.approx(stopped.done)
    again.run(silent)
    assert again.progress.step == 50


def test_the_mean_is_saved_after_the_weights(tmp_path: Path) -> None:
    running = trainer(tmp_path, steps=12)
    running.run(silent)
    weights, mean = read_weights(tmp_path / "weights.npz")
    assert [w.shape for w in weights] == [m.shape for m in mean]
    assert all(np.array_equal(w, now) for w, now in zip(weights, running.model.get_weights(), strict=True))
    assert any(not np.array_equal(w, m) for w, m in zip(weights, mean, strict=True))


def test_another_network_s_folder_is_refused(tmp_path: Path) -> None:
    trainer(tmp_path, steps=1).run(silent)
    with pytest.raises(RunRefused, match="another network"):
        trainer(tmp_path, identities=3)


def test_a_diverged_run_stops_and_keeps_the_last_save(tmp_path: Path) -> None:
    def poisoned(count: int) -> Batch:
        drawn = batch(count)
        drawn.truths[...] = np.nan
        return drawn

    trainer(tmp_path, steps=1).run(silent)
    saved = (tmp_path / "weights.npz").read_bytes()
    with pytest.raises(RunRefused, match="--learning-rate"):
        trainer(tmp_path, poisoned).run(silent)
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
def test_out_of_memory_is_a_sentence_with_a_remedy(tmp_path: Path, error: Exception) -> None:
    def greedy(truth: keras.KerasTensor, swapped: keras.KerasTensor) -> keras.KerasTensor:
        raise error

    running = trainer(tmp_path, loss=greedy)
    with pytest.raises(TrainingOutOfMemory, match="--batch-size 2"):
        running.run(silent)


def test_other_errors_are_not_called_out_of_memory(tmp_path: Path) -> None:
    def broken(truth: keras.KerasTensor, swapped: keras.KerasTensor) -> keras.KerasTensor:
        raise KeyError("colour")

    with pytest.raises(KeyError):
        trainer(tmp_path, loss=broken).run(silent)


def test_the_first_report_comes_soon_and_then_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "FIRST_REPORT_SECONDS", 0.0)
    told: list[int] = []
    trainer(tmp_path).run(lambda progress, speed: told.append(progress.step))
    assert told == [1]
