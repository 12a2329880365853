"""What every engine is: aligned crops in, face and mask out. A new engine is one file beside this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from prediction_model.types import AlignedFace, SwappedFace


class SwapEngine(Protocol):
    """Swaps aligned faces to one identity. Loaded once per identity; `swap` is called per frame, from several
    threads."""

    name: str
    """`autoencoder`, `photo` or `onnx`."""
    crop_size: int
    """S: the side, in pixels, of the crops it takes and of the faces it returns."""
    keeps_live_parts: bool
    """Whether the wearer's own eyes and mouth show through unless the options say otherwise: an engine that cannot move
    them itself says True."""

    def swap(self, faces: Sequence[AlignedFace]) -> list[SwappedFace]:
        """Swap each of `faces`; as many results, in the same order."""
        ...
