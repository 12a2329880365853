"""Pairs from one photograph: what its face would look like in performances that somebody else gives.

The photo engine carries the photograph's texture on a mesh; the mesh is the performance's own, plus what sets the
photographed face's shape apart from the actor's, turned as the head is. Eyeballs and the inside of the mouth are the
actor's, bent to fit, and so is the change of light between the performance and the actor's neutral face.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.compositing.mask import CLOSED_GAP, OPEN_GAP, outline, parts
from prediction_model.engines.photo import CROP_SIZE, PhotoEngine
from prediction_model.errors import TrainingDataRefused
from prediction_model.faces.align import UPPER_LIP, align, alignment, template
from prediction_model.faces.shape import Shape, shape_of
from prediction_model.training.actors import GREY, Mesher, Performance, over
from prediction_model.training.blend import ALIGNED, SIDE, centred, morph
from prediction_model.training.pairs import LEFT_EYE, RIGHT_EYE
from prediction_model.types import AlignedFace, BgrFrame, Crop, Matrix, Mesh

SMALLEST_PHOTO_FACE = 120
"""Pixels between the forehead and the chin: below, the photograph has less to show than the network can."""
LARGEST_TURN = 0.25
"""How far the nose may be from the middle between the cheeks, of half the face's width: about 20 degrees of yaw."""
CHEEKS, NOSE = (234, 454), 1
CHEEKS_FRONT = ((50,), (280,))

LIGHT_BLUR, LIGHT_FLOOR = 0.08, 0.05
"""Light changes slowly over a face: of the crop's side, the blur that separates it from features."""

Points = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Photograph:
    """One person, frontal: who is to be learnt."""

    picture: BgrFrame
    mesh: Mesh


def read_photograph(picture: BgrFrame, name: str) -> Photograph:
    """Find the face of `picture` [H, W, 3] BGR.

    Raises:
        TrainingDataRefused: there is none, or it is too small or turned away.
    """
    mesh = Mesher().mesh(picture)
    if mesh is None:
        raise TrainingDataRefused(f"{name} shows no face: give a photograph of one frontal, well-lit face.")
    height = float(np.ptp(mesh[:, 1]))
    if height < SMALLEST_PHOTO_FACE:
        raise TrainingDataRefused(
            f"The face in {name} is {height:.0f} pixels high, expected {SMALLEST_PHOTO_FACE} or more: go closer."
        )
    left, right = mesh[CHEEKS[0], 0], mesh[CHEEKS[1], 0]
    turn = float(abs(mesh[NOSE, 0] - (left + right) / 2) / max(abs(right - left) / 2, 1e-3))
    if turn > LARGEST_TURN:
        raise TrainingDataRefused(f"The face in {name} looks to the side: give one that looks into the camera.")
    return Photograph(picture, mesh)


def truths(photograph: Photograph, performances: Sequence[Performance], neutral: int) -> dict[int, Performance]:
    """The photographed face giving every performance: by index, pictures of `CROP_SIZE` pixels a side.

    Args:
        photograph: whom to learn.
        performances: actors giving them; an index is the same performance by everybody.
        neutral: the index of the neutral one.
    """
    by_actor: dict[str, dict[int, Performance]] = defaultdict(dict)
    for performance in performances:
        by_actor[performance.actor][performance.index] = performance
    by_actor = {actor: given for actor, given in by_actor.items() if neutral in given}
    engine = PhotoEngine(photograph.picture, photograph.mesh)
    shape = _aligned_mesh(photograph.mesh)
    proportions = shape_of(shape, CROP_SIZE)
    colours = _eyes_and_skin(photograph.picture, photograph.mesh)
    offsets = {}
    for actor, given in by_actor.items():
        face = _aligned_mesh(given[neutral].mesh)
        offsets[actor] = (face, _onto(shape, face) - face)
    # One actor lends eyes and teeth to all truths, so that their colours do not change: the nearest in colour.
    lender = min(by_actor, key=lambda actor: _difference(by_actor[actor][neutral], colours))
    made = {}
    for index, performance in by_actor[lender].items():
        meshes = [
            _performed(_aligned_mesh(given[index].mesh), *offsets[actor])
            for actor, given in by_actor.items()
            if index in given
        ]
        mesh = np.mean(meshes, axis=0).astype(np.float32)
        face = carried(engine, mesh, _bent(performance, mesh), proportions)
        face *= _light(_crop(performance), _crop(by_actor[lender][neutral]), mesh)
        picture = np.full((CROP_SIZE, CROP_SIZE, 4), 255, np.uint8)
        picture[..., :3] = np.clip(np.round(face[..., ::-1] * 255), 0, 255)
        made[index] = Performance("photograph", index, picture, mesh)
    return made


def carried(engine: PhotoEngine, mesh: Mesh, live: Crop, proportions: Shape) -> Crop:
    """The engine's face on `mesh` (crop pixels), with the eyeballs and the inside of the mouth of `live`.

    Args:
        proportions: the engine's own face's, so that it does not reshape `mesh`.

    Returns:
        float32 [CROP_SIZE, CROP_SIZE, 3] RGB; it means nothing far outside the face.
    """
    whole = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    (swapped,) = engine.swap([AlignedFace(live, mesh, whole, shape=proportions)])
    face = swapped.face
    own = parts(mesh, CROP_SIZE, eyes=(1.0, 1.0), mouth=1.0)
    if own is not None:
        face = face * (1 - own[..., None]) + _with_lids_of(live, face, mesh) * own[..., None]
    return face


def _with_lids_of(live: Crop, face: Crop, mesh: Mesh) -> Crop:
    """`live` with the skin of its eyelids, where they are closed, in the colour of `face`'s skin."""
    own = parts(mesh, CROP_SIZE, eyes=(1.0, 1.0), mouth=0.0)
    closed = float(np.clip((OPEN_GAP - _eye_gap(mesh)) / (OPEN_GAP - CLOSED_GAP), 0, 1))
    if own is None or closed == 0:
        return live
    around = (cv2.dilate(own, np.ones((15, 15), np.uint8)) > 0.5) & (own < 0.01)
    ratio = (np.median(face[around], axis=0) + LIGHT_FLOOR) / (np.median(live[around], axis=0) + LIGHT_FLOOR)
    tint = np.clip(ratio, 0.3, 3.0) ** closed
    return np.asarray(live * (1 + own[..., None] * (tint - 1)), np.float32)


def _eye_gap(mesh: Mesh) -> float:
    """Height over width of the eyes' contours, the mean of both."""
    gaps = []
    for eye in (RIGHT_EYE, LEFT_EYE):
        contour = mesh[list(eye), :2]
        along = contour[8] - contour[0]
        width = max(float(np.hypot(*along)), 1e-3)
        gaps.append(float(np.ptp((contour - contour[0]) @ (np.array([-along[1], along[0]]) / width))) / width)
    return float(np.mean(gaps))


def _light(lit: Crop, neutral: Crop, mesh: Mesh) -> Crop:
    """By how much one actor's skin is lighter in a performance than in the neutral one, coarsely: float32 [S, S, 3]."""
    skin = outline(mesh, CROP_SIZE)
    own = parts(mesh, CROP_SIZE, eyes=(1.0, 1.0), mouth=1.0)
    weight = skin if own is None else skin * (1 - own)
    ratio = (np.log(lit + LIGHT_FLOOR) - np.log(neutral + LIGHT_FLOOR)) * weight[..., None]
    sigma = CROP_SIZE * LIGHT_BLUR
    known = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
    overall = ratio.sum(axis=(0, 1)) / max(float(weight.sum()), 1.0)
    coarse = (cv2.GaussianBlur(ratio, (0, 0), sigma) + 0.05 * overall) / (known + 0.05)
    return np.exp(np.clip(coarse, -1.5, 1.5)).astype(np.float32)


def _crop(performance: Performance) -> Crop:
    return align(over(performance.picture, GREY), performance.mesh, CROP_SIZE).crop


def _bent(performance: Performance, goal: Mesh) -> Crop:
    """The performance's own face, aligned and bent to the mesh `goal` [468, 3] (crop pixels): float32 [S, S, 3] RGB."""
    picture, mesh = centred(performance)
    scale, margin = ALIGNED / CROP_SIZE, (SIDE - ALIGNED) / 2
    moved = goal * np.float32(scale)
    moved[:, :2] += margin
    bent = morph(picture, mesh, moved)
    matrix: Matrix = np.array([[1 / scale, 0, -margin / scale], [0, 1 / scale, -margin / scale]], np.float32)
    crop = cv2.warpAffine(bent[..., :3], matrix, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR)
    return np.asarray(np.clip(crop[..., ::-1] / 255, 0, 1), np.float32)


def _aligned_mesh(mesh: Mesh) -> Mesh:
    """`mesh` in pixels of a crop of `CROP_SIZE`, in depth too."""
    matrix = alignment(mesh, CROP_SIZE)
    aligned = mesh * np.float32(np.hypot(matrix[0, 0], matrix[1, 0]))
    aligned[:, :2] = mesh[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    return aligned


def _steady() -> npt.NDArray[np.intp]:
    """Mesh points that no expression moves much: those above the upper lip."""
    return np.flatnonzero(template()[:, 1] < template()[UPPER_LIP, 1] - 0.04)


def _turn(a: Points, b: Points) -> tuple[npt.NDArray[np.float64], float]:
    """The rotation and scale that takes points `a` [n, 3] to `b` [n, 3] by least squares (Umeyama, 1991)."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    u, s, vt = np.linalg.svd(b.T.astype(np.float64) @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    return (u * sign) @ vt, float((s * sign).sum() / max((a**2).sum(), 1e-6))


def _onto(mesh: Mesh, face: Mesh) -> Mesh:
    """`mesh` turned, scaled and moved so that its steady points lie on those of `face`."""
    steady = _steady()
    rotation, scale = _turn(mesh[steady], face[steady])
    moved = scale * (mesh - mesh[steady].mean(axis=0)) @ rotation.T + face[steady].mean(axis=0)
    return moved.astype(np.float32)


def _performed(mesh: Mesh, neutral: Mesh, offset: Points) -> Mesh:
    """An actor's `mesh` with another's shape: `offset` from the actor's `neutral` face, turned as the head is."""
    steady = _steady()
    rotation, scale = _turn(neutral[steady], mesh[steady])
    moved = mesh + scale * offset @ rotation.T
    # The shape's own alignment: an offset of the brows must not shift the face in its crop.
    return _aligned_mesh(moved.astype(np.float32))


def _eyes_and_skin(picture: BgrFrame, mesh: Mesh) -> npt.NDArray[np.float64]:
    """Median CIELAB of the middles of both eyes, and of both cheeks: float64 [6]."""
    crop = align(picture, mesh, CROP_SIZE)
    lab = cv2.cvtColor(crop.crop, cv2.COLOR_RGB2Lab)
    medians = []
    for places in ((RIGHT_EYE, LEFT_EYE), CHEEKS_FRONT):
        pixels = []
        for points in places:
            x, y = np.round(crop.mesh[list(points), :2].mean(axis=0)).astype(int)
            pixels.append(lab[max(y - 2, 0) : y + 3, max(x - 3, 0) : x + 4].reshape(-1, 3))
        medians.append(np.median(np.concatenate(pixels), axis=0))
    return np.concatenate(medians)


def _difference(performance: Performance, colours: npt.NDArray[np.float64]) -> float:
    return float(np.linalg.norm(_eyes_and_skin(over(performance.picture, GREY), performance.mesh) - colours))
