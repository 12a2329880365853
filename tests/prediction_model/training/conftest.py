"""What the training's tests share: a network small enough for seconds, and data that can be learnt in a few steps."""

from __future__ import annotations

import os
from importlib.util import find_spec

import numpy as np
import pytest

TRAINING_TOOLS = find_spec("keras") is not None and find_spec("tensorflow") is not None


@pytest.fixture(autouse=True)
def training_tools(request: pytest.FixtureRequest) -> None:
    """Tests marked `keras` are skipped where TensorFlow is not installed."""
    if request.node.get_closest_marker("keras") and not TRAINING_TOOLS:
        pytest.skip("TensorFlow is not installed: `python3 run.py --train` does")


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
