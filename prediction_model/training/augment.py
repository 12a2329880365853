"""What separates a webcam from a render: light, colour, blur, noise, JPEG, and things in front of the face.

Pictures here are float32 [S, S, 3] RGB in [0, 1]; masks float32 [S, S]. All draws from the generator given.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.training.hands import hand
from prediction_model.types import Crop, Mask, Mesh

Generator = np.random.Generator

RIGHT_EYE = (33, 159, 133, 145)
LEFT_EYE = (362, 386, 263, 374)
"""Mesh points of the eyes: corner, upper lid, corner, lower lid."""
HANDS_AT = (13, 14, 17, 152, 4, 50, 280, 10)
"""Mesh points that hands are held before: mouth, chin, nose, cheeks, forehead."""
TWO_HANDS = 0.2
"""Of the hands: there is another."""


def light(rng: Generator) -> tuple[npt.NDArray[np.float32], float]:
    """A room's light: gain per channel, float32 [3], and gamma. For input and truth alike."""
    gain = rng.uniform(0.7, 1.25) * rng.uniform(0.9, 1.1, 3)
    return gain.astype(np.float32), float(rng.uniform(0.8, 1.25))


def relight(crop: Crop, gain: npt.NDArray[np.float32], gamma: float) -> Crop:
    """`crop`, float32 [S, S, 3], times `gain` [3], to the power of `gamma`."""
    return np.asarray(np.clip(crop * gain, 0, 1) ** np.float32(gamma), np.float32)


def degrade(crop: Crop, rng: Generator) -> Crop:
    """What a cheap camera and its encoder do: skin tint, blur, low resolution, noise, JPEG. For the input only."""
    crop = np.clip(crop * (1 + rng.normal(0, 0.04, 3).astype(np.float32)), 0, 1)
    kind = rng.random()
    if kind < 0.35:
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.3, 1.8))
    elif kind < 0.55:
        side, small = crop.shape[0], int(crop.shape[0] * rng.uniform(0.3, 0.9))
        crop = cv2.resize(cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA), (side, side))
    if rng.random() < 0.5:
        crop = crop + rng.normal(0, rng.uniform(0.004, 0.035), crop.shape).astype(np.float32)
    crop = np.clip(crop, 0, 1)
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 90))]
        coded = cv2.imencode(".jpg", (crop * 255).astype(np.uint8), quality)[1]
        crop = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.float32) * np.float32(1 / 255)
    return np.asarray(crop, np.float32)


def sidelight(rng: Generator, size: int) -> Mask:
    """A soft shadow across the face: float32 [S, S, 1] gain around 1. For input and truth alike."""
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.35)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
    ramp = np.tanh((x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(1.5, 5))
    return np.asarray(1 + depth * ramp, np.float32)[..., None]


def occlude(crop: Crop, mesh: Mesh, texture: Crop, rng: Generator) -> tuple[Crop, Mask]:
    """Put something in front of the face: hands, a cup or a book, hair, glasses.

    Args:
        crop: float32 [S, S, 3].
        mesh: float32 [468, 3] in pixels of the crop.
        texture: float32 [S, S, 3], what the thing is made of (a piece of another picture).
        rng: where chance comes from.

    Returns:
        The crop with it, and where it covers the face, float32 [S, S].
    """
    size = crop.shape[0]
    cover = np.zeros((size, size), np.float32)
    kind = rng.random()
    if kind < 0.5:
        cover, shade = _hand(mesh, size, rng)
        texture = _skin(crop, shade, rng)
    elif kind < 0.6:
        _blob(cover, rng)
    elif kind < 0.8:
        _hair(cover, mesh, rng)
        texture = texture * rng.uniform(0.1, 0.9) * 0.6
    else:
        _glasses(cover, mesh, rng)
        texture = np.broadcast_to(rng.uniform(0, 0.35, 3).astype(np.float32), crop.shape)
    cover = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.5, 1.1))
    blended = crop * (1 - cover[..., None]) + texture * cover[..., None]
    return np.asarray(blended, np.float32), cover


def _skin(crop: Crop, shade: Mask, rng: Generator) -> Crop:
    """The face's own skin colour, or nearly so, shaded: a hand is the hardest thing to tell from a face."""
    tone = crop[crop.shape[0] // 2 - 12 : crop.shape[0] // 2 + 12, crop.shape[1] // 2 - 20 : crop.shape[1] // 2 + 20]
    hue = rng.uniform(0.8, 1.25) * (1 + rng.normal(0, 0.05, 3))
    return np.asarray(np.clip(tone.mean(axis=(0, 1)) * hue * shade[..., None], 0, 1), np.float32)


def _hand(mesh: Mesh, size: int, rng: Generator) -> tuple[Mask, Mask]:
    """A hand somewhere before the face, before mouth and chin most of all; now and then two."""
    cover, shade = np.zeros((size, size), np.float32), np.ones((size, size), np.float32)
    for _ in range(1 + int(rng.random() < TWO_HANDS)):
        place = mesh[int(rng.choice(HANDS_AT)), :2] + rng.normal(0, 0.12 * size, 2)
        nearer, its_shade = hand(rng, size, (float(place[0]), float(place[1])))
        cover, shade = np.maximum(cover, nearer), np.where(nearer > 0, its_shade, shade)
    return cover, shade


def _blob(cover: Mask, rng: Generator) -> None:
    size = cover.shape[0]
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    radius = size * rng.uniform(0.1, 0.32) * rng.uniform(0.7, 1.2, 9)
    centre = rng.uniform(0, size, 2)
    points = centre + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    cv2.fillPoly(cover, [points.astype(np.int32)], 1.0, cv2.LINE_AA)


def _hair(cover: Mask, mesh: Mesh, rng: Generator) -> None:
    """Strands that fall from the forehead or along one cheek."""
    size = cover.shape[0]
    side = rng.choice([-1, 1])
    top = mesh[10, :2] - [0, size * 0.12]
    for _ in range(int(rng.integers(6, 26))):
        start = top + np.array([side * rng.uniform(-0.1, 0.45) * size, rng.uniform(-0.05, 0.05) * size])
        length = size * rng.uniform(0.1, 0.5)
        bend = side * rng.uniform(-0.05, 0.3) * size
        points = [start + np.array([bend * t * t, length * t]) for t in np.linspace(0, 1, 8)]
        cv2.polylines(cover, [np.array(points, np.int32)], False, 1.0, int(rng.integers(1, 6)), cv2.LINE_AA)


def _glasses(cover: Mask, mesh: Mesh, rng: Generator) -> None:
    size = cover.shape[0]
    thickness = max(1, round(size * float(rng.uniform(0.006, 0.024))))
    grow = rng.uniform(0.75, 1.05)
    squash = rng.uniform(0.7, 1.0)
    centres = [mesh[list(eye), :2].mean(axis=0) for eye in (RIGHT_EYE, LEFT_EYE)]
    across = centres[1] - centres[0]
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    radius = float(np.hypot(*across)) * 0.42 * grow
    unit = across / max(float(np.hypot(*across)), 1e-3)
    for centre in centres:
        lens = (tuple(map(float, centre + np.array([0, radius * 0.1]))), (2 * radius, 2 * radius * squash), angle)
        cv2.ellipse(cover, lens, 1.0, thickness, cv2.LINE_AA)
    bridge = np.array([centres[0] + unit * radius, centres[1] - unit * radius], np.int32)
    cv2.line(cover, bridge[0].tolist(), bridge[1].tolist(), 1.0, thickness, cv2.LINE_AA)
    temples = np.array([centres[0] - unit * radius * 2.2, centres[1] + unit * radius * 2.2], np.int32)
    cv2.line(cover, temples[0].tolist(), (centres[0] - unit * radius).astype(int).tolist(), 1.0, thickness, cv2.LINE_AA)
    cv2.line(cover, temples[1].tolist(), (centres[1] + unit * radius).astype(int).tolist(), 1.0, thickness, cv2.LINE_AA)
