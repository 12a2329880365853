"""From footage to training data: the faces of one person, sharp, large enough and different from each other."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.errors import TrainingDataRefused
from prediction_model.faces.align import alignment
from prediction_model.faces.detect import BlazeFace
from prediction_model.faces.embed import SAME_PERSON, describe
from prediction_model.faces.finder import FaceFinder
from prediction_model.training.face_folder import SIDE, FaceFolder, FaceRecord, stored, yaw
from prediction_model.training.footage import Frame, frames, sources
from prediction_model.training.pairs import OVAL, polygon
from prediction_model.types import BgrFrame, Mesh

PROGRESS = "progress.json"
SAVE_EVERY = 50
"""Frames between two notes of how far a source was read."""
SHARPNESS_SIDE = 128
THUMBNAIL = 24
SAME_PICTURE, SAME_MESH = 4.0, 0.006
"""Two faces are duplicates below both: mean grey difference of 255, and mean mesh distance in crop sides."""
LINK = 0.45
"""Descriptors nearer than this are linked into one person; chains are too, so it is below dlib's 0.6."""
SHEET_FACES, SHEET_COLUMNS, SHEET_CELL = 96, 12, 96


@dataclass(frozen=True)
class Selection:
    """Which faces are kept."""

    per_second: float = 6.0
    """Frames of a video that are looked at."""
    smallest: float = 64.0
    """Pixels from forehead to chin."""
    least_sharpness: float = 0.05
    """Absolute; see `sharpness`."""
    blurred_share: float = 0.35
    """Of the median sharpness: below it a face is blurred, compared with the others."""
    most_faces: int = 6000


@dataclass
class Summary:
    """What an extraction did."""

    frames: int
    kept: int
    dropped: Counter[str]
    """By reason: tiny, blurred, duplicate, other person."""


Report = Callable[[str, float, int], None]
"""Called with what is being read, the share that is done and the faces kept so far."""


class Extraction:
    """Extracts into one folder; started again, it goes on where it was stopped."""

    def __init__(self, out: Path, selection: Selection | None = None) -> None:
        self.folder = FaceFolder(out)
        self._selection = selection or Selection()
        self._finder = FaceFinder(BlazeFace())
        self._thumbnails: list[npt.NDArray[np.float32]] = []
        self._shapes: list[npt.NDArray[np.float32]] = []
        self._read: dict[str, int] = {}
        """By source: the number of the next frame; -1 when it is read to its end."""
        self._dropped: Counter[str] = Counter()
        self._frames = 0

    def run(self, given: Sequence[Path], report: Report) -> Summary:
        """Extract the faces of `given`.

        Raises:
            FaceModelMissing: dlib or a model file is not installed.
            TrainingDataRefused: nothing can be read, or no face is left.
        """
        found = sources(given)
        self.folder.make()
        self._resume()
        for number, source in enumerate(found):
            self._source(source, lambda kept, n=number, s=source: report(s.name, n / len(found), kept))  # type: ignore[misc]
        records = self.folder.records()
        if not records:
            reasons = ", ".join(f"{count} {why}" for why, count in self._dropped.items()) or "none was found"
            raise TrainingDataRefused(f"No usable face is in the footage ({reasons}): give sharper, closer footage.")
        records = self._sharp(records)
        records = self._one_person(records, report)
        self.folder.keep(records)
        self._note()
        cv2.imwrite(str(self.folder.path / "contact_sheet.jpg"), contact_sheet(self.folder, records))
        return Summary(self._frames, len(records), self._dropped)

    def _source(self, source: Path, report: Callable[[int], None]) -> None:
        key = str(source.resolve())
        first = self._read.get(key, 0)
        if first < 0:
            return
        for count, frame in enumerate(frames(source, self._selection.per_second, first)):
            if len(self._thumbnails) >= self._selection.most_faces:
                break
            self._frames += 1
            self._frame(source, frame)
            self._read[key] = frame.number + 1
            if count % SAVE_EVERY == 0:
                self._note()
            report(len(self._thumbnails))
        self._read[key] = -1
        self._note()

    def _frame(self, source: Path, frame: Frame) -> None:
        for number, found in enumerate(self._finder.find(frame.picture, None, 0.0).faces):
            height = float(np.ptp(found.mesh[:, 1]))
            if height < self._selection.smallest:
                self._dropped["tiny"] += 1
                continue
            face, mesh = stored(frame.picture, found.mesh)
            sharp = sharpness(face, mesh)
            if sharp < self._selection.least_sharpness:
                self._dropped["blurred"] += 1
                continue
            if not self._is_new(face, mesh):
                self._dropped["duplicate"] += 1
                continue
            name = f"{source.stem}-{hash_of(source):08x}-{frame.number:06d}-{number}"
            values = (round(frame.seconds, 3), round(sharp, 4), round(height, 1), round(yaw(found.mesh), 3))
            self.folder.write(FaceRecord(name, source.name, frame.number, *values), face, mesh)

    def _is_new(self, face: BgrFrame, mesh: Mesh) -> bool:
        """Whether no kept face is the same, in pixels and in shape; remembers it if so."""
        thumbnail, shape = _thumbnail(face), _shape(mesh)
        if self._thumbnails:
            pixels = np.abs(np.array(self._thumbnails) - thumbnail).mean(axis=1)
            near = np.flatnonzero(pixels < SAME_PICTURE)
            if any(float(np.abs(self._shapes[i] - shape).mean()) < SAME_MESH for i in near):
                return False
        self._thumbnails.append(thumbnail)
        self._shapes.append(shape)
        return True

    def _sharp(self, records: list[FaceRecord]) -> list[FaceRecord]:
        floor = self._selection.blurred_share * float(np.median([record.sharpness for record in records]))
        kept = [record for record in records if record.sharpness >= floor]
        self._dropped["blurred"] += len(records) - len(kept)
        return kept

    def _one_person(self, records: list[FaceRecord], report: Report) -> list[FaceRecord]:
        """Those of the person who is seen most."""
        descriptors = []
        for number, record in enumerate(records):
            picture, mesh = self.folder.face(record)
            descriptors.append(describe(picture, mesh))
            report("who is who", number / len(records), len(records))
        people = cluster(np.array(descriptors))
        most = Counter(people).most_common(1)[0][0]
        kept = [record for record, person in zip(records, people, strict=True) if person == most]
        self._dropped["other person"] += len(records) - len(kept)
        return kept

    def _resume(self) -> None:
        try:
            noted = json.loads((self.folder.path / PROGRESS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        self._read, self._frames, self._dropped = noted["read"], noted["frames"], Counter(noted["dropped"])
        for record in self.folder.records():
            picture, mesh = self.folder.face(record)
            self._thumbnails.append(_thumbnail(picture))
            self._shapes.append(_shape(mesh))

    def _note(self) -> None:
        path = self.folder.path / PROGRESS
        temporary = path.with_suffix(".partial")
        noted = {"read": self._read, "frames": self._frames, "dropped": self._dropped}
        temporary.write_text(json.dumps(noted, indent=1), encoding="utf-8")
        os.replace(temporary, path)


def sharpness(face: BgrFrame, mesh: Mesh) -> float:
    """How much of the face's contrast is fine detail: variance of the Laplacian over the variance, at 128 pixels."""
    side = round(SHARPNESS_SIDE * SIDE / 256)
    grey = cv2.cvtColor(cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    inside = polygon(mesh[list(OVAL), :2] * np.float32(side / SIDE), side) > 0.5
    detail = cv2.Laplacian(grey.astype(np.float32), cv2.CV_32F)[inside]
    return float(detail.var() / max(float(grey[inside].var()), 25.0))


def cluster(descriptors: npt.NDArray[np.float32]) -> list[int]:
    """A person's number for each of `descriptors` [n, 128]: those linked by steps shorter than `LINK`."""
    import dlib

    people: list[int] = dlib.chinese_whispers_clustering([dlib.vector(d.tolist()) for d in descriptors], LINK)
    # A pose seldom seen can be a cluster of its own: it joins the person it is nearest to, if that is the same one.
    means = {person: descriptors[np.array(people) == person].mean(axis=0) for person in set(people)}
    largest = Counter(people).most_common(1)[0][0]
    for person, mean in means.items():
        if float(np.linalg.norm(mean - means[largest])) < SAME_PERSON - 0.15:
            people = [largest if p == person else p for p in people]
    return people


def contact_sheet(folder: FaceFolder, records: Sequence[FaceRecord]) -> BgrFrame:
    """At most `SHEET_FACES` of the faces, from left to right as they look from left to right: uint8 [H, W, 3] BGR."""
    ordered = sorted(records, key=lambda record: record.yaw)
    chosen = [ordered[i] for i in np.linspace(0, len(ordered) - 1, min(SHEET_FACES, len(ordered))).astype(int)]
    rows = -(-len(chosen) // SHEET_COLUMNS)
    sheet = np.zeros((rows * SHEET_CELL, SHEET_COLUMNS * SHEET_CELL, 3), np.uint8)
    for place, record in enumerate(chosen):
        y, x = (SHEET_CELL * v for v in divmod(place, SHEET_COLUMNS))
        cell = cv2.resize(folder.face(record)[0], (SHEET_CELL, SHEET_CELL), interpolation=cv2.INTER_AREA)
        sheet[y : y + SHEET_CELL, x : x + SHEET_CELL] = cell
    return sheet


def hash_of(source: Path) -> int:
    """A number that tells apart sources of the same name."""
    value = 0
    for byte in str(source.resolve()).encode():
        value = (value * 131 + byte) % (1 << 32)
    return value


def _thumbnail(face: BgrFrame) -> npt.NDArray[np.float32]:
    grey = cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)
    margin = SIDE // 6
    small = cv2.resize(grey[margin:-margin, margin:-margin], (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32).reshape(-1)


def _shape(mesh: Mesh) -> npt.NDArray[np.float32]:
    matrix = alignment(mesh, 1)
    return mesh[:, :2] @ matrix[:, :2].T + matrix[:, 2]
