"""Makes the gallery from the personas' pictures: `python -m prediction_model.identities.gallery_maker PERSONAS`.

PERSONAS holds `pN.png` (1024 px, the blend) and `pN_cut.png` (768 px, the same head as a cut-out render). The blend
gives `face.jpg`, from which the photo engine takes its texture; the portrait is its face over a soft plain backdrop.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.faces.detect import BlazeFace
from prediction_model.faces.landmarks import FaceMesh, roi_of_detection, roi_of_mesh
from prediction_model.identities.package import FACE, PORTRAIT, write_card
from prediction_model.types import BgrFrame, Mesh

NAMES = ("Mara", "Lin", "Amina", "Rosa", "Kai", "Dario", "Jonas", "Elias")
BACKDROPS = (
    (214, 205, 192), (196, 211, 205), (190, 186, 214), (186, 204, 222),
    (212, 200, 186), (206, 196, 184), (200, 210, 198), (192, 200, 214),
)  # fmt: skip
"""BGR, one per persona."""
PORTRAIT_SIDE = 480
FACE_SIDE = 640
LICENCE = "Apache-2.0 (this project); sources CC0-1.0"
PROVENANCE = (
    "A face of nobody: two AI-made portraits (Stable Diffusion 3, CC0-1.0, faker-js/assets-person-portrait) "
    "morphed to the mesh between them and averaged, by this project."
)


def main(arguments: list[str]) -> int:
    """Write or rewrite `gallery/p1` to `gallery/p8`; other files of the packages stay."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("Expected the folder of the personas' pictures: gallery_maker PERSONAS", file=sys.stderr)
        return 2
    gallery = Path(__file__).with_name("gallery")
    for number, (name, backdrop) in enumerate(zip(NAMES, BACKDROPS, strict=True), start=1):
        folder = gallery / f"p{number}"
        folder.mkdir(parents=True, exist_ok=True)
        picture = _read(Path(arguments[0]) / f"p{number}.png")
        mesh = _mesh(picture)
        _write(folder / FACE, _square(picture, mesh, 1.75, FACE_SIDE), 92)
        _write(folder / PORTRAIT, _portrait(picture, mesh, backdrop), 88)
        trained = (folder / "decoder.tflite").is_file()
        engines = ["autoencoder", "photo"] if trained else ["photo"]
        card = {
            "format": 1, "id": f"p{number}", "name": name, "kind": "synthetic",
            "engine": engines[0], "engines": engines,
            "licence": LICENCE, "provenance": PROVENANCE, "consent": None, "consent_hash": "", "metrics": {},
        }  # fmt: skip
        write_card(folder, card)
    return 0


def _read(path: Path) -> BgrFrame:
    picture = cv2.imread(str(path))
    if picture is None:
        raise SystemExit(f"Expected a picture at {path}; found none.")
    return np.asarray(picture, np.uint8)


def _write(path: Path, picture: BgrFrame, quality: int) -> None:
    cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, quality])


def _mesh(picture: BgrFrame) -> Mesh:
    """The mesh of the picture's face, float32 [468, 3]."""
    network = FaceMesh()
    mesh, _ = network.landmarks(picture, roi_of_detection(BlazeFace().detect(picture)[0]))
    mesh, _ = network.landmarks(picture, roi_of_mesh(mesh))
    return mesh


def _square(picture: BgrFrame, mesh: Mesh, margin: float, side: int) -> BgrFrame:
    """The face and `margin` times its height around it, `side` pixels square."""
    low, high = mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)
    centre, half = (low + high) / 2 - [0, (high - low)[1] * 0.06], float((high - low).max()) * margin / 2
    scale = side / (2 * half)
    matrix = np.array([[scale, 0, side / 2 - centre[0] * scale], [0, scale, side / 2 - centre[1] * scale]])
    return np.asarray(
        cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def _portrait(picture: BgrFrame, mesh: Mesh, backdrop: tuple[int, int, int]) -> BgrFrame:
    """The head over a plain backdrop: the person is told from the blend's ghosts by GrabCut, seeded by the mesh."""
    matte = cv2.GaussianBlur(_person(picture, mesh), (0, 0), 5)[..., None]
    height, width = picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    glow = np.exp(-(((x - width / 2) / (0.55 * width)) ** 2 + ((y - 0.4 * height) / (0.6 * height)) ** 2))
    plain = np.array(backdrop, np.float32) * (0.72 + 0.3 * glow[..., None])
    mixed = picture * matte + plain * (1 - matte)
    return _square(np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8), mesh, 1.85, PORTRAIT_SIDE)


def _person(picture: BgrFrame, mesh: Mesh) -> npt.NDArray[np.float32]:
    """float32 [H, W]: 1 where the person is."""
    small = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    points = mesh[:, :2] / 2
    labels = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    low, high = points.min(axis=0), points.max(axis=0)
    width, tall = high - low
    x, chin = (low[0] + high[0]) / 2, high[1]
    head = (int(x), int((low[1] + chin) / 2 - 0.06 * tall)), (int(width * 0.83), int(tall * 0.88))
    hair = (int(x), int(chin)), (int(width * 0.83), int(tall * 0.55))
    outer = ((-0.5, 0.0), (0.5, 0.0), (0.95, 0.4), (1.35, 0.75), (1.5, 2.0), (-1.5, 2.0), (-1.35, 0.75), (-0.95, 0.4))
    inner = ((-0.3, 0.0), (0.3, 0.0), (0.7, 0.75), (0.9, 2.0), (-0.9, 2.0), (-0.7, 0.75))
    for around in (head, hair):
        cv2.ellipse(labels, *around, 0, 0, 360, int(cv2.GC_PR_BGD), -1)
    for corners, label in ((outer, cv2.GC_PR_BGD), (inner, cv2.GC_PR_FGD)):
        shoulders = np.array([(x + dx * width, chin + dy * tall) for dx, dy in corners], np.int32)
        cv2.fillPoly(labels, [shoulders], int(label))
    core = (int(x), int((low[1] + chin) / 2 - 0.1 * tall)), (int(width * 0.62), int(tall * 0.68))
    cv2.ellipse(labels, *core, 0, 0, 360, int(cv2.GC_PR_FGD), -1)
    cv2.fillConvexPoly(labels, cv2.convexHull(points.astype(np.int32)), int(cv2.GC_FGD))
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, labels, None, background, foreground, 6, cv2.GC_INIT_WITH_MASK)
    person = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    person = cv2.morphologyEx(person, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    person = cv2.morphologyEx(person, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
    _, parts, stats, _ = cv2.connectedComponentsWithStats(person)
    person = (parts == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.float32)
    return np.asarray(cv2.resize(person, (picture.shape[1], picture.shape[0])), np.float32)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
