"""What every engine is: aligned crops in, face and mask out. A new engine is one file beside this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from prediction_model.types import AlignedFace, Part, SwappedFace


class SwapEngine(Protocol):
    """Swaps aligned faces to one identity. Loaded once per identity; `swap` is called per frame, from several
    threads."""

    name: str
    """`autoencoder`, `photo` or `onnx`."""
    crop_size: int
    """S: the side, in pixels, of the crops it takes and of the faces it returns."""
    live_parts: tuple[Part, ...]
    """Which of the wearer's own show through unless the options say otherwise: those that it cannot move as well
    itself."""

    def swap(self, faces: Sequence[AlignedFace]) -> list[SwappedFace]:
        """Swap each of `faces`; as many results, in the same order."""
        ...
