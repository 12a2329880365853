"""Supervised pairs: one performance by a source is the input, the same performance by a persona is the truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.faces.eyes import SHUT
from prediction_model.training import augment
from prediction_model.training.actors import Performance
from prediction_model.training.lids import THINNEST, move_lids, openness
from prediction_model.types import Crop, Mask, Matrix, Mesh

# Mesh points around the face, and around eyes and mouth, in order (MediaPipe's own contours).
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152),
    *(148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)

FEATURE_WEIGHT = 5.0
"""How much more a pixel of the eyes and the mouth counts."""
SHUT_EYES = 0.45
"""Of the pairs: both faces' eyes are shut further than they were, half of these all the way."""
WIDEST = 1.5
"""Times its own gap: no truth's eyes are opened further."""
SMALLEST_GAP, SMALLEST_SHARE = 0.03, 0.15
"""Of lids, in widths of the eye and as a share of the usual: what is measured below them is noise."""
FEWEST_FOR_USUAL = 8
"""Performances of one actor that tell how far their eyes are usually open."""
OCCLUDED = 0.5
"""Of the pairs: something is before the input's face."""
TRUTH_CHANNELS = 6
"""RGB, mask, weight of the colour, face without occlusion."""


def polygon(points: npt.NDArray[np.float32], size: int) -> Mask:
    """The filled polygon of `points` [n, 2], float32 [size, size]."""
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return mask


@dataclass(frozen=True)
class Batch:
    """What one training step takes."""

    crops: npt.NDArray[np.float32]
    """float32 [n, S, S, 3] RGB in [0, 1]."""
    identities: npt.NDArray[np.int32]
    """int32 [n]."""
    truths: npt.NDArray[np.float32]
    """float32 [n, S, S, 6]: `TRUTH_CHANNELS`."""


class Pairs:
    """Draws augmented pairs for ever.

    Args:
        sources: who is swapped; some of them may be personas themselves.
        personas: per identity, its performances by index.
        backgrounds: pictures, uint8 [H, W, 3] BGR, at least `size` pixels each way.
        size: S, the crop's side.
        seed: the same seed draws the same pairs.
    """

    def __init__(
        self,
        sources: Sequence[Performance],
        personas: Sequence[dict[int, Performance]],
        backgrounds: Sequence[npt.NDArray[np.uint8]],
        size: int,
        seed: int,
    ) -> None:
        self._sources = sources
        self._personas = personas
        self._backgrounds = backgrounds
        self._size = size
        self._rng = np.random.default_rng(seed)
        self._open = _open_eyes([*sources, *(p for persona in personas for p in persona.values())])

    def batch(self, count: int) -> Batch:
        """The next `count` pairs, identities in equal shares."""
        start = int(self._rng.integers(len(self._personas)))
        identities = (start + np.arange(count)) % len(self._personas)
        drawn = [self._draw(int(identity)) for identity in identities]
        return Batch(np.stack([d[0] for d in drawn]), identities.astype(np.int32), np.stack([d[1] for d in drawn]))

    def _draw(self, identity: int) -> tuple[Crop, npt.NDArray[np.float32]]:
        rng, size = self._rng, self._size
        while True:
            source = self._sources[int(rng.integers(len(self._sources)))]
            truth = self._personas[identity].get(source.index)
            if truth is not None:
                break
        shake = _shake(rng, size)
        stretch = _stretch(rng, size)
        shut, follow = self._lids(source, truth)
        crop, live_mesh, alpha = _warp(source, _then(stretch, _then(shake, source.matrix(size))), size, shut)
        face, mesh, there = _warp(truth, _then(shake, truth.matrix(size)), size, follow)
        crop = crop + self._texture() * (1 - alpha)
        gain, gamma = augment.light(rng)
        if rng.random() < 0.5:
            side = augment.sidelight(rng, size)
            crop, face = crop * side, face * side
        crop, face = augment.relight(crop, gain, gamma), augment.relight(face, gain, gamma)
        cover = np.zeros((size, size), np.float32)
        if rng.random() < OCCLUDED:
            crop, cover = augment.occlude(crop, live_mesh, self._texture(), rng)
        crop = augment.degrade(crop, rng)
        # Beside the truth's cut-out there is nothing to learn.
        return crop, np.concatenate([face, self._labels(mesh, cover) * there], axis=2)

    def _lids(self, source: Performance, truth: Performance) -> tuple[float, float]:
        """By what to multiply the gaps between the input's and the truth's lids.

        Now and then the input's are moved together; the truth's always to be as far open as the input's, each measured
        against how far that person's eyes are open most of the time.
        """
        if source.lids is None or truth.lids is None:
            return 1.0, 1.0
        shut = 1.0
        if self._rng.random() < SHUT_EYES:
            shut = THINNEST if self._rng.random() < 0.5 else float(self._rng.uniform(THINNEST, 1))
        given = self._share_open(source.actor, openness(source.lids))
        follow = shut * given / max(self._share_open(truth.actor, openness(truth.lids)), SMALLEST_SHARE)
        return shut, float(np.clip(follow, THINNEST, WIDEST))

    def _share_open(self, actor: str, gap: float) -> float:
        """Of how far this actor's eyes are open most of the time, 0 being shut."""
        return max(gap - SHUT, 0.0) / max(self._open[actor] - SHUT, SMALLEST_GAP)

    def _labels(self, mesh: Mesh, cover: Mask) -> npt.NDArray[np.float32]:
        """float32 [S, S, 3]: mask, weight of the colour, face without occlusion."""
        size = self._size
        oval = polygon(mesh[list(OVAL), :2], size)
        width = max(1, round(size * 0.03))
        wider = cv2.dilate(oval, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1)))
        weight = wider
        for contour in (LIPS, RIGHT_EYE, LEFT_EYE):
            part = cv2.dilate(polygon(mesh[list(contour), :2], size), np.ones((5, 5)), iterations=max(1, size // 80))
            weight = np.maximum(weight, part * FEATURE_WEIGHT)
        mask = cv2.GaussianBlur(oval, (0, 0), size * 0.006) * (1 - cover)
        return np.stack([mask, weight, wider], axis=2)

    def _texture(self) -> Crop:
        """A random piece of a background, float32 [S, S, 3] RGB."""
        rng, size = self._rng, self._size
        picture = self._backgrounds[int(rng.integers(len(self._backgrounds)))]
        y, x = int(rng.integers(picture.shape[0] - size + 1)), int(rng.integers(picture.shape[1] - size + 1))
        piece = picture[y : y + size, x : x + size, ::-1].astype(np.float32) / 255
        return np.asarray(piece[:, ::-1] if rng.random() < 0.5 else piece, np.float32)


def _shake(rng: np.random.Generator, size: int) -> Matrix:
    """A small turn, scale and shift of the crop, for input and truth alike: landmarks are never exact."""
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), rng.normal(0, 1.5), 1 + rng.normal(0, 0.015))
    matrix[:, 2] += rng.normal(0, size * 0.008, 2)
    return matrix.astype(np.float32)


def _stretch(rng: np.random.Generator, size: int) -> Matrix:
    """Other head shapes, for the input only: up to ±8 % wider or taller, a little skewed."""
    x, y, skew = 1 + rng.uniform(-0.08, 0.08), 1 + rng.uniform(-0.06, 0.06), rng.normal(0, 0.015)
    matrix = np.array([[x, skew, 0], [skew, y, 0]], np.float32)
    middle = np.array([size * 0.5, size * 0.4], np.float32)
    matrix[:, 2] = middle - matrix[:, :2] @ middle
    return matrix


def _then(second: Matrix, first: Matrix) -> Matrix:
    """The affine map that does `first`, then `second`."""
    return np.hstack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2:] + second[:, 2:]]).astype(np.float32)


def _open_eyes(performances: Sequence[Performance]) -> dict[str, float]:
    """Each actor's gap between the lids in most performances; of one seen seldom, everybody's."""
    gaps: dict[str, list[float]] = defaultdict(list)
    for performance in performances:
        if performance.lids is not None:
            gaps[performance.actor].append(openness(performance.lids))
    usual = float(np.median([gap for found in gaps.values() for gap in found])) if gaps else 0.0
    return {
        actor: float(np.median(found)) if len(found) >= FEWEST_FOR_USUAL else usual for actor, found in gaps.items()
    }


def _warp(
    performance: Performance, matrix: Matrix, size: int, lids: float = 1.0
) -> tuple[Crop, Mesh, npt.NDArray[np.float32]]:
    """The crop (RGB, black where transparent), its mesh and its alpha [S, S, 1].

    The gap between its lids is `lids` times what it was.
    """
    warped = cv2.warpAffine(performance.picture, matrix, (size, size), flags=cv2.INTER_LINEAR).astype(np.float32) / 255
    if performance.lids is not None and lids != 1:
        warped = move_lids(warped, performance.lids @ matrix[:, :2].T + matrix[:, 2], lids)
    mesh = performance.mesh.copy()
    mesh[:, :2] = mesh[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    alpha = warped[..., 3:]
    return warped[..., 2::-1] * alpha, mesh, alpha


def load_backgrounds(folder: Path, smallest: int) -> list[npt.NDArray[np.uint8]]:
    """Pictures below `folder`, uint8 BGR, halved to about 256 pixels so that their texture is that of a room behind."""
    pictures = []
    for path in sorted(folder.rglob("*.jpg")):
        picture = cv2.imread(str(path))
        if picture is not None:
            scale = max(256, smallest + 16) / min(picture.shape[:2])
            pictures.append(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    return pictures
