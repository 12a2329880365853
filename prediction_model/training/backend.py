"""Which Keras backend trains, in which precision, on how many threads. To be chosen before Keras is imported."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from prediction_model.errors import ExtraMissing

BACKENDS = ("tensorflow", "jax", "torch")
"""In order of preference; `KERAS_BACKEND` names one."""
PRECISIONS = ("auto", "float32", "bfloat16")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
"""Processor flags (Linux) with which bfloat16 is faster than float32."""


def choose_backend(threads: int | None = None) -> str:
    """Set the environment for Keras and return the backend's name.

    Args:
        threads: at most so many processor threads; None: as many as there are.

    Raises:
        ExtraMissing: Keras, or the backend that `KERAS_BACKEND` names, is not installed.
    """
    if find_spec("keras") is None:
        raise ExtraMissing("Training", "Keras with TensorFlow", "train")
    named = os.environ.get("KERAS_BACKEND")
    found = [name for name in ([named] if named else BACKENDS) if find_spec(name)]
    if not found:
        raise ExtraMissing("Training", named or "TensorFlow", "train")
    os.environ["KERAS_BACKEND"] = found[0]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if threads:
        for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
            os.environ[name] = str(threads)
    return found[0]


def prepare(precision: str = "auto", seed: int = 0, threads: int | None = None) -> str:
    """Choose the backend, set its precision and seed Python's, NumPy's and the backend's generators.

    Returns:
        The backend's name.
    """
    backend = choose_backend(threads)
    import keras

    if precision == "auto":
        precision = "bfloat16" if _bfloat16_is_fast(backend) else "float32"
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    keras.utils.set_random_seed(seed)
    return backend


def check_tensorflow(what: str) -> None:
    """Raises ExtraMissing, for `what`, where TensorFlow and Keras are not installed. Changes nothing."""
    if find_spec("keras") is None or find_spec("tensorflow") is None:
        raise ExtraMissing(what, "TensorFlow with Keras", "train")


def require_tensorflow() -> None:
    """Export converts with TensorFlow, whatever trained.

    Raises:
        ExtraMissing: it is not installed.
    """
    check_tensorflow("Export")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def _bfloat16_is_fast(backend: str) -> bool:
    if backend == "torch":
        import torch

        # Measured: PyTorch on a processor is slower in bfloat16 than in float32.
        return bool(torch.cuda.is_available() and torch.cuda.is_bf16_supported())
    if backend == "tensorflow":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return True
    try:
        return bool(BFLOAT16_FLAGS & set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split()))
    except OSError:
        return False
