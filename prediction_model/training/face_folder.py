"""A folder of extracted faces: what `extract` writes and the trainings read.

`faces/NAME.jpg` (aligned, with a margin), `meshes/NAME.npy` (float32 [468, 3], its pixels), `masks/NAME.png` (the
face's outline), and a line for each in `faces.jsonl`.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.errors import TrainingDataRefused
from prediction_model.faces.align import alignment
from prediction_model.picture import write_jpeg
from prediction_model.training.actors import Performance
from prediction_model.training.pairs import OVAL, polygon
from prediction_model.types import BgrFrame, Mesh

ALIGNED, SIDE = 256, 352
"""Pixels: the face's crop, and the stored picture in whose middle it is: augmentation needs what is around."""
JPEG_QUALITY = 95
FEWEST_FACES = 8
"""Fewer are no footage: train on a photograph instead."""
INDEX = "faces.jsonl"


@dataclass(frozen=True)
class FaceRecord:
    """One line of the index."""

    name: str
    source: str
    frame: int
    seconds: float
    sharpness: float
    height: float
    """Pixels of the source from forehead to chin."""
    yaw: float
    """-1 to 1: where the nose is between the cheeks."""


def yaw(mesh: Mesh) -> float:
    """How far the face looks to the side, -1 to 1, from where its nose is between its cheeks."""
    left, right, nose = mesh[234, 0], mesh[454, 0], mesh[1, 0]
    return float(np.clip((2 * nose - left - right) / max(abs(right - left), 1e-3), -1, 1))


def stored(picture: BgrFrame, mesh: Mesh) -> tuple[BgrFrame, Mesh]:
    """The face of `mesh` as it is stored: aligned in the middle of a square of `SIDE`, and its mesh there."""
    matrix = alignment(mesh, ALIGNED)
    matrix[:, 2] += (SIDE - ALIGNED) / 2
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    source, into = picture, matrix
    if scale < 0.5:
        # Bilinear sampling skips pixels when it shrinks by more than two.
        source = cv2.GaussianBlur(picture, (0, 0), 0.4 / scale)
    face = cv2.warpAffine(source, into, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    moved = mesh * np.float32(scale)
    moved[:, :2] = mesh[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(face, np.uint8), moved


class FaceFolder:
    """Reads and writes one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Make the folder and those in it, where they are not there."""
        for part in ("faces", "meshes", "masks"):
            (self.path / part).mkdir(parents=True, exist_ok=True)

    def write(self, record: FaceRecord, face: BgrFrame, mesh: Mesh) -> None:
        """Add one face; its line in the index is written last, so that what the index names is there."""
        mask = (polygon(mesh[list(OVAL), :2], SIDE) * 255).astype(np.uint8)
        # Not cv2.imwrite, which does not say that a disk is full.
        self._face(record.name).write_bytes(write_jpeg(face, JPEG_QUALITY))
        self._mask(record.name).write_bytes(cv2.imencode(".png", mask)[1].tobytes())
        np.save(self._mesh(record.name), mesh.astype(np.float32))
        with (self.path / INDEX).open("a", encoding="utf-8") as index:
            index.write(json.dumps(asdict(record)) + "\n")

    def records(self) -> list[FaceRecord]:
        """Every face of the index; a line that was cut short by an interruption is left out."""
        try:
            lines = (self.path / INDEX).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        found = {}
        for line in lines:
            try:
                record = FaceRecord(**json.loads(line))
            except (ValueError, TypeError):
                continue
            found[record.name] = record
        return list(found.values())

    def keep(self, records: list[FaceRecord]) -> None:
        """Make `records` the whole index and delete every other face."""
        kept = {record.name for record in records}
        for record in self.records():
            if record.name not in kept:
                for path in (self._face(record.name), self._mesh(record.name), self._mask(record.name)):
                    path.unlink(missing_ok=True)
        temporary = self.path / f"{INDEX}.partial"
        temporary.write_text("".join(json.dumps(asdict(record)) + "\n" for record in records), encoding="utf-8")
        os.replace(temporary, self.path / INDEX)

    def face(self, record: FaceRecord) -> tuple[BgrFrame, Mesh]:
        """A stored picture, uint8 [SIDE, SIDE, 3] BGR, and its mesh, float32 [468, 3].

        Raises:
            TrainingDataRefused: a file is missing or damaged.
        """
        picture = cv2.imread(str(self._face(record.name)))
        try:
            mesh = np.load(self._mesh(record.name), allow_pickle=False)
        except (OSError, ValueError):
            mesh = None
        if picture is None or mesh is None or mesh.shape != (468, 3):
            raise TrainingDataRefused(f"{record.name} in {self.path} is damaged: extract the faces again.")
        return np.asarray(picture, np.uint8), np.asarray(mesh, np.float32)

    def performances(self) -> list[Performance]:
        """Every face, to train on; an index is a face.

        Raises:
            TrainingDataRefused: there are too few.
        """
        records = self.records()
        if not records:
            raise TrainingDataRefused(
                f"{self.path} holds no extracted faces: run `python -m prediction_model extract FOOTAGE {self.path}`."
            )
        if len(records) < FEWEST_FACES:
            count = "1 face" if len(records) == 1 else f"{len(records)} faces"
            raise TrainingDataRefused(
                f"{self.path} holds {count}, expected at least {FEWEST_FACES}: "
                "extract more footage, or train on one photograph with `train photo`."
            )
        found = []
        for index, record in enumerate(records):
            picture, mesh = self.face(record)
            found.append(Performance(self.path.name, index, _opaque(picture), mesh))
        return found

    def _face(self, name: str) -> Path:
        return self.path / "faces" / f"{name}.jpg"

    def _mesh(self, name: str) -> Path:
        return self.path / "meshes" / f"{name}.npy"

    def _mask(self, name: str) -> Path:
        return self.path / "masks" / f"{name}.png"


def _opaque(picture: BgrFrame) -> npt.NDArray[np.uint8]:
    return np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
