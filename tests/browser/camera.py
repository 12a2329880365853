"""The film that Chromium takes for a camera."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""[height, width, 3], BGR."""
QUALITY = 95


def read_film(path: Path) -> list[Picture]:
    """Every frame of a film."""
    film = cv2.VideoCapture(str(path))
    frames = []
    while True:
        there, frame = film.read()
        if not there:
            break
        frames.append(np.asarray(frame, np.uint8))
    film.release()
    if not frames:
        raise ValueError(f"Expected a film, received {path}, of which no frame can be read.")
    return frames


def write_clip(frames: Iterable[Picture], path: Path) -> None:
    """The frames as the `.mjpeg` that Chromium takes for a camera of 30 frames/s: JPEG after JPEG."""
    with path.open("wb") as file:
        for frame in frames:
            file.write(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())
