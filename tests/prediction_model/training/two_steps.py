"""Trains a tiny preset for some steps under the backend that `KERAS_BACKEND` names, and prints the losses.

A process of its own, because Keras takes one backend per process: `python two_steps.py FOLDER STEPS`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import keras
import numpy as np

from prediction_model.training.pairs import Batch
from prediction_model.training.presets import PRESETS, Preset
from prediction_model.training.trainer import Plan, Trainer

PRESETS["tiny"] = Preset(size=32, widths=(4, 4, 8, 8, 8), head=4)
SIZE = 32


def batch(count: int) -> Batch:
    """Always the same: bright and dark squares to swap to their opposites."""
    rng = np.random.default_rng(1)
    crops = np.repeat(np.repeat(rng.random((count, 4, 4, 3), np.float32), SIZE // 4, 1), SIZE // 4, 2)
    ones = np.ones((count, SIZE, SIZE, 1), np.float32)
    truths = np.concatenate([1 - crops, ones, ones, ones], axis=3)
    return Batch(crops, np.arange(count, dtype=np.int32) % 2, truths)


def main(folder: str, steps: str) -> None:
    keras.utils.set_random_seed(0)
    plan = Plan(preset="tiny", batch_size=4, steps=int(steps), learning_rate=0.02, preview_steps=1000, warm_up_steps=1)
    trainer = Trainer(Path(folder), 2, batch, batch(4), plan)
    trainer.run(lambda progress, speed: None)
    result = {"backend": keras.backend.backend(), "losses": list(trainer.losses)}
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
