"""The two pictures of a real person's package: the portrait that is shown, and the face that the photo engine wears."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from prediction_model.faces.align import alignment
from prediction_model.identities.package import FACE, PORTRAIT
from prediction_model.picture import write_jpeg
from prediction_model.types import BgrFrame, Mesh

PICTURES = ((PORTRAIT, 480, 1.5), (FACE, 640, 1.35))
"""File, side in pixels, and how much wider it is than the engines' crop."""
QUALITY = 92


def cut_pictures(picture: BgrFrame, mesh: Mesh) -> dict[str, bytes]:
    """Both by file name, JPEG: upright squares around the face.

    Args:
        picture: uint8 [H, W, 3] BGR. What lies outside is filled by repeating its border.
        mesh: float32 [468, 3] in its pixels.
    """
    cut = {}
    for name, side, margin in PICTURES:
        matrix = alignment(mesh, side) / np.float32(margin)
        matrix[:, 2] += side * (1 - 1 / margin) / 2
        scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
        # Bicubic sampling skips pixels when it shrinks by more than two.
        smooth = cv2.GaussianBlur(picture, (0, 0), 0.4 / scale) if scale < 0.5 else picture
        square = cv2.warpAffine(smooth, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        cut[name] = write_jpeg(np.asarray(square, np.uint8), QUALITY)
    return cut


def write_pictures(folder: Path, picture: BgrFrame, mesh: Mesh) -> None:
    """Write `cut_pictures` into `folder`, which is made where it is not there.

    Raises:
        OSError: one of them cannot be written whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in cut_pictures(picture, mesh).items():
        # Not cv2.imwrite, which does not say that a disk is full.
        (folder / name).write_bytes(content)
