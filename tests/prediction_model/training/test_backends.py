"""The networks, the losses and the loop train under every Keras backend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("two_steps.py")


def train(backend: str, folder: Path, steps: int) -> dict[str, Any]:
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), str(folder), str(steps)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-2000:]
    result: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return result


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_the_loss_falls_in_a_few_steps(backend: str, tmp_path: Path) -> None:
    if find_spec("keras") is None or find_spec(backend) is None:
        pytest.skip(f"{backend} or Keras is not installed")
    result = train(backend, tmp_path, 6)
    assert result["backend"] == backend
    assert result["losses"][-1] < 0.95 * result["losses"][0]
