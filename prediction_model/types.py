"""Shapes and units that every room shares.

Pixels at module borders are BGR uint8; a `Crop` is RGB float32 in [0, 1] and is converted once, in `faces.align`.
Coordinates are pixels, x to the right, y down, pixel centres at integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

BgrFrame: TypeAlias = npt.NDArray[np.uint8]
"""uint8 [H, W, 3], BGR."""

Crop: TypeAlias = npt.NDArray[np.float32]
"""float32 [S, S, 3], RGB in [0, 1]."""

Mask: TypeAlias = npt.NDArray[np.float32]
"""float32 [S, S] (or [H, W]), 0 = background, 1 = face."""

Mesh: TypeAlias = npt.NDArray[np.float32]
"""float32 [468, 3]: MediaPipe's face mesh; x, y in pixels of the picture it is given for, z in the same scale."""

Matrix: TypeAlias = npt.NDArray[np.float32]
"""float32 [2, 3]: affine map, frame pixels to crop pixels."""

Milliseconds: TypeAlias = float

JsonObject: TypeAlias = dict[str, Any]

Part: TypeAlias = Literal["eyes", "mouth"]
"""What may stay the wearer's own inside a swapped face."""
PARTS: tuple[Part, ...] = ("eyes", "mouth")


@dataclass(frozen=True, slots=True)
class Box:
    """Axis-aligned box in frame pixels: left, top, width, height."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class AlignedFace:
    """One face, ready for an engine."""

    crop: Crop
    """float32 [S, S, 3] RGB in [0, 1], S being the engine's `crop_size`."""
    mesh: Mesh
    """float32 [468, 3] in pixels of the crop."""
    matrix: Matrix
    """float32 [2, 3], frame to crop."""
    frame: BgrFrame | None = None
    """uint8 [H, W, 3] BGR, what the crop was cut from, for an engine that aligns otherwise; not to be kept."""
    shape: npt.NDArray[np.float32] | None = None
    """float32 [56, 2]: how the wearer's face at rest differs from the average (`faces.shape`); None: not known."""


@dataclass(frozen=True, slots=True)
class SwappedFace:
    """What an engine gives back for one `AlignedFace`."""

    face: Crop
    """float32 [S, S, 3] RGB in [0, 1]."""
    mask: Mask
    """float32 [S, S] in [0, 1]: where `face` replaces the live picture."""
    moved: npt.NDArray[np.float32] | None = None
    """float32 [G, G, 2], spread over the crop: how far right and down, in crop pixels, the live crop has what `face`
    shows here. None: features are where the wearer has them."""
    mesh: Mesh | None = None
    """float32 [468, 3] in crop pixels: the features of `face`; None: where the wearer has them."""
    doubt: float = 1.0
    """Of which share of the face the engine cannot say that nothing is before it; 1 where it cannot tell."""
