"""One identity as an ONNX file, for other runtimes: crop `[batch, S, S, 3]` to RGB and mask, float32 weights."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from prediction_model.errors import ExtraMissing, RunRefused
from prediction_model.training import original
from prediction_model.training.networks import decoded, encoder
from prediction_model.training.presets import ORIGINAL, PRESETS, Preset
from prediction_model.training.runs import Run


class FixedModulation(layers.Layer):  # type: ignore[misc]
    """One identity's `Modulation`: scale, shift and, where there is one, the constant map, as weights of its own."""

    def __init__(self, values: Sequence[npt.NDArray[np.float32]], **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.values = values

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.fixed = [self.add_weight(shape=v.shape, name=f"fixed{i}") for i, v in enumerate(self.values)]
        for weight, value in zip(self.fixed, self.values, strict=True):
            weight.assign(value)

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        scale, shift, *maps = self.fixed
        y = x * scale + shift
        return y + maps[0] if maps else y


def write_onnx(model: keras.Model, run: Run, identity: int, path: Path) -> None:
    """Write the identity of that number of `model`, a run's trained network, to `path`.

    Raises:
        ExtraMissing: the package that Keras writes ONNX with is not installed.
        RunRefused: what was written is not what was trained.
    """
    if find_spec("tf2onnx") is None:
        raise ExtraMissing("Export to ONNX", "tf2onnx", "onnx")
    plain = original_swap(model, identity) if run.preset == ORIGINAL else swap(PRESETS[run.preset], model, identity)
    # The network must have been called, and the exporter reads names that NumPy 2 warns of.
    crop = np.zeros((1, run.size, run.size, 3), np.float32)
    same = (
        np.asarray(plain(crop))
        - np.asarray(model([crop, np.array([identity], np.int32)]))[..., : plain.output_shape[-1]]
    )
    if float(np.abs(same).max()) > 1e-3:
        raise RunRefused(
            f"{path.name}: the network could not be rebuilt as it was trained; export from the run's version."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain.export(str(path), format="onnx", verbose=False)


def swap(preset: Preset, trained: keras.Model, identity: int) -> keras.Model:
    """Encoder and one identity's decoder as one plain network."""
    shared = trained.get_layer("decoder")

    def modulate(x: keras.KerasTensor, name: str, with_map: bool) -> keras.KerasTensor:
        own = shared.get_layer(name)
        values = [1 + np.asarray(own.scale[identity]), np.asarray(own.shift[identity])]
        return FixedModulation([*values, np.asarray(own.map[identity])] if with_map else values, name=name)(x)

    features = encoder(preset)
    features.set_weights(trained.get_layer("encoder").get_weights())
    crop = keras.Input((preset.size, preset.size, 3), name="crop")
    plain = keras.Model(crop, decoded(preset, features(crop), modulate))
    for layer in plain.layers:
        if layer.weights and layer.name != "encoder" and not isinstance(layer, FixedModulation):
            layer.set_weights(shared.get_layer(layer.name).get_weights())
    return plain


def original_swap(trained: keras.Model, identity: int) -> keras.Model:
    """The same for the original system's network; it makes no mask."""
    features = original.encoder()
    features.set_weights(trained.get_layer("encoder").get_weights())
    own = original.decoder("own")
    own.set_weights(trained.get_layer(f"decoder{identity}").get_weights())
    crop = keras.Input((original.SIZE, original.SIZE, 3), name="crop")
    return keras.Model(crop, own(features(crop)))
