"""The paired data: synthetic actors and the eight personas giving the same performances.

`FOLDER/pK/IIII.webp` and `FOLDER/sNN/IIII.webp` are cut-out renders; the same index is the same performance
(expression, pose, light). A source's frame is the input and a persona's frame of the same index is the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.faces.align import alignment
from prediction_model.faces.detect import BlazeFace
from prediction_model.faces.eyes import EyeLids, Lids
from prediction_model.faces.landmarks import FaceMesh, roi_of_detection, roi_of_mesh
from prediction_model.types import BgrFrame, Matrix, Mesh

FIRST_MEASURED_PERFORMANCE = 240
"""Performances from here on are kept for measuring."""
FIRST_MEASURED_SOURCE = 52
"""Sources from here on are kept for measuring."""
GREY = 128


@dataclass(frozen=True)
class Performance:
    """One frame of one actor."""

    actor: str
    index: int
    """The performance; the same for everybody who gave it."""
    picture: npt.NDArray[np.uint8]
    """uint8 [H, W, 4], BGR and alpha; black where alpha is zero."""
    mesh: Mesh
    """float32 [468, 3] in pixels of the picture."""
    lids: Lids | None = None
    """float32 [2, 16, 2] in pixels of the picture, see `EyeLids.contours`; None: not measured."""

    def matrix(self, size: int) -> Matrix:
        """float32 [2, 3]: from the picture to a crop of `size` pixels."""
        return alignment(self.mesh, size)


def read_cutout(path: Path) -> npt.NDArray[np.uint8]:
    """A cut-out as uint8 [H, W, 4] BGR and alpha, its colours cleared where alpha is zero (they mean nothing there)."""
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.ndim != 3 or picture.shape[2] != 4:
        raise ValueError(
            f"Expected a picture with transparency. Received: {path}. Give the folder of the actors' cut-outs."
        )
    picture[picture[..., 3] == 0] = 0
    return np.asarray(picture, np.uint8)


def over(cutout: npt.NDArray[np.uint8], background: BgrFrame | int) -> BgrFrame:
    """`cutout` [H, W, 4] composited over a background [H, W, 3] or a grey level: uint8 [H, W, 3]."""
    alpha = cutout[..., 3:].astype(np.float32) / 255
    blended = cutout[..., :3] * alpha + np.float32(1) * background * (1 - alpha)
    return np.asarray(np.round(blended), np.uint8)


class Mesher:
    """Meshes of single pictures: detector, mesh, and the mesh once more from its own square (steadier)."""

    def __init__(self) -> None:
        self._detector, self._mesh = BlazeFace(), FaceMesh()

    def mesh(self, picture: BgrFrame) -> Mesh | None:
        """float32 [468, 3] in pixels of `picture` [H, W, 3] BGR; None without a face."""
        found = self._detector.detect(picture)
        if not found:
            return None
        mesh, _ = self._mesh.landmarks(picture, roi_of_detection(found[0]))
        mesh, presence = self._mesh.landmarks(picture, roi_of_mesh(mesh))
        return mesh if presence > 0.5 else None


def performances(folder: Path, actors: Iterable[str]) -> Iterator[Performance]:
    """Every frame of `actors` (folder names) in which a face is found, in order of index."""
    mesher = Mesher()
    for actor in actors:
        for path in sorted((folder / actor).glob("*.webp")):
            picture = read_cutout(path)
            mesh = mesher.mesh(over(picture, GREY))
            if mesh is not None:
                yield Performance(actor, int(path.stem), picture, mesh)


def with_lids(performances: Iterable[Performance]) -> Iterator[Performance]:
    """The same with their eyes' lids measured."""
    eyes = EyeLids()
    for performance in performances:
        picture = over(performance.picture, GREY)
        yield replace(performance, lids=eyes.contours(picture, performance.mesh))
