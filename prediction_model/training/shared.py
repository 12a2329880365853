"""What the shipped identities have in common, as float16: where the training of a new one begins.

The archive holds the encoder, the decoder's kernels, and one identity that is the mean of all. A new
identity's training moves its own scales, shifts and maps, and the decoder's kernels; the encoder stays, so that its
package needs none.
"""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np
import numpy.typing as npt

from prediction_model.errors import RunRefused
from prediction_model.training.networks import Modulation, Preset, autoencoder

SHARED = Path(__file__).with_name("shared.npz")
IDENTITY_AXIS = 0
"""Of a `Modulation`'s weights."""


def save_shared(path: Path, model: keras.Model, preset: str) -> None:
    """Write what the identities of `model`, a trained autoencoder of `preset`, have in common."""
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for number, (weight, own) in enumerate(zip(model.get_weights(), _identity_weights(model), strict=True)):
        common = weight.mean(axis=IDENTITY_AXIS, keepdims=True) if own else weight
        arrays[f"w{number:03d}"] = common.astype(np.float16)
    about = json.dumps({"preset": preset, "weights": len(arrays)})
    np.savez_compressed(path, about=np.array(about), **arrays)  # type: ignore[arg-type]


def load_shared(path: Path, preset: Preset) -> keras.Model:
    """An autoencoder of one identity, the mean of those it was made of, with the weights of `path`.

    Raises:
        RunRefused: the file is missing, damaged, or of another network.
    """
    model = autoencoder(preset, 1)
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = sorted(name for name in archive.files if name.startswith("w"))
            weights = [archive[name].astype(np.float32) for name in names]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise RunRefused(
            f"The shared weights {path} cannot be read ({error}): train from the beginning with --from-scratch."
        ) from error
    expected = [w.shape for w in model.get_weights()]
    if [w.shape for w in weights] != expected:
        raise RunRefused(
            f"The shared weights {path} are not of a network of {preset.size} pixels with the widths {preset.widths}: "
            "train that preset with --from-scratch."
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


def _identity_weights(model: keras.Model) -> list[bool]:
    """For each of `model.get_weights()`: is it an identity's own?"""
    own = {
        variable.path
        for layer in model.get_layer("decoder").layers
        if isinstance(layer, Modulation)
        for variable in layer.weights
    }
    return [variable.path in own for variable in model.weights]
