"""The original system's network: 64 pixels, a fully connected middle, one decoder per identity, no mask.

It is the first public deepfake autoencoder (Reddit's `deepfakes`, 2017; kept by the project faceswap as its "original"
model), as the authors of the system that this project follows trained it. Kept as it was, to compare with.
"""

from __future__ import annotations

import keras
from keras import layers, ops

SIZE = 64
LEARNING_RATE, BETA_1 = 5e-5, 0.5
BATCH_SIZE = 64
ENCODER = (128, 256, 512, 1024)
"""Channels of the stride-2 5×5 convolutions."""
DENSE = 1024
DECODER = (256, 128, 64)
"""Channels after each doubling."""
LEAK = 0.1


def _halve(x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    return layers.LeakyReLU(LEAK)(layers.Conv2D(channels, 5, 2, padding="same")(x))


def _double(x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    """A 3×3 convolution and a pixel shuffle (Shi et al., 2016)."""
    x = layers.LeakyReLU(LEAK)(layers.Conv2D(4 * channels, 3, padding="same")(x))
    side = x.shape[1]
    x = layers.Reshape((side, side, 2, 2, channels))(x)
    x = layers.Permute((1, 3, 2, 4, 5))(x)
    return layers.Reshape((2 * side, 2 * side, channels))(x)


def encoder() -> keras.Model:
    """The shared encoder.

    Input shape: `[batch, 64, 64, 3]`, RGB in [0, 1].
    Output shape: `[batch, 8, 8, 512]`.
    """
    crop = keras.Input((SIZE, SIZE, 3), name="crop")
    x = crop
    for channels in ENCODER:
        x = _halve(x, channels)
    x = layers.Dense(DENSE)(layers.Flatten()(x))
    x = layers.Reshape((4, 4, 1024))(layers.Dense(4 * 4 * 1024)(x))
    return keras.Model(crop, _double(x, 512), name="encoder")


def decoder(name: str) -> keras.Model:
    """One identity's decoder.

    Input shape: `[batch, 8, 8, 512]`.
    Output shape: `[batch, 64, 64, 3]`, RGB in [0, 1].
    """
    features = keras.Input((8, 8, 512), name="feature2")
    x = features
    for channels in DECODER:
        x = _double(x, channels)
    x = layers.Conv2D(3, 5, padding="same", activation="sigmoid", dtype="float32")(x)
    return keras.Model(features, x, name=name)


@keras.saving.register_keras_serializable("prediction_model")
class ByIdentity(layers.Layer):  # type: ignore[misc]
    """Of several decoders' pictures, each sample's own: identities `[batch]`, then pictures `[batch, S, S, 3]`."""

    def call(self, inputs: list[keras.KerasTensor]) -> keras.KerasTensor:
        identity, *pictures = inputs
        chosen = ops.one_hot(identity, len(pictures))[:, None, None, None, :]
        return ops.sum(ops.stack(pictures, axis=-1) * chosen, axis=-1)


def autoencoder(identities: int = 2) -> keras.Model:
    """Encoder and decoders as one model to train: `[crop, identity]` to RGB. A sample trains its own decoder alone."""
    crop = keras.Input((SIZE, SIZE, 3), name="crop")
    identity = keras.Input((), dtype="int32", name="identity")
    features = encoder()(crop)
    pictures = [decoder(f"decoder{number}")(features) for number in range(identities)]
    swapped = ByIdentity(dtype="float32")([identity, *pictures])
    return keras.Model([crop, identity], swapped, name="original")


def absolute_error(truth: keras.KerasTensor, swapped: keras.KerasTensor) -> keras.KerasTensor:
    """Mean absolute error over the whole crop: truth `[batch, S, S, 6]`, of which the colours count."""
    return ops.mean(ops.abs(ops.cast(truth[..., :3], "float32") - ops.cast(swapped, "float32")))


def served_decoder(trained: keras.Model, identity: int) -> keras.Model:
    """One identity's decoder as it is served: its picture and, the original having none, a mask of ones.

    Input shape: `[batch, 8, 8, 512]`.
    Output shape: `[batch, 64, 64, 4]`.
    """
    plain = decoder(f"decoder{identity}")
    plain.set_weights(trained.get_layer(f"decoder{identity}").get_weights())
    picture = plain.outputs[0]
    everywhere = layers.Lambda(lambda x: ops.ones_like(x[..., :1]), output_shape=(SIZE, SIZE, 1))(picture)
    return keras.Model(plain.inputs, layers.Concatenate()([picture, everywhere]), name="decoder")
