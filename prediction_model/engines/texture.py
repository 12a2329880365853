"""Makes a texture of one picture: the face alone, with skin where hair, cloth or background reach into it.

Skin is grown from the middle of the face outwards: a pixel belongs to it if its colour is near that of the skin already
found around it. What was not reached takes the colour of the nearest skin, so that a live face whose outline is wider
or whose forehead is higher than the picture's still finds skin there.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.types import BgrFrame, Mask

SEED = 0.5
"""The mesh's outline, shrunk towards its middle by this, less brows, eyes and mouth: the skin to start from."""
FEATURES_WITHIN = 0.82
"""The same for brows and eyes: beyond it a dark pixel beside a brow is hair."""
NEAR = 20.0
"""Distance in CIELAB, colour counted double, up to which a pixel continues the skin beside it."""
TELLING = 0.01
"""Share of a pixel's surroundings that must be known skin before its colour is judged by them."""
SMALLEST_STRAND = 150
"""Pixels at `WORKING_SIZE`: what is not skin and smaller than this is skin after all."""
GROWTH_STEPS = 20
STEP = 9
"""Pixels at `WORKING_SIZE` that the skin may grow by in each step."""
WORKING_SIZE = 256
SHADING = 20.0
"""Pixels at `WORKING_SIZE`: what varies over more than this is the picture's light."""
SHADING_TAKEN_BACK = 0.5
REFERENCE_SKIN = 200.0
"""Skin this bright (its brightest channel, 0 to 255) keeps its highlights whole."""
LASHES = 17
"""Pixels at `WORKING_SIZE`: as near as half of this to a feature, the other half of the face does not fill in."""
SOFT_EDGE = 9
"""Pixels at `WORKING_SIZE` over which found skin passes into filled skin."""


_RIGHT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
_LEFT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
_RIGHT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
_LEFT_EYE = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
_NOSE = (168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 48, 278, 64, 294, 122, 351)
_BETWEEN_AND_AROUND_EYES = (105, 66, 107, 9, 336, 296, 334, 160, 144, 145, 153, 380, 374, 373, 387)
_CHIN = (152, 148, 176, 149, 150, 61, 17, 291, 379, 378, 400, 377)
_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)


def face_texture(crop: BgrFrame, points: npt.NDArray[np.float32]) -> BgrFrame:
    """`crop` with everything that is not the face replaced by skin, and its own light taken back.

    Args:
        crop: uint8 [T, T, 3] BGR, an aligned face.
        points: float32 [468, 2], its mesh in pixels of the crop.

    Returns:
        uint8 [T, T, 3] BGR.
    """
    return _evenly_lit(*_skin_only(crop, points))


def without_hair(crop: BgrFrame, points: npt.NDArray[np.float32]) -> BgrFrame:
    """The same in its own light: `crop` with everything that is not the face replaced by skin."""
    return np.asarray(np.clip(_skin_only(crop, points)[0], 0, 255), np.uint8)


def _skin_only(crop: BgrFrame, points: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], Mask]:
    """The crop with skin in place of what is not the face, float32 [T, T, 3]; where skin was seen, [256, 256]."""
    size = crop.shape[0]
    small = cv2.resize(crop, (WORKING_SIZE, WORKING_SIZE), interpolation=cv2.INTER_AREA)
    features = _features(points * (WORKING_SIZE / size))
    skin = _grow(small, points * (WORKING_SIZE / size), features)
    edge = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (SOFT_EDGE, SOFT_EDGE))
    inner = cv2.erode(np.maximum(skin, features), edge)
    # Features fade out on both sides of their edge: hair often begins right beside a brow's end.
    soft_features = cv2.GaussianBlur(cv2.erode(features, np.ones((3, 3), np.uint8)), (SOFT_EDGE, SOFT_EDGE), 0)
    filled = _fill(small.astype(np.float32), cv2.erode(skin * (1 - features), edge))
    filled = cv2.resize(filled, (size, size), interpolation=cv2.INTER_CUBIC)
    filled = np.maximum(filled, 1.0)
    own = np.maximum(_enlarged_weight(inner, size), _enlarged(soft_features, size))
    # The other half of the face knows what hair hides, but for the light; where it does not, plain skin will do.
    mirrored = crop[:, ::-1] * (filled / filled[:, ::-1])
    lashes = cv2.dilate(cv2.flip(features, 1), np.ones((LASHES, LASHES), np.uint8))
    other = own[:, ::-1] * _enlarged_weight(1 - lashes, size)
    hidden = filled + (mirrored - filled) * other
    mixed = hidden + (crop - hidden) * own
    return mixed, skin * (1 - features)


def _enlarged_weight(area: Mask, size: int) -> npt.NDArray[np.float32]:
    """`area` [256, 256], softened inwards: float32 [size, size, 1]."""
    soft = cv2.GaussianBlur(area, (SOFT_EDGE, SOFT_EDGE), 0) * area
    return _enlarged(soft, size)


def _enlarged(area: Mask, size: int) -> npt.NDArray[np.float32]:
    return cv2.resize(area, (size, size), interpolation=cv2.INTER_LINEAR)[..., None]


def _evenly_lit(texture: npt.NDArray[np.float32], skin: Mask) -> BgrFrame:
    """`texture` [T, T, 3], 0 to 255, with the picture's own light taken back: it gets the live one.

    Broad shading is halved. Contrast is weakened on dark skin, where it is highest: what shines is a fixed amount of
    light, so a gain that makes dark skin lighter would make lamps of its highlights.
    """
    size = texture.shape[0]
    small = cv2.resize(texture, (WORKING_SIZE, WORKING_SIZE), interpolation=cv2.INTER_AREA)
    weight = cv2.GaussianBlur(skin, (0, 0), SHADING)[..., None]
    broad = cv2.GaussianBlur(small * skin[..., None], (0, 0), SHADING)
    mean = (small * skin[..., None]).sum(axis=(0, 1)) / max(float(skin.sum()), 1.0)
    broad = (broad + 0.02 * mean) / (weight + 0.02)
    broad = cv2.resize(broad, (size, size), interpolation=cv2.INTER_CUBIC)
    relative = texture / np.maximum(broad, 1.0)
    shine = min(float(mean.max()) / REFERENCE_SKIN, 1.0)
    grey = relative.mean(axis=2, keepdims=True)
    relative = grey + (relative - grey) * shine
    relative = np.where(relative > 1, 1 + (relative - 1) * shine, np.maximum(relative, 0) ** ((1 + shine) / 2))
    lit = relative * mean * (broad / mean) ** (1 - SHADING_TAKEN_BACK)
    return np.asarray(np.clip(lit, 0, 255), np.uint8)


def _features(points: npt.NDArray[np.float32]) -> Mask:
    """1 on brows with eyes, nose and lips, and a little around them: always the face's own, never skin's colour."""
    drawn = np.zeros((WORKING_SIZE, WORKING_SIZE), np.float32)
    for part in (_RIGHT_BROW, _LEFT_BROW, _RIGHT_EYE, _LEFT_EYE, _BETWEEN_AND_AROUND_EYES, _NOSE, _LIPS):
        cv2.fillConvexPoly(drawn, np.round(cv2.convexHull(points[list(part)])).astype(np.int32), 1.0)
    features = cv2.dilate(drawn, np.ones((3, 3), np.uint8))
    hull = cv2.convexHull(points)[:, 0]
    middle = hull.mean(axis=0)
    inside = np.zeros_like(drawn)
    cv2.fillConvexPoly(inside, np.round(middle + FEATURES_WITHIN * (hull - middle)).astype(np.int32), 1.0)
    return np.asarray(features * inside, np.float32)


def _grow(picture: BgrFrame, points: npt.NDArray[np.float32], features: Mask) -> Mask:
    """1 where `picture` shows the skin of `points`' face, else 0; `features` do not stop it, nor lend it their
    colour."""
    hull = cv2.convexHull(points)[:, 0]
    middle = hull.mean(axis=0)
    skin = np.zeros(picture.shape[:2], np.float32)
    cv2.fillConvexPoly(skin, np.round(middle + SEED * (hull - middle)).astype(np.int32), 1.0)
    limit = np.zeros_like(skin)
    cv2.fillConvexPoly(limit, np.round(middle + 1.03 * (hull - middle)).astype(np.int32), 1.0)
    lab = cv2.cvtColor(cv2.GaussianBlur(picture, (3, 3), 0).astype(np.float32) / 255, cv2.COLOR_BGR2Lab)
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (STEP, STEP))
    # A beard is the face's own, however much darker than the cheeks.
    cv2.fillConvexPoly(skin, np.round(cv2.convexHull(points[list(_CHIN)])).astype(np.int32), 1.0)
    skin = np.maximum(skin, features)
    for _ in range(GROWTH_STEPS):
        known = skin * (1 - features)
        weight = cv2.GaussianBlur(known, (0, 0), STEP)[..., None]
        expected = cv2.GaussianBlur(lab * known[..., None], (0, 0), STEP) / np.maximum(weight, 1e-6)
        distance = np.abs(lab - expected) @ np.array([1, 2, 2], np.float32)
        ring = (cv2.dilate(skin, reach) > 0) & (skin == 0) & (limit > 0) & (distance < NEAR)
        ring &= weight[..., 0] > TELLING
        skin[ring] = 1
    # Moles and wrinkles are small and lie inside; hair reaches the outline.
    count, labels, stats, _ = cv2.connectedComponentsWithStats((skin == 0).astype(np.uint8))
    for number in range(1, count):
        if stats[number, cv2.CC_STAT_AREA] < SMALLEST_STRAND:
            skin[labels == number] = 1
    return skin


def _fill(picture: npt.NDArray[np.float32], known: Mask) -> npt.NDArray[np.float32]:
    """`picture` [S, S, 3] where `known` is 1; elsewhere the colour of what is known, the nearest counting most."""
    filled = picture * known[..., None]
    done = known.copy()
    sigma = 3.0
    while sigma < picture.shape[0]:
        weight = cv2.GaussianBlur(known, (0, 0), sigma)
        near = cv2.GaussianBlur(picture * known[..., None], (0, 0), sigma) / np.maximum(weight, 1e-6)[..., None]
        # A step fades in where it begins to have something to say, so that no ring shows.
        share = np.clip(weight / 0.05, 0, 1) * (1 - done)
        filled += near * share[..., None]
        done += share
        sigma *= 1.6
    return np.asarray(filled / np.maximum(done, 1e-3)[..., None], np.float32)
