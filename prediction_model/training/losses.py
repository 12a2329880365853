"""What a swap is trained to: colours, edges and structure of the truth where the face is, and the mask."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops

EDGE_WEIGHT = 0.5
STRUCTURE_WEIGHT = 0.5
MASK_WEIGHT = 1.5
SUREST = 1e-5
"""As near as this a probability comes to 0 and 1."""


def _window(side: int = 11, sigma: float = 1.5) -> keras.KerasTensor:
    line = ops.exp(-((ops.arange(side, dtype="float32") - side // 2) ** 2) / (2 * sigma**2))
    line = line / ops.sum(line)
    return line


def structural_similarity(a: keras.KerasTensor, b: keras.KerasTensor) -> keras.KerasTensor:
    """SSIM per pixel (Wang et al., 2004) of the luma: `[batch, H, W, 3]` twice, in [0, 1], to `[batch, H, W, 1]`."""
    luma = ops.reshape(ops.convert_to_tensor([0.299, 0.587, 0.114], dtype="float32"), (1, 1, 3, 1))
    line = _window()
    rows, columns = ops.reshape(line, (-1, 1, 1, 1)), ops.reshape(line, (1, -1, 1, 1))

    def blur(x: keras.KerasTensor) -> keras.KerasTensor:
        return ops.conv(ops.conv(x, rows, padding="same"), columns, padding="same")

    a, b = ops.conv(a, luma), ops.conv(b, luma)
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    both = blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mean_a * mean_b + c1) * (2 * both + c2)) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))


def _edges(x: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    return x[:, 1:, :-1] - x[:, :-1, :-1], x[:, :-1, 1:] - x[:, :-1, :-1]


def _cross_entropy(wanted: keras.KerasTensor, made: keras.KerasTensor) -> keras.KerasTensor:
    """Of probabilities, per pixel, 0 where they agree.

    Not their difference: its gradient vanishes where the network is sure, and it was sure that nothing is ever before a
    face.
    """
    made = ops.clip(made, SUREST, 1 - SUREST)
    least = ops.clip(wanted, SUREST, 1 - SUREST)
    return _entropy(wanted, made) - _entropy(wanted, least)


def _entropy(wanted: keras.KerasTensor, made: keras.KerasTensor) -> keras.KerasTensor:
    return -(wanted * ops.log(made) + (1 - wanted) * ops.log(1 - made))


def swap_loss(
    structure: float = STRUCTURE_WEIGHT,
) -> Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor]:
    """The loss of a batch.

    Input shape: truth `[batch, S, S, 6]` (RGB, mask, weight, face) and prediction `[batch, S, S, 4]` (RGB, mask).
    Output shape: a scalar.
    """

    def loss(truth: keras.KerasTensor, swapped: keras.KerasTensor) -> keras.KerasTensor:
        truth, swapped = ops.cast(truth, "float32"), ops.cast(swapped, "float32")
        colour, mask, weight, face = truth[..., :3], truth[..., 3:4], truth[..., 4:5], truth[..., 5:6]
        made = swapped[..., :3]
        area = ops.mean(face) + 1e-3
        total = ops.mean(weight * ops.abs(colour - made)) / area
        down, across = (a - b for a, b in zip(_edges(colour), _edges(made), strict=True))
        inner = weight[:, :-1, :-1]
        total += EDGE_WEIGHT * ops.mean(inner * (ops.abs(down) + ops.abs(across))) / area
        # Outside the face the truth means nothing: there the made picture is compared with itself.
        made_inside = made * face + ops.stop_gradient(made) * (1 - face)
        colour_inside = colour * face + ops.stop_gradient(made) * (1 - face)
        total += structure * ops.mean(face * (1 - structural_similarity(colour_inside, made_inside))) / area
        return total + MASK_WEIGHT * ops.mean(_cross_entropy(mask, swapped[..., 3:4]))

    return loss
