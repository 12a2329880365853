"""What is saved, before it is marked and signed."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from prediction_model.types import BgrFrame


@pytest.fixture(scope="session")
def frame(wearers: Path) -> BgrFrame:
    """uint8 [480, 640, 3]."""
    with av.open(str(wearers / "w1.mp4")) as film:
        return np.asarray(next(film.decode(video=0)).to_ndarray(format="bgr24"), np.uint8)
