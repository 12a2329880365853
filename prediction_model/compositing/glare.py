"""Tells an eye from a reflection: behind shining glasses there is no live eye to show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prediction_model.types import Crop, Mesh

_CHEEKS = (50, 205, 280, 425)
_RIGHT_LIDS = ((160, 159, 158), (144, 145, 153))
_LEFT_LIDS = ((385, 386, 387), (380, 374, 373))
"""Mesh points: upper lid and, below each, lower lid."""
ROWS = 5
"""Points looked at between the lids, for each of three pairs."""
DARK_POINTS = 4
"""How many of these fifteen are dark in an eye: pupil, iris, lashes."""
BRIGHTNESS = (0.6, 0.8)
"""The dark points over the cheeks: an eye below the one, glare above the other."""
BLUENESS = (1.15, 1.35)
"""Blue over red, against the cheeks': a closed lid below the one, glare above the other."""


def eyes_seen(live: Crop, mesh: Mesh) -> tuple[float, float]:
    """How surely the live right and left eye can be seen: 1 an eye or a closed lid, 0 glare.

    Args:
        live: float32 [S, S, 3] RGB.
        mesh: float32 [468, 3], pixels of `live`.
    """
    cheeks = _colours(live, mesh[list(_CHEEKS), :2]).mean(axis=0) + np.float32(1e-3)
    return _seen(live, mesh, _RIGHT_LIDS, cheeks), _seen(live, mesh, _LEFT_LIDS, cheeks)


def _seen(
    live: Crop, mesh: Mesh, lids: tuple[tuple[int, ...], tuple[int, ...]], cheeks: npt.NDArray[np.float32]
) -> float:
    upper, lower = (mesh[list(lid), :2] for lid in lids)
    down = np.linspace(0, 1, ROWS, dtype=np.float32)[:, None, None]
    colours = _colours(live, (upper + (lower - upper) * down).reshape(-1, 2))
    brightness = float(np.sort(colours.sum(axis=1))[DARK_POINTS - 1] / cheeks.sum())
    red, _, blue = (colours.mean(axis=0) / cheeks).tolist()
    return 1.0 - _ramp(brightness, *BRIGHTNESS) * _ramp(blue / max(red, 1e-3), *BLUENESS)


def _ramp(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high` on."""
    return min(max((value - low) / (high - low), 0.0), 1.0)


def _colours(picture: Crop, places: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The pixels nearest to `places` [n, 2]: float32 [n, 3]."""
    x, y = np.clip(np.rint(places).astype(int), 0, picture.shape[0] - 1).T
    return picture[y, x]
