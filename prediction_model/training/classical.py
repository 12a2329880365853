"""Unpaired training, as the first deepfakes were trained: every person's faces, warped at random, back to themselves.

The encoder is shared and each person has a decoder, so a face of one person, encoded and given to the other's decoder,
comes out as the other (`original`). A network with skip connections would carry the face around its own middle: for
`live` and `large` the input is disguised instead, that is, it wears a stranger's face, and the truth is the frame as
it was. What is learnt is the swap itself, from real footage, without a pair.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.compositing.mask import outline
from prediction_model.engines.photo import CROP_SIZE, PhotoEngine
from prediction_model.faces.align import align
from prediction_model.faces.shape import shape_of
from prediction_model.training.actors import GREY, Performance, over
from prediction_model.training.augment import Generator
from prediction_model.training.face_folder import yaw
from prediction_model.training.pairs import TRUTH_CHANNELS, Batch
from prediction_model.training.photo_pairs import carried
from prediction_model.types import Crop, Matrix, Mesh

YAW_BINS = 9
WARP_GRID = 5
WARP_SIGMA = 0.03
"""Of the crop's side: how far the grid's points are moved."""
TURN_DEGREES, ZOOM, SHIFT, FLIPPED = 10.0, 0.05, 0.05, 0.4
WARPED_UNTIL = 0.8
"""Share of the training after which faces are no longer warped, so that the decoders see them as they will be."""
RECOLOURED = 0.5
"""How often the faces of one person get the colours of another's: light must not tell the decoders apart."""
DISGUISED = 0.85


def by_yaw(faces: Sequence[Performance]) -> npt.NDArray[np.float64]:
    """The probability of drawing each of `faces`, float64 [n]: every direction as often as the others."""
    bins = np.clip(((np.array([yaw(face.mesh) for face in faces]) + 1) / 2 * YAW_BINS).astype(int), 0, YAW_BINS - 1)
    weight = 1.0 / np.bincount(bins, minlength=YAW_BINS)[bins]
    return weight / weight.sum()


class Unpaired:
    """Draws warped faces and what they were, for each person in turn.

    Args:
        people: each person's faces.
        size: the crop's side.
        seed: the same seed draws the same batches.
    """

    def __init__(self, people: Sequence[Sequence[Performance]], size: int, seed: int) -> None:
        self._people = people
        self._chances = [by_yaw(faces) for faces in people]
        self._size = size
        self._rng = np.random.default_rng(seed)

    def batch(self, count: int, done: float = 0.0) -> Batch:
        """The next `count` faces, people in equal shares; `done` is the share of the training that is behind."""
        identities = np.arange(count, dtype=np.int32) % len(self._people)
        drawn = [self._draw(int(identity), done < WARPED_UNTIL) for identity in identities]
        truths = np.ones((count, self._size, self._size, TRUTH_CHANNELS), np.float32)
        truths[..., :3] = [truth for _, truth in drawn]
        return Batch(np.stack([crop for crop, _ in drawn]), identities, truths)

    def _draw(self, identity: int, warped: bool) -> tuple[Crop, Crop]:
        rng = self._rng
        face = self._crop(identity, moved(self._size, rng))
        if rng.random() < RECOLOURED:
            other = int(rng.integers(len(self._people)))
            face = recoloured(face, self._crop(other, np.eye(2, 3, dtype=np.float32)), float(rng.uniform(0.3, 1)))
        if rng.random() < FLIPPED:
            face = np.ascontiguousarray(face[:, ::-1])
        return (warp(face, rng) if warped else face), face

    def _crop(self, identity: int, movement: Matrix) -> Crop:
        faces = self._people[identity]
        face = faces[int(self._rng.choice(len(faces), p=self._chances[identity]))]
        return cut(face, movement, self._size)


def moved(size: int, rng: Generator) -> Matrix:
    """A small turn, zoom and shift of a crop of `size`, float32 [2, 3]."""
    angle, zoom = rng.uniform(-TURN_DEGREES, TURN_DEGREES), 1 + rng.uniform(-ZOOM, ZOOM)
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), angle, zoom)
    matrix[:, 2] += rng.uniform(-SHIFT, SHIFT, 2) * size
    return matrix.astype(np.float32)


def cut(face: Performance, movement: Matrix, size: int) -> Crop:
    """The face's crop after `movement`: float32 [size, size, 3] RGB."""
    first = face.matrix(size)
    matrix = np.hstack([movement[:, :2] @ first[:, :2], movement[:, :2] @ first[:, 2:] + movement[:, 2:]])
    scale = float(np.hypot(first[0, 0], first[1, 0]))
    picture = over(face.picture, GREY)
    if scale < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.4 / scale)
    crop = cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop[..., ::-1], np.float32) * np.float32(1 / 255)


def warp(face: Crop, rng: Generator) -> Crop:
    """`face` [S, S, 3], its 5 by 5 grid of points moved at random and everything between with them."""
    size = face.shape[0]
    places = np.linspace(0, size - 1, WARP_GRID, dtype=np.float32)
    maps = []
    for grid in np.meshgrid(places, places):
        moves = rng.normal(0, WARP_SIGMA * size, grid.shape).astype(np.float32)
        maps.append(cv2.resize(grid + moves, (size, size), interpolation=cv2.INTER_CUBIC))
    bent = cv2.remap(face, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(bent, np.float32)


def recoloured(face: Crop, other: Crop, share: float) -> Crop:
    """`face` with its colours' mean and spread moved towards `other`'s (Reinhard et al., 2001)."""
    mean, spread = face.mean(axis=(0, 1)), face.std(axis=(0, 1)) + 1e-3
    wanted, wanted_spread = other.mean(axis=(0, 1)), other.std(axis=(0, 1)) + 1e-3
    moved_to = (face - mean) * np.clip(wanted_spread / spread, 0.5, 2) + wanted
    return np.asarray(np.clip((1 - share) * face + share * moved_to, 0, 1), np.float32)


class Disguises:
    """Puts strangers' faces on somebody's frames.

    Args:
        strangers: one picture each; frontal ones.
    """

    def __init__(self, strangers: Sequence[Performance]) -> None:
        self._engines = []
        for stranger in strangers:
            picture = over(stranger.picture, GREY)
            face = align(picture, stranger.mesh, CROP_SIZE)
            self._engines.append((PhotoEngine(picture, stranger.mesh), shape_of(face.mesh, CROP_SIZE)))

    def wear(self, crop: Crop, mesh: Mesh, rng: Generator) -> Crop:
        """`crop` [S, S, 3] with a random stranger's face on `mesh` [468, 3] (crop pixels), in its own colours."""
        size = crop.shape[0]
        engine, shape = self._engines[int(rng.integers(len(self._engines)))]
        large = cv2.resize(crop, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)
        at = mesh * np.float32(CROP_SIZE / size)
        mask = outline(at, CROP_SIZE)[..., None]
        face = carried(engine, at, large, shape)
        inside = mask[..., 0] > 0.5
        tint = large[inside].mean(axis=0) / (face[inside].mean(axis=0) + 1e-3)
        own_colour = float(rng.uniform(0, 1))
        face = np.clip(face * np.clip(tint, 0.4, 2.5) ** (1 - 0.4 * own_colour), 0, 1)
        worn = large * (1 - mask) + face * mask
        return np.asarray(cv2.resize(worn, (size, size), interpolation=cv2.INTER_AREA), np.float32)


def disguised(
    faces: Sequence[Performance], disguises: Disguises, count: int, seed: int
) -> list[tuple[Performance, Performance]]:
    """`count` pairs of a frame that wears a stranger's face and the frame as it was, to draw from with `Pairs`.

    Both have the same mesh; some are not disguised, so that the person's own face stays as it is.
    """
    rng = np.random.default_rng(seed)
    chances = by_yaw(faces)
    made = []
    for number in range(count):
        face = faces[int(rng.choice(len(faces), p=chances))]
        truth = Performance(face.actor, number, face.picture, face.mesh)
        made.append((_disguise(truth, disguises, rng) if rng.random() < DISGUISED else truth, truth))
    return made


def _disguise(face: Performance, disguises: Disguises, rng: Generator) -> Performance:
    """`face` with its crop replaced by one that wears a stranger's face."""
    matrix = face.matrix(CROP_SIZE)
    crop = align(over(face.picture, GREY), face.mesh, CROP_SIZE)
    worn = (disguises.wear(crop.crop, crop.mesh, rng)[..., ::-1] * 255).astype(np.uint8)
    height, width = face.picture.shape[:2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    back = cv2.warpAffine(worn, matrix, (width, height), flags=flags)
    inside = cv2.warpAffine(outline(crop.mesh, CROP_SIZE), matrix, (width, height), flags=flags)[..., None]
    picture = face.picture.copy()
    picture[..., :3] = np.round(picture[..., :3] * (1 - inside) + back * inside)
    return Performance(f"disguised {face.actor}", face.index, picture, face.mesh)
