"""From a trained autoencoder to what is served: LiteRT files with int8 weights.

- `encoder.tflite`, shared: crop `[1, S, S, 3]` to features.
- `decoder.tflite`, one per identity: features and constant maps to RGB and mask `[1, S, S, 4]`. The identity's scales
  and shifts are folded into its kernels.
- `maps.npz`, one per identity: its constant maps as int8 with a scale per channel. They are inputs of the decoder
  because LiteRT would keep them as float32 constants, four times the size.

TensorFlow is needed here (its converter), and only here.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from prediction_model.errors import ExportRefused
from prediction_model.training.networks import decoded, encoder, features_of
from prediction_model.training.presets import Preset

LARGEST_MEAN_DIFFERENCE = 2 / 255
"""Mean absolute difference, served against trained, on real crops; above it nothing is exported."""

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Exported:
    """The files of one identity."""

    decoder: bytes
    maps: bytes


@keras.saving.register_keras_serializable("prediction_model")
class Affine(layers.Layer):  # type: ignore[misc]
    """Scale and shift per channel: one identity's `Modulation`, which the converter folds into a convolution."""

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")
        self.shift = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="shift")

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return x * self.scale + self.shift


def single_decoder(preset: Preset, trained: keras.Model, identity: int) -> tuple[keras.Model, dict[str, FloatArray]]:
    """The decoder of one identity, and its maps by input name, float32 [h, w, channels] each.

    The model's inputs are the features, then the maps in the order of the returned dictionary.
    """
    features = features_of(preset)
    maps: dict[str, FloatArray] = {}
    inputs: list[keras.KerasTensor] = []

    def modulate(x: keras.KerasTensor, name: str, with_map: bool) -> keras.KerasTensor:
        x = Affine(name=name)(x)
        if not with_map:
            return x
        maps[name] = np.asarray(trained.get_layer(name).map[identity], np.float32)
        inputs.append(keras.Input(maps[name].shape, name=f"{name}_map"))
        return layers.Add()([x, inputs[-1]])

    output = decoded(preset, features, modulate)
    single = keras.Model([*features, *inputs], output, name="decoder")
    for layer in single.layers:
        if isinstance(layer, Affine):
            source = trained.get_layer(layer.name)
            layer.set_weights([1 + np.asarray(source.scale[identity]), np.asarray(source.shift[identity])])
        elif layer.weights:
            layer.set_weights(trained.get_layer(layer.name).get_weights())
    return single, maps


def convert(model: keras.Model) -> bytes:
    """A LiteRT file with int8 weights; activations are quantised while it runs."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # Keras prints the signature of what it hands to the converter.
    with contextlib.redirect_stdout(io.StringIO()):
        return bytes(converter.convert())


def pack_maps(maps: dict[str, FloatArray]) -> bytes:
    """`maps.npz`: of each map [h, w, channels] `NAME` (int8, the same) and `NAME.scale` (float32 [channels])."""
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for name, values in maps.items():
        scale = np.maximum(np.abs(values).max(axis=(0, 1)), 1e-8) / 127
        arrays[name] = np.round(values / scale).astype(np.int8)
        arrays[f"{name}.scale"] = scale.astype(np.float32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def export_encoder(trained: keras.Model, preset: Preset) -> bytes:
    """The shared encoder of a trained autoencoder."""
    plain = encoder(preset)
    plain.set_weights(trained.get_layer("encoder").get_weights())
    return convert(plain)


def export_identity(trained: keras.Model, preset: Preset, identity: int) -> Exported:
    """The decoder and the maps of one identity of a trained autoencoder."""
    single, maps = single_decoder(preset, trained.get_layer("decoder"), identity)
    return Exported(convert(single), pack_maps(maps))


def check(served: FloatArray, trained: FloatArray) -> float:
    """The mean absolute difference between what is served and what was trained, both in [0, 1].

    Raises:
        ExportRefused: it is above `LARGEST_MEAN_DIFFERENCE`.
    """
    difference = float(np.abs(served - trained).mean())
    if difference > LARGEST_MEAN_DIFFERENCE:
        raise ExportRefused(difference * 255, LARGEST_MEAN_DIFFERENCE * 255)
    return difference
