"""What is behind a head and in front of a face when no pictures are at hand: made-up rooms, cloth and clutter."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.training.augment import Generator

COUNT = 64


def made_up(size: int, seed: int, count: int = COUNT) -> list[npt.NDArray[np.uint8]]:
    """`count` pictures of `size` pixels a side, uint8 [size, size, 3] BGR: clouds, edges, stripes and grain."""
    rng = np.random.default_rng(seed)
    return [_picture(size, rng) for _ in range(count)]


def _picture(size: int, rng: Generator) -> npt.NDArray[np.uint8]:
    picture = np.full((size, size, 3), rng.uniform(20, 235) + rng.normal(0, 18, 3), np.float32)
    for cells in (2, 4, 9, 20):
        # Rooms are greyer than chance: light varies more than colour does.
        cloud = rng.normal(0, 14 / cells**0.5, (cells, cells, 3)) + rng.normal(0, 60 / cells**0.5, (cells, cells, 1))
        picture += cv2.resize(cloud.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(0, 7))):
        # Furniture, frames, windows: flat quadrilaterals with hard edges.
        middle, reach = rng.uniform(0, size, 2), rng.uniform(0.05, 0.5) * size
        corners = middle + rng.uniform(-1, 1, (4, 2)) * reach
        colour = tuple(float(c) for c in rng.uniform(0, 255, 3))
        cv2.fillConvexPoly(picture, cv2.convexHull(corners.astype(np.int32)), colour, cv2.LINE_AA)
    if rng.random() < 0.4:
        y, x = np.mgrid[0:size, 0:size].astype(np.float32)
        angle, period = rng.uniform(0, np.pi), rng.uniform(4, 40)
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
        picture += (rng.uniform(5, 40) * wave)[..., None]
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 2.5)) + rng.normal(0, 3, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)
