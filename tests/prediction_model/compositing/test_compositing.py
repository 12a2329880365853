"""Colour, mask, paste and veil, each by what it promises."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from prediction_model.compositing.colour import FLOOR, compare, follow, relight
from prediction_model.compositing.detail import blur_of
from prediction_model.compositing.glare import eyes_seen
from prediction_model.compositing.mask import FEATHER_JAW, NEUTRAL_EDGE, outline, parts
from prediction_model.compositing.paste import paste
from prediction_model.compositing.veil import PIXELS_ACROSS, veil_face, veil_frame
from prediction_model.faces.align import align, template
from prediction_model.faces.finder import FaceFinder
from prediction_model.faces.track import Look
from prediction_model.types import Mesh
from tests.prediction_model.conftest import Frames

SIZE = 160
RANDOM = np.random.default_rng(3)


def template_mesh(size: int = SIZE) -> Mesh:
    return np.concatenate([template() * size, np.zeros((468, 1))], axis=1).astype(np.float32)


def test_gains_undo_a_change_of_light(frames: Frames, finder: FaceFinder) -> None:
    frame = frames("w2")[0]
    crop = align(frame, finder.find(frame, None, 0.0).faces[0].mesh, SIZE)
    ramp = np.linspace(0.5, 0.9, SIZE, dtype=np.float32)[None, :, None] * np.array([1, 0.8, 0.7], np.float32)
    mask = outline(crop.mesh, SIZE)
    light = compare(crop.crop, crop.crop * ramp, mask)
    assert light is not None
    lit = relight(crop.crop * ramp, light.gains, light.contrast, light.skin) / 255
    inside = mask > 0.9
    before = np.abs(crop.crop * ramp - crop.crop)[inside].mean()
    assert np.abs(lit - crop.crop)[inside].mean() < 0.15 * before


def test_the_white_of_an_eye_is_not_brightened_with_the_skin() -> None:
    dark = np.full((SIZE, SIZE, 3), (0.35, 0.22, 0.17), np.float32)
    light_skin = np.full((SIZE, SIZE, 3), (0.7, 0.57, 0.54), np.float32)
    light = compare(light_skin, dark, outline(template_mesh(), SIZE))
    assert light is not None
    eye, lash = np.s_[60:64, 50:60], np.s_[70:74, 50:60]
    face = dark.copy()
    face[eye], face[lash] = (0.6, 0.55, 0.55), (0.05, 0.03, 0.02)
    lit = relight(face, light.gains, 1.0, light.skin).astype(np.float32) / 255
    assert np.abs(lit[100, 80] - light_skin[0, 0]).max() < 2 * FLOOR, "skin becomes the live skin"
    assert np.abs((lit[eye] - lit[100, 80]) - (face[eye] - dark[eye])).max() < 0.05, "the eye keeps its difference"
    assert np.abs(lit[lash] - face[lash] * light.gains[3, 2]).max() < 0.05, "what is darker goes with the skin"


def test_stubble_stays_grey_on_paler_skin() -> None:
    """Gains that take the colour out of skin would put its opposite, blue, into what has none."""
    tanned = np.full((SIZE, SIZE, 3), (0.65, 0.45, 0.35), np.float32)
    pale = np.full((SIZE, SIZE, 3), (0.55, 0.5, 0.47), np.float32)
    light = compare(pale, tanned, outline(template_mesh(), SIZE))
    assert light is not None
    face, stubble = tanned.copy(), np.s_[110:120, 60:70]
    face[stubble] = 0.25
    lit = relight(face, light.gains, 1.0, light.skin).astype(np.float32) / 255
    assert np.abs(lit[100, 80] - pale[0, 0]).max() < 2 * FLOOR, "skin becomes the live skin"
    red, _, blue = lit[115, 65]
    assert abs(blue / red - 1) < 0.2, "and stubble no bluer than it was, but for the tint of the light"


def test_light_follows_slowly() -> None:
    flat = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    light = compare(flat * 1.6, flat, outline(template_mesh(), SIZE))
    assert light is not None
    gains, contrast = follow(light, Look(np.ones((8, 8, 3), np.float32), 1.0, 0.0), 1 / 30)
    assert 1.0 < float(gains.mean()) < 1.15 < float(light.gains.mean())
    assert 0.5 <= contrast <= 1.0


def test_a_face_out_of_sight_gives_no_light() -> None:
    flat = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    assert compare(flat, flat, np.zeros((SIZE, SIZE), np.float32)) is None


def test_the_outline_is_zero_outside_the_mesh_and_whole_within() -> None:
    mask = outline(template_mesh(), SIZE)
    hull = cv2.convexHull(np.ascontiguousarray(template_mesh()[:, :2]))
    outside = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillConvexPoly(outside, np.round(hull).astype(np.int32), 1)
    outside = 1 - cv2.dilate(outside, np.ones((5, 5), np.uint8))
    assert mask[outside == 1].max() == 0
    assert mask[SIZE // 2, SIZE // 2] == pytest.approx(1)
    assert mask[[0, -1]].max() == mask[:, [0, -1]].max() == 0


def test_the_edge_is_as_wide_as_asked_for_and_by_default_as_it_always_was() -> None:
    sharp, usual, soft = (outline(template_mesh(), SIZE, edge) for edge in (0.0, NEUTRAL_EDGE, 1.0))
    assert np.array_equal(usual, outline(template_mesh(), SIZE))
    # The profile at the chin, from the constants that `edge` multiplies: 1 at `NEUTRAL_EDGE`.
    column = usual[:, SIZE // 2]
    rising = [np.count_nonzero((mask[SIZE // 2 :, SIZE // 2] > 0.01) & (mask[SIZE // 2 :, SIZE // 2] < 0.99))
              for mask in (sharp, usual, soft)]  # fmt: skip
    assert rising[0] < rising[1] < rising[2]
    assert rising[1] == pytest.approx(FEATHER_JAW * SIZE, abs=3)
    assert column[SIZE // 2] == 1
    assert np.all(soft <= usual) and np.all(usual <= sharp)
    assert np.array_equal(sharp > 0, usual > 0) and np.array_equal(soft > 0, usual > 0)  # it grows inwards alone
    x, y = template_mesh()[[4, 1], :2].mean(axis=0).astype(int)  # the nose
    assert soft[y, x] > 0.99


def test_parts_are_where_eyes_and_mouth_are() -> None:
    mesh = template_mesh()
    mesh[14, 1] += 12  # the lower lip's middle: an open mouth
    eyes = parts(mesh, SIZE, eyes=(1.0, 1.0), mouth=0.0)
    mouth = parts(mesh, SIZE, eyes=(0.0, 0.0), mouth=1.0)
    assert eyes is not None and mouth is not None
    x, y = (mesh[33, :2] + mesh[133, :2]).astype(int) // 2
    assert eyes[y, x] > 0.9 and mouth[y, x] == 0
    x, y = (mesh[13, :2] + mesh[14, :2]).astype(int) // 2
    assert mouth[y, x] > 0.5 and eyes[y, x] == 0
    assert parts(mesh, SIZE, eyes=(0.0, 0.0), mouth=0.0) is None


@pytest.mark.parametrize("angle", [0, 25])
@pytest.mark.parametrize("scale", [0.6, 1.9])
def test_paste_touches_nothing_outside_the_mask(angle: float, scale: float) -> None:
    frame = RANDOM.integers(0, 256, (240, 320, 3), np.uint8)
    before = frame.copy()
    matrix = cv2.getRotationMatrix2D((150, 130), angle, scale)
    matrix[:, 2] += SIZE / 2 - np.array([150, 130])
    mask = outline(template_mesh(), SIZE)
    face = np.full((SIZE, SIZE, 3), (255, 0, 128), np.uint8)
    paste(frame, face, mask, matrix.astype(np.float32))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    touched = cv2.warpAffine((mask > 0).astype(np.float32), matrix, (320, 240), flags=flags) > 0
    touched = cv2.dilate(touched.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert np.array_equal(frame[~touched], before[~touched])
    assert frame[130, 150].tolist() == [128, 0, 255]


def test_glare_is_no_eye(frames: Frames, finder: FaceFinder) -> None:
    for at in (0, 45, 80):  # at 45 the eyes are closed
        frame = frames("w2")[at]
        crop = align(frame, finder.find(frame, None, 0.0).faces[0].mesh, SIZE)
        assert min(eyes_seen(crop.crop, crop.mesh)) > 0.9
    shining = crop.crop.copy()
    x, y = crop.mesh[[33, 133, 159, 145], :2].mean(axis=0)
    cv2.circle(shining, (round(float(x)), round(float(y))), 16, (0.7, 0.8, 0.9), -1)
    right, left = eyes_seen(shining, crop.mesh)
    assert right < 0.1 and left > 0.9


def test_paste_survives_a_face_half_outside() -> None:
    frame = np.zeros((100, 100, 3), np.uint8)
    matrix = np.array([[1, 0, 120], [0, 1, 100]], np.float32)
    paste(frame, np.full((SIZE, SIZE, 3), 200, np.uint8), np.ones((SIZE, SIZE), np.float32), matrix)
    assert frame[:50, :30].min() > 0 and frame[70:, 70:].max() == 0


def test_blur_is_measured(frames: Frames, finder: FaceFinder) -> None:
    frame = frames("w1")[0]
    mesh = finder.find(frame, None, 0.0).faces[0].mesh
    sharp = align(frame, mesh, 256)
    soft = align(np.asarray(cv2.GaussianBlur(frame, (0, 0), 2.0), np.uint8), mesh, 256)
    scale = float(np.hypot(sharp.matrix[0, 0], sharp.matrix[1, 0]))
    assert blur_of(sharp.crop, scale) < 0.3 < 0.7 < blur_of(soft.crop, scale)


def test_a_veiled_face_keeps_few_pixels_and_its_surroundings_all() -> None:
    frame = RANDOM.integers(0, 256, (480, 640, 3), np.uint8)
    before = frame.copy()
    mesh = template_mesh(200) + np.array([220, 140, 0], np.float32)
    veil_face(frame, mesh)
    assert np.array_equal(frame[:, :150], before[:, :150])
    veiled = frame[200:300, 270:370].astype(float)
    assert np.abs(np.diff(veiled, axis=1)).mean() < 0.1 * np.abs(np.diff(before[200:300, 270:370].astype(float))).mean()


def test_a_veiled_frame_is_so_many_pixels_and_no_more() -> None:
    frame = RANDOM.integers(0, 256, (480, 640, 3), np.uint8)
    veiled = veil_frame(frame)
    small = cv2.resize(veiled, (PIXELS_ACROSS * 4, PIXELS_ACROSS * 3), interpolation=cv2.INTER_AREA)
    assert np.abs(cv2.resize(small, (640, 480), interpolation=cv2.INTER_LINEAR).astype(int) - veiled).mean() < 2
