"""What is minimised: the swap's own loss and, with a face descriptor, how far its features are from the truth's and
its identity from the persona's.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from prediction_model.training.descriptor import Chip
from prediction_model.training.losses import swap_loss
from prediction_model.training.pairs import TRUTH_CHANNELS

IDENTITY_WEIGHT = 0.3
FEATURE_WEIGHT = 0.4

Loss = Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor]
"""Truths `[batch, S, S, 6]` and what the network made of them to a scalar."""

FloatArray = npt.NDArray[np.float32]


@keras.saving.register_keras_serializable("prediction_model")
class Composite(layers.Layer):  # type: ignore[misc]
    """A face over the live crop, by the truth's mask.

    Input shape: face `[batch, S, S, 3 or more]`, crop `[batch, S, S, 3]`, truth `[batch, S, S, 6]`.
    Output shape: `[batch, S, S, 3]`, float32.
    """

    def call(self, inputs: list[keras.KerasTensor]) -> keras.KerasTensor:
        face, crop, truth = (ops.cast(x, "float32") for x in inputs)
        mask = truth[..., 3:4]
        return face[..., :3] * mask + crop * (1 - mask)


@keras.saving.register_keras_serializable("prediction_model")
class IdentityDistance(layers.Layer):  # type: ignore[misc]
    """Euclidean distance of descriptors `[batch, 128]` to their identity's reference: `[batch, 1]`."""

    def __init__(self, references: FloatArray, **kwargs: object) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.references = np.asarray(references, np.float32)

    def call(self, inputs: list[keras.KerasTensor]) -> keras.KerasTensor:
        found, identity = inputs
        wanted = ops.take(ops.convert_to_tensor(self.references), identity, axis=0)
        squared = ops.sum((ops.cast(found, "float32") - wanted) ** 2, axis=1, keepdims=True)
        return ops.sqrt(squared + 1e-6)


@keras.saving.register_keras_serializable("prediction_model")
class FeatureDistance(layers.Layer):  # type: ignore[misc]
    """Mean absolute difference of two feature maps, relative to the second's mean: `[batch, 1]`."""

    def call(self, inputs: list[keras.KerasTensor]) -> keras.KerasTensor:
        made, wanted = (ops.cast(x, "float32") for x in inputs)
        wanted = ops.stop_gradient(wanted)
        scale = ops.mean(ops.abs(wanted)) + 1e-3
        return ops.reshape(ops.mean(ops.abs(made - wanted), axis=(1, 2, 3)) / scale, (-1, 1))


def compile_swap(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, structure: float, loss: Loss | None = None
) -> keras.Model:
    """`model` compiled to `loss`, or to the swap's own; takes `[crops, identities]` and the truth."""
    model.compile(optimizer, loss or swap_loss(structure), jit_compile=False)
    return model


def compile_described(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    structure: float,
    network: keras.Model,
    references: FloatArray,
) -> keras.Model:
    """A model around `model` that is compiled to all three losses.

    It takes `[crops, identities, truths]` and, as targets, `[truths, zeros, zeros]`.

    Args:
        model: the autoencoder; the wrapped model shares its weights.
        network: `descriptor`, frozen.
        references: float32 [identities, 128], where each identity's descriptor should come to lie.
    """
    crop, identity = model.inputs
    truth = keras.Input((*crop.shape[1:3], TRUTH_CHANNELS), name="truth")
    swapped = model([crop, identity])
    chip = Chip(dtype="float32")
    made = network(chip(Composite(dtype="float32")([swapped, crop, truth])))
    wanted = network(chip(Composite(dtype="float32")([truth, crop, truth])))
    features = [FeatureDistance(dtype="float32")(pair) for pair in zip(made[:-1], wanted[:-1], strict=True)]
    outputs = [swapped, IdentityDistance(references)([made[-1], identity]), layers.Add(dtype="float32")(features)]
    wrapped = keras.Model([crop, identity, truth], outputs, name="described")

    def value(_: keras.KerasTensor, distance: keras.KerasTensor) -> keras.KerasTensor:
        return ops.mean(distance)

    wrapped.compile(
        optimizer,
        [swap_loss(structure), value, value],
        loss_weights=[1.0, IDENTITY_WEIGHT, FEATURE_WEIGHT],
        jit_compile=False,
    )
    return wrapped
