"""The networks, as templates to copy: a shared encoder, and a decoder that is modulated by the identity.

Written in Keras 3 alone, so that they train under TensorFlow, JAX or PyTorch (`KERAS_BACKEND`).

While training, all identities share the decoder's kernels; each has its own scale and shift per channel (feature-wise
linear modulation, Perez et al., 2018, arXiv:1709.07871) and its own constant maps, which hold what is always at the
same place in an aligned face. On export scale and shift are folded into the kernels: each gets a plain decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
from keras import layers

from prediction_model.training.presets import Preset


def convolution(x: keras.KerasTensor, channels: int, kernel: int, stride: int, name: str) -> keras.KerasTensor:
    """Convolution, batch normalisation: no bias, no activation."""
    x = layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return layers.BatchNormalization(momentum=0.98, epsilon=1e-3, name=f"{name}_norm")(x)


def residual(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Two 3×3 convolutions and a shortcut (He et al., 2016)."""
    channels = x.shape[-1]
    y = layers.ReLU()(convolution(x, channels, 3, 1, f"{name}_a"))
    return layers.ReLU()(layers.Add()([x, convolution(y, channels, 3, 1, f"{name}_b")]))


@keras.saving.register_keras_serializable("prediction_model")
class Modulation(layers.Layer):  # type: ignore[misc]
    """Scale, shift and a constant map, each chosen by the identity.

    Input shape: `[batch, height, width, channels]` and identity indices, int32 `[batch]`.
    Output shape: that of the first input.
    """

    def __init__(self, identities: int, with_map: bool = True, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.identities = identities
        self.with_map = with_map

    def build(self, input_shape: Sequence[Sequence[int | None]]) -> None:
        _, height, width, channels = input_shape[0]
        self.scale = self.add_weight(shape=(self.identities, channels), initializer="zeros", name="scale")
        self.shift = self.add_weight(shape=(self.identities, channels), initializer="zeros", name="shift")
        if self.with_map:
            shape = (self.identities, height, width, channels)
            self.map = self.add_weight(shape=shape, initializer="zeros", name="map")

    def call(self, inputs: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
        x, identity = inputs
        scale = keras.ops.take(self.scale, identity, axis=0)[:, None, None, :]
        shift = keras.ops.take(self.shift, identity, axis=0)[:, None, None, :]
        y = x * (1.0 + scale) + shift
        return y + keras.ops.take(self.map, identity, axis=0) if self.with_map else y

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "identities": self.identities, "with_map": self.with_map}


Modulate = Callable[[keras.KerasTensor, str, bool], keras.KerasTensor]
"""Applies an identity's modulation to features: features, the layer's name, whether it adds a constant map."""


def modulated(x: keras.KerasTensor, modulate: Modulate, name: str) -> keras.KerasTensor:
    """`residual`, modulated by the identity after each convolution."""
    channels = x.shape[-1]
    y = convolution(x, channels, 3, 1, f"{name}_a")
    y = layers.ReLU()(modulate(y, f"{name}_a_mod", True))
    y = convolution(y, channels, 3, 1, f"{name}_b")
    y = modulate(y, f"{name}_b_mod", False)
    return layers.ReLU()(layers.Add()([x, y]))


def encoder(preset: Preset) -> keras.Model:
    """The shared encoder.

    Input shape: `[batch, S, S, 3]`, RGB in [0, 1].
    Output shape: features at 1/4, 1/8, 1/16 and 1/32 of S.
    """
    crop = keras.Input((preset.size, preset.size, 3), name="crop")
    x = layers.ReLU()(convolution(crop, preset.widths[0], 5, 2, "stem"))
    features = []
    for level, channels in enumerate(preset.widths[1:], start=2):
        x = layers.ReLU()(convolution(x, channels, 3, 2, f"down{level}"))
        for block in range(preset.blocks):
            x = residual(x, f"enc{level}_{block}")
        features.append(x)
    return keras.Model(crop, features, name="encoder")


def features_of(preset: Preset) -> list[keras.KerasTensor]:
    """Inputs of the shapes that the encoder puts out."""
    sides = [preset.size // 2**level for level in range(2, 6)]
    return [
        keras.Input((side, side, channels), name=f"feature{level}")
        for level, (side, channels) in enumerate(zip(sides, preset.widths[1:], strict=True), start=2)
    ]


def decoded(preset: Preset, features: Sequence[keras.KerasTensor], modulate: Modulate) -> keras.KerasTensor:
    """The decoder's layers.

    Input shape: the encoder's features.
    Output shape: `[batch, S, S, 4]` in [0, 1]: RGB and mask.
    """
    x = features[-1]
    for block in range(preset.blocks):
        x = modulated(x, modulate, f"dec5_{block}")
    for level, channels, skip in zip((4, 3, 2), preset.widths[3:0:-1], features[-2::-1], strict=True):
        x = convolution(x, channels, 1, 1, f"up{level}")
        x = layers.UpSampling2D(interpolation="bilinear", name=f"up{level}_upsample")(x)
        x = layers.ReLU()(layers.Add()([x, convolution(skip, channels, 1, 1, f"skip{level}")]))
        for block in range(preset.blocks):
            x = modulated(x, modulate, f"dec{level}_{block}")
    x = convolution(x, preset.head, 1, 1, "up1")
    x = layers.ReLU()(layers.UpSampling2D(interpolation="bilinear", name="up1_upsample")(x))
    x = convolution(x, preset.head, 3, 1, "head")
    x = layers.ReLU()(modulate(x, "head_mod", True))
    # The last convolution makes 2×2 pixels a position: half-resolution cost, full-resolution picture.
    x = layers.Conv2D(16, 3, padding="same", name="pixels")(x)
    half = preset.size // 2
    x = layers.Reshape((half, half, 2, 2, 4))(x)
    x = layers.Permute((1, 3, 2, 4, 5))(x)
    x = layers.Reshape((preset.size, preset.size, 4))(x)
    return layers.Activation("sigmoid", dtype="float32")(x)


def decoder(preset: Preset, identities: int) -> keras.Model:
    """The decoder of `identities` people.

    Input shape: the encoder's features, and identity indices, int32 `[batch]`.
    Output shape: `[batch, S, S, 4]` in [0, 1]: RGB and mask.
    """
    features = features_of(preset)
    identity = keras.Input((), dtype="int32", name="identity")

    def modulate(x: keras.KerasTensor, name: str, with_map: bool) -> keras.KerasTensor:
        return Modulation(identities, with_map, name=name)([x, identity])

    return keras.Model([*features, identity], decoded(preset, features, modulate), name="decoder")


def autoencoder(preset: Preset, identities: int) -> keras.Model:
    """Encoder and decoder as one model to train: `[crop, identity]` to RGB and mask."""
    crop = keras.Input((preset.size, preset.size, 3), name="crop")
    identity = keras.Input((), dtype="int32", name="identity")
    swapped = decoder(preset, identities)([*encoder(preset)(crop), identity])
    return keras.Model([crop, identity], swapped, name="autoencoder")
