"""What the training's tests share: a network small enough for seconds, and data that can be learnt in a few steps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

MISSING = [name for name in ("keras", "tensorflow") if find_spec(name) is None]

collect_ignore = (
    ["test_losses.py", "test_trainer.py", "test_shared.py", "test_packaging.py", "test_recipes.py"] if MISSING else []
)
"""They import Keras; `python3 run.py --train` installs it."""


@pytest.fixture
def tiny() -> Iterator[str]:
    """The name of a preset of 32 pixels."""
    from prediction_model.training.presets import PRESETS, Preset

    PRESETS["tiny"] = Preset(size=32, widths=(4, 4, 8, 8, 8), head=4)
    yield "tiny"
    del PRESETS["tiny"]
