"""The shipped gallery's model, and frames of the committed wearers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from prediction_model.faces.detect import BlazeFace
from prediction_model.faces.finder import FaceFinder
from prediction_model.prediction import ModelPrediction
from prediction_model.settings import Settings
from prediction_model.types import BgrFrame

Frames = Callable[[str], list[BgrFrame]]
"""Frames of a wearer's clip, by its name: `w1` or `w2`."""


@pytest.fixture(scope="session")
def gallery(root: Path) -> Path:
    """The shipped gallery."""
    return root / "prediction_model" / "identities" / "gallery"


@pytest.fixture(scope="session")
def model(gallery: Path) -> ModelPrediction:
    """The model over the shipped gallery, with default settings."""
    return ModelPrediction.from_path(gallery, Settings())


@pytest.fixture(scope="session")
def finder() -> FaceFinder:
    """A face finder of its own."""
    return FaceFinder(BlazeFace())


@pytest.fixture(scope="session")
def frames(wearers: Path) -> Frames:
    """Reads a wearer's clip: uint8 [480, 640, 3] BGR each."""

    @cache
    def read(name: str) -> list[BgrFrame]:
        clip = cv2.VideoCapture(str(wearers / f"{name}.mp4"))
        found: list[BgrFrame] = []
        while True:
            more, frame = clip.read()
            if not more:
                return found
            found.append(np.asarray(frame, np.uint8))

    return read
