"""The shipped network's weights, small enough to commit: where the training of a new identity begins, and where that
of the gallery goes on.

Kernels and constant maps are int8 with a scale for each output channel (and identity), which is what is served
anyway; the rest is float16. A new identity begins as the mean of all; its training moves its own scales, shifts and
maps, and the decoder's kernels; the encoder stays, so that its package needs none.
"""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np
import numpy.typing as npt

from prediction_model.errors import RunRefused
from prediction_model.training.networks import Modulation, autoencoder
from prediction_model.training.presets import Preset

SHARED = Path(__file__).with_name("shared.npz")
IDENTITY_AXIS = 0
"""Of a `Modulation`'s weights."""
SMALLEST_QUANTISED_RANK = 4
"""Kernels and maps; scales, shifts and statistics are few and matter more."""
SCALE = ".scale"


def save_shared(path: Path, model: keras.Model, preset: str) -> None:
    """Write the weights of `model`, a trained autoencoder of `preset`."""
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for number, (weight, own) in enumerate(zip(model.get_weights(), _identity_weights(model), strict=True)):
        name = f"w{number:03d}"
        if weight.ndim < SMALLEST_QUANTISED_RANK:
            arrays[name] = weight.astype(np.float16)
            continue
        within = tuple(range(1 if own else 0, weight.ndim - 1))
        scale = np.maximum(np.abs(weight).max(axis=within, keepdims=True), 1e-8) / 127
        arrays[name] = np.round(weight / scale).astype(np.int8)
        arrays[name + SCALE] = scale.astype(np.float32)
    about = json.dumps({"preset": preset, "weights": len(model.weights)})
    np.savez_compressed(path, about=np.array(about), **arrays)  # type: ignore[arg-type]


def load_shared(path: Path, preset: Preset, identities: int = 1) -> keras.Model:
    """An autoencoder with the weights of `path`: of one new identity, the mean of all, or of all of them.

    Raises:
        RunRefused: the file is missing, damaged, or of another network or another number of identities.
    """
    model = autoencoder(preset, identities)
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = sorted(name for name in archive.files if name.startswith("w") and not name.endswith(SCALE))
            weights = [
                archive[name].astype(np.float32) * (archive[name + SCALE] if name + SCALE in archive.files else 1)
                for name in names
            ]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise RunRefused(
            f"The shared weights {path} cannot be read ({error}): train from the beginning with --from-scratch."
        ) from error
    if identities == 1 and len(weights) == len(model.weights):
        own = _identity_weights(model)
        weights = [w.mean(axis=IDENTITY_AXIS, keepdims=True) if o else w for w, o in zip(weights, own, strict=True)]
    expected = [w.shape for w in model.get_weights()]
    if [w.shape for w in weights] != expected:
        raise RunRefused(
            f"The shared weights {path} are not of a network of {preset.size} pixels with the widths {preset.widths} "
            f"and {identities} identities: train that preset with --from-scratch."
        )
    model.set_weights(weights)
    return model


def freeze_shared(model: keras.Model) -> None:
    """Leave to training only what a new identity needs: its modulation, and the decoder's kernels.

    Normalisation is frozen with its statistics: a modulation follows each, and one person's crops are too alike to
    measure anything on.
    """
    model.get_layer("encoder").trainable = False
    for layer in model.get_layer("decoder").layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def freeze_all_but_maps(model: keras.Model) -> None:
    """Leave to training only what an identity has at fixed places of its face."""
    freeze_shared(model)
    for layer in model.get_layer("decoder").layers:
        if not isinstance(layer, Modulation):
            layer.trainable = False
            continue
        layer.scale.trainable = layer.shift.trainable = False


def _identity_weights(model: keras.Model) -> list[bool]:
    """For each of `model.get_weights()`: is it an identity's own?"""
    own = {
        variable.path
        for layer in model.get_layer("decoder").layers
        if isinstance(layer, Modulation)
        for variable in layer.weights
    }
    return [variable.path in own for variable in model.weights]
