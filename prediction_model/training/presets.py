"""The shapes that networks are trained in. Apart from the networks, so that reading a call imports no Keras."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """The shape of one network. Copy one of `PRESETS` to make another."""

    size: int
    """Side of the crop, in pixels; a multiple of 32."""
    widths: tuple[int, int, int, int, int]
    """Channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the crop's side."""
    head: int
    """Channels before the last depth-to-space, at half the crop's side."""
    blocks: int = 1
    """Residual blocks at each level."""


PRESETS = {
    "live": Preset(size=160, widths=(24, 48, 96, 160, 256), head=32),
    "large": Preset(size=256, widths=(48, 96, 192, 320, 512), head=64, blocks=2),
}

ORIGINAL = "original"
"""The network of the first deepfakes, which has no shape to choose (`prediction_model/training/original.py`)."""
NAMES = (*PRESETS, ORIGINAL)
"""What `--preset` takes."""
