"""What the training's tests share: a network small enough for seconds, and data that can be learnt in a few steps."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

MISSING = [name for name in ("keras", "tensorflow") if find_spec(name) is None]

PARTS = ("losses", "trainer", "shared", "packaging", "recipes", "retouch", "descriptor")
collect_ignore = [f"test_{part}.py" for part in PARTS] if MISSING else []
"""They import Keras; `python3 run.py --train` installs it."""


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test draws the same first weights, whatever ran before it."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(4)


@pytest.fixture
def tiny() -> Iterator[str]:
    """The name of a preset of 32 pixels."""
    from prediction_model.training.presets import PRESETS, Preset

    PRESETS["tiny"] = Preset(size=32, widths=(4, 4, 8, 8, 8), head=4)
    yield "tiny"
    del PRESETS["tiny"]


@pytest.fixture
def eagerly() -> Iterator[None]:
    """Without TensorFlow's graph, which takes as long to build as ten steps take: for tests of a step or two. The
    same network's graph is built and run in `test_backends.py` and by the commands.
    """
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
