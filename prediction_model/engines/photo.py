"""One picture, no training: its texture, carried by the 468-point mesh onto the live face.

What moves (lids, lips, jaw) moves because the live mesh moves it; eyeballs and the inside of the mouth stay live,
because one picture cannot tell what they look like. Light and colour come later, from `compositing.colour`, as for
every engine.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.compositing.mask import INNER_MOUTH
from prediction_model.engines.mesh_raster import delaunay, rasterise
from prediction_model.engines.texture import face_texture
from prediction_model.errors import BadInstance
from prediction_model.faces.align import align, template
from prediction_model.faces.finder import FaceFinder
from prediction_model.faces.shape import reshape, shape_of
from prediction_model.types import PARTS, AlignedFace, BgrFrame, Mesh, Part, SwappedFace

CROP_SIZE = 256
GRID = 88
"""The texture's map is computed at this many pixels a side, then enlarged: it is piecewise linear."""
TEXTURE_SIZES = (512, 384, 288, 216, 160, 120, 88, 64)
"""Pixels a side, a quarter apart: the one that fits the live face's own size is used, so that nothing aliases."""
DETAIL = 1.15
"""Texture pixels for one frame pixel: just enough not to soften."""
RESHAPED = 0.6
"""How far the wearer's proportions go to the picture's: most of what tells people apart, short of what looks pulled."""
RING = 1.22
"""The picture's face is used a little beyond the mesh's outline, so that forehead and jaw can fade out."""
FADED_STRETCH = (0.12, 0.4)
"""A texture pixel that would cover more than 1/0.12 crop pixels is not shown, one that covers less than 1/0.4 is in
full."""

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""Mesh points around the face, in order."""


def _ring(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The mesh's points and, after them, its oval once more, pushed outwards: float32 [468 + 36, d]."""
    oval = points[list(OVAL)]
    middle = oval.mean(axis=0)
    return np.concatenate([points, middle + RING * (oval - middle)]).astype(np.float32)


def _topology() -> npt.NDArray[np.intp]:
    """Triangles over the template and its ring, made with the mouth open, so that none joins the lips but across it."""
    points = template().copy()
    mouth = points[list(INNER_MOUTH)]
    left, right = mouth[:, 0].min(), mouth[:, 0].max()
    upper, lower = mouth[:11], mouth[[10, *range(11, 20), 0]]
    x = np.clip(points[:, 0], left, right)
    order = np.argsort(upper[:, 0]), np.argsort(lower[:, 0])
    line = (np.interp(x, *upper[order[0]].T) + np.interp(x, *lower[order[1]].T)) / 2
    across = np.clip((points[:, 0] - left) / (right - left), 0, 1)
    points[:, 1] += np.where(points[:, 1] > line, 0.12 * np.sin(np.pi * across), 0)
    return delaunay(_ring(points) * 1000)


class PhotoEngine:
    """Swaps to the face of one picture."""

    name = "photo"
    crop_size = CROP_SIZE
    live_parts: tuple[Part, ...] = PARTS

    def __init__(self, picture: BgrFrame, mesh: Mesh) -> None:
        """Prepare the texture.

        Args:
            picture: uint8 [H, W, 3] BGR, one face, frontal, mouth closed.
            mesh: float32 [468, 3], its mesh in pixels of the picture.
        """
        face = align(picture, mesh, TEXTURE_SIZES[0])
        crop = cv2.cvtColor(cv2.convertScaleAbs(face.crop, alpha=255.0), cv2.COLOR_RGB2BGR)
        texture = cv2.cvtColor(face_texture(crop, face.mesh[:, :2]), cv2.COLOR_BGR2RGBA)
        self._textures = [
            texture if s == TEXTURE_SIZES[0] else cv2.resize(texture, (s, s), interpolation=cv2.INTER_AREA)
            for s in TEXTURE_SIZES
        ]
        self._places = _ring(face.mesh[:, :2]) / TEXTURE_SIZES[0]
        self._shape = shape_of(face.mesh, TEXTURE_SIZES[0])
        self._triangles = _topology()

    @classmethod
    def from_picture(cls, picture: BgrFrame, finder: FaceFinder) -> PhotoEngine:
        """Prepare the texture of the largest face in `picture` [H, W, 3] BGR.

        Raises:
            BadInstance: there is no face.
        """
        faces = finder.find(picture, None, 0.0).faces
        if not faces:
            raise BadInstance("The identity's picture shows no face: use one frontal, well-lit face.")
        return cls(picture, max(faces, key=lambda face: face.size).mesh)

    def swap(self, faces: Sequence[AlignedFace]) -> list[SwappedFace]:
        """Swap each of `faces`; as many results, in the same order."""
        return [self._swap(face) for face in faces]

    def _swap(self, live: AlignedFace) -> SwappedFace:
        wearer = np.zeros_like(self._shape) if live.shape is None else live.shape
        mesh = reshape(live.mesh, CROP_SIZE, wearer, self._shape, RESHAPED)
        corners = _ring(mesh)
        from_live = live.mesh[:, :2] - mesh[:, :2]
        from_live = np.vstack([from_live, np.zeros((len(OVAL), 2), np.float32)])
        values = np.hstack([self._places, from_live])
        grid_corners = (corners[:, :2] + 0.5) * (GRID / CROP_SIZE) - 0.5
        raster = rasterise(grid_corners, corners[:, 2], values, self._triangles, GRID)
        low, high = FADED_STRETCH
        trusted = np.clip((raster.stretch - low) / (high - low), 0, 1) * raster.drawn
        filled = _spread(raster.values, raster.drawn)
        scale = float(np.hypot(live.matrix[0, 0], live.matrix[1, 0]))
        texture = self._textures[_level(CROP_SIZE / max(scale, 1e-6) * DETAIL)]
        at = filled[..., :2] * texture.shape[0] + (texture.shape[0] / TEXTURE_SIZES[0] - 1) / 2
        at = cv2.resize(at, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)
        # Four channels, of which one is idle, because OpenCV maps them twice as fast as three.
        rgba = cv2.remap(texture, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        face = cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
        mask = cv2.resize(cv2.blur(trusted, (7, 7)), (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)
        return SwappedFace(face.astype(np.float32) * np.float32(1 / 255), mask, filled[..., 2:], mesh)


def _level(wanted: float) -> int:
    """Index of the texture whose side is nearest to `wanted` pixels."""
    return int(np.argmin([abs(np.log(size / max(wanted, 1.0))) for size in TEXTURE_SIZES]))


def _spread(values: npt.NDArray[np.float32], drawn: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Fill what was not drawn from its drawn surroundings, so that enlarging the map mixes nothing meaningless in."""
    weight = cv2.blur(drawn.astype(np.float32), (5, 5))[..., None]
    near = cv2.blur(values, (5, 5)) / np.maximum(weight, 1e-3)
    return np.where(drawn[..., None], values, near)
