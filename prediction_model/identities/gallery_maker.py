"""Makes the gallery from the personas' pictures: `python -m prediction_model.identities.gallery_maker PERSONAS`.

PERSONAS holds `pN.png` (1024 px), blends of two portraits each. A blend gives `face.jpg`, from which the photo engine
takes its texture; the portrait is its head over a soft plain backdrop.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.faces.detect import BlazeFace
from prediction_model.faces.landmarks import FaceMesh, roi_of_detection, roi_of_mesh
from prediction_model.identities.package import CARD, FACE, LICENCES, PORTRAIT, write_card
from prediction_model.types import BgrFrame, Mesh

NAMES = ("Mara", "Lin", "Amina", "Rosa", "Kai", "Dario", "Jonas", "Elias")
BACKDROPS = (
    (214, 205, 192), (196, 211, 205), (190, 186, 214), (186, 204, 222),
    (212, 200, 186), (206, 196, 184), (200, 210, 198), (192, 200, 214),
)  # fmt: skip
"""BGR, one per persona."""
PORTRAIT_SIDE = 512
FACE_SIDE = 640
OUTLINES = Path(__file__).with_name("outlines.json")
"""Per persona, in pixels of `pN.png`: `outline` of head and shoulders, from the left shoulder to the right one; `crop`,
the portrait's left, top and side; `torn`, an area to mend."""
ROUNDINGS, FEATHER = 3, 4.0
"""Feather in pixels."""
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
        _write(folder / PORTRAIT, _portrait(picture, folder.name, backdrop), 88)
        trained = (folder / "decoder.tflite").is_file()
        engines = ["autoencoder", "photo"] if trained else ["photo"]
        card = {
            "format": 1, "id": folder.name, "name": name, "kind": "synthetic",
            "engine": engines[0], "engines": engines,
            "licence": LICENCES["synthetic"], "provenance": PROVENANCE,
            "consent": None, "consent_hash": "", "metrics": {},
        }  # fmt: skip
        before = json.loads((folder / CARD).read_text(encoding="utf-8")) if (folder / CARD).is_file() else {}
        # What a training has written stays.
        card |= {
            field: before[field]
            for field in ("engine", "engines", "live_parts", "metrics", "training")
            if field in before
        }
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


def _portrait(picture: BgrFrame, persona: str, backdrop: tuple[int, int, int]) -> BgrFrame:
    """The person over a plain backdrop, cut out along a drawn outline: behind it the blend shows two backgrounds."""
    drawn = json.loads(OUTLINES.read_text(encoding="utf-8"))[persona]
    left, top, side = drawn["crop"]
    scale = PORTRAIT_SIDE / side
    matte = _matte(np.array(drawn["outline"], np.float32), picture.shape[0])
    into = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    size = (PORTRAIT_SIDE, PORTRAIT_SIDE)
    smooth = cv2.GaussianBlur(_mended(picture, drawn.get("torn")), (0, 0), 0.4 / scale)
    person = cv2.warpAffine(smooth, into, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    share = cv2.warpAffine(matte, into, size, flags=cv2.INTER_LINEAR)[..., None]
    y, x = np.mgrid[0:PORTRAIT_SIDE, 0:PORTRAIT_SIDE].astype(np.float32) / PORTRAIT_SIDE
    glow = np.exp(-(((x - 0.5) / 0.55) ** 2 + ((y - 0.4) / 0.6) ** 2))
    plain = np.array(backdrop, np.float32) * (0.72 + 0.3 * glow[..., None])
    return np.asarray(np.clip(np.rint(person * share + plain * (1 - share)), 0, 255), np.uint8)


def _matte(outline: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    """float32 [side, side]: 1 inside the outline, which is rounded (Chaikin, 1974) and goes on below the picture."""
    for _ in range(ROUNDINGS):
        before, after = outline[:-1], outline[1:]
        inner = np.stack([0.75 * before + 0.25 * after, 0.25 * before + 0.75 * after], axis=1).reshape(-1, 2)
        outline = np.concatenate([outline[:1], inner, outline[-1:]])
    below = [[outline[0, 0], side * 1.1]], [[outline[-1, 0], side * 1.1]]
    closed = np.concatenate([below[0], outline, below[1]])
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.rint(closed * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), FEATHER), np.float32)


def _mended(picture: BgrFrame, torn: list[list[int]] | None) -> BgrFrame:
    """Without the ragged edge that the morph has left along a cheek."""
    if not torn:
        return picture
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.array(torn, np.int32)], 255)
    return np.asarray(cv2.inpaint(picture, mask, 5, cv2.INPAINT_TELEA), np.uint8)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
