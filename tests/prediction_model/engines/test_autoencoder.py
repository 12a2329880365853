"""What the shipped networks draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prediction_model.engines.autoencoder import AutoencoderEngine
from prediction_model.faces.align import align
from prediction_model.faces.finder import FaceFinder
from prediction_model.identities.sealing import PackageFiles
from tests.prediction_model.conftest import Frames

PERSONAS = [f"p{number}" for number in range(1, 9)]


@pytest.mark.parametrize("persona", PERSONAS)
def test_no_grid_shows_in_a_face(persona: str, gallery: Path, finder: FaceFinder, frames: Frames) -> None:
    """Pixels drawn four at a time differ a little; their pattern, the finest there is, must not stand out."""
    engine = AutoencoderEngine(PackageFiles(gallery / persona))
    frame = frames("w1")[20]
    (found,) = finder.find(frame, None, 0.0).faces
    (swapped,) = engine.swap([align(frame, found.mesh, engine.crop_size)])
    quarter = engine.crop_size // 4
    middle = swapped.face[quarter:-quarter, quarter:-quarter].mean(axis=2)
    window = np.hanning(len(middle))
    power = np.abs(np.fft.fft2((middle - middle.mean()) * window * window[:, None])) ** 2
    finest = len(middle) // 2
    for direction in (power, power.T):
        by_fineness = direction[[-2, -1, 0, 1, 2]].sum(axis=0)
        assert by_fineness[finest - 1 : finest + 1].mean() < 2 * by_fineness[finest - 12 : finest - 4].mean()


def test_a_network_keeps_its_maps_from_frame_to_frame(gallery: Path, finder: FaceFinder, frames: Frames) -> None:
    """They are given to LiteRT once, which must not reuse their memory."""
    crops = []
    for frame in (frames("w1")[20], frames("w2")[20]):
        (found,) = finder.find(frame, None, 0.0).faces
        crops.append(align(frame, found.mesh, 160))
    fresh = [AutoencoderEngine(PackageFiles(gallery / "p1")).network(crop) for crop in crops]
    engine = AutoencoderEngine(PackageFiles(gallery / "p1"))
    for _ in range(3):
        for crop, wanted in zip(crops, fresh, strict=True):
            np.testing.assert_array_equal(engine.network(crop), wanted)
