"""New people from pairs of actors: two who give the same performance, morphed to the mesh between them and mixed.

A swap has to hold for faces it never saw, and sixty sources are few.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.faces.align import alignment
from prediction_model.training.actors import Performance
from prediction_model.types import Mesh

SIDE = 288
"""Of the blended pictures: the actors' own."""
ALIGNED = 208
"""The face's crop is this large in them, in the middle."""
GRID = 36
REACH = 9.0
"""Pixels: how far one mesh point's displacement spreads."""


def blend(a: Performance, b: Performance, share: float) -> Performance:
    """`share` of `b` and the rest of `a`, in shape and in colour. Both must give the same performance."""
    aligned = [centred(a), centred(b)]
    mesh = (1 - share) * aligned[0][1] + share * aligned[1][1]
    mixed = np.zeros((SIDE, SIDE, 4), np.float32)
    for (picture, own), weight in zip(aligned, (1 - share, share), strict=True):
        mixed += np.float32(weight) * morph(picture, own, mesh)
    alpha = mixed[..., 3:]
    mixed[..., :3] /= np.maximum(alpha / 255, 1e-3)
    mixed[alpha[..., 0] == 0] = 0
    blended = np.asarray(np.clip(np.round(mixed), 0, 255), np.uint8)
    return Performance(f"{a.actor}+{b.actor}", a.index, blended, mesh.astype(np.float32))


def blends(performances: Sequence[Performance], count: int, seed: int) -> Iterator[Performance]:
    """`count` blends of random pairs."""
    rng = np.random.default_rng(seed)
    together: dict[int, list[Performance]] = defaultdict(list)
    for performance in performances:
        together[performance.index].append(performance)
    groups = [group for group in together.values() if len(group) > 1]
    for _ in range(count):
        group = groups[int(rng.integers(len(groups)))]
        first, second = rng.choice(len(group), 2, replace=False)
        yield blend(group[first], group[second], float(rng.uniform(0.3, 0.7)))


def centred(performance: Performance) -> tuple[npt.NDArray[np.float32], Mesh]:
    """The picture aligned in the middle of a square, colours times alpha, float32 [S, S, 4], and its mesh there."""
    matrix = alignment(performance.mesh, ALIGNED)
    matrix[:, 2] += (SIDE - ALIGNED) / 2
    picture = performance.picture.astype(np.float32)
    picture[..., :3] *= picture[..., 3:] / 255
    mesh = performance.mesh.copy()
    mesh[:, :2] = mesh[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    mesh[:, 2] *= float(np.hypot(matrix[0, 0], matrix[1, 0]))
    return cv2.warpAffine(picture, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR), mesh


def morph(picture: npt.NDArray[np.float32], mesh: Mesh, goal: Mesh) -> npt.NDArray[np.float32]:
    """`picture` [S, S, 4] bent so that `mesh` comes to lie on `goal`; far from the face as its nearest part is."""
    step = SIDE / GRID
    places = (np.stack(np.meshgrid(np.arange(GRID), np.arange(GRID)), axis=-1).reshape(-1, 2) + 0.5) * step - 0.5
    distance = ((places[:, None] - goal[None, :, :2]) ** 2).sum(axis=2)
    nearest = distance.min(axis=1, keepdims=True)
    weight = np.exp(-(distance - nearest) / (2 * REACH**2))
    moves = (weight @ (mesh[:, :2] - goal[:, :2])) / weight.sum(axis=1, keepdims=True)
    bend = cv2.resize(moves.reshape(GRID, GRID, 2).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    moved = cv2.remap(picture, x + bend[..., 0], y + bend[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(moved, np.float32)
