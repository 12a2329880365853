"""Frames out of what people have: videos (PyAV), pictures, and folders of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from prediction_model.errors import ExtraMissing, TrainingDataRefused
from prediction_model.types import BgrFrame

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
VIDEOS = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".gif", ".mjpeg", ".ts"}
LARGEST_SIDE = 1920
"""Pixels: larger frames are reduced; a face that fills them is still larger than any crop."""


@dataclass(frozen=True)
class Frame:
    """One frame of one source."""

    number: int
    seconds: float
    picture: BgrFrame


def sources(given: Sequence[Path]) -> list[Path]:
    """Every video and picture among `given` and below its folders, in order of name.

    Raises:
        TrainingDataRefused: a path does not exist, or nothing is there.
    """
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in PICTURES | VIDEOS)
        elif path.is_file():
            found.append(path)
        else:
            raise TrainingDataRefused(f"There is no {path}: give videos, pictures or folders of them.")
    if not found:
        names = ", ".join(str(path) for path in given)
        raise TrainingDataRefused(f"No video or picture is in {names}: give footage of the face to learn.")
    return found


def frames(source: Path, per_second: float, first: int = 0) -> Iterator[Frame]:
    """Frames of a video, `per_second` of them, from number `first` on; of a picture, itself.

    Raises:
        ExtraMissing: PyAV is not installed.
        TrainingDataRefused: the file cannot be read.
    """
    if source.suffix.lower() in PICTURES:
        picture = cv2.imread(str(source), cv2.IMREAD_COLOR)
        if picture is None:
            raise TrainingDataRefused(f"{source} cannot be read as a picture: leave it out, or save it again as JPEG.")
        if first == 0:
            yield Frame(0, 0.0, _reduced(np.asarray(picture, np.uint8)))
        return
    try:
        import av
    except ImportError:
        raise ExtraMissing("Reading videos", "PyAV", "train") from None
    try:
        with av.open(str(source)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            following = 0.0
            for number, frame in enumerate(container.decode(stream)):
                seconds = float(frame.time) if frame.time is not None else number / 25
                if seconds + 1e-6 < following:
                    continue
                following = seconds + 1 / per_second
                if number >= first:
                    picture = np.rot90(frame.to_ndarray(format="bgr24"), round(frame.rotation / 90))
                    yield Frame(number, seconds, _reduced(np.ascontiguousarray(picture, np.uint8)))
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise TrainingDataRefused(
            f"{source} cannot be read as a video ({error}): leave it out, or convert it."
        ) from error


def _reduced(picture: BgrFrame) -> BgrFrame:
    scale = LARGEST_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
