"""Carries a picture on a triangle mesh: for every pixel of a crop, which point of the picture lies there.

All triangles are rasterised at once, span by span, in NumPy; nothing loops over triangles.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]
"""float32 [n, 2]."""

Corners = npt.NDArray[np.floating]
"""[t, 2 or more]: one corner of every triangle."""

SMALLEST_AREA = 1e-3
"""Grid pixels, doubled: thinner triangles, and those that face away, are not drawn."""
_EDGE = 1e-3
"""Grid pixels: how far outside an edge a pixel centre may lie, so that neighbours leave no gap."""


@dataclass(frozen=True, slots=True)
class Raster:
    """A coarse grid over the crop."""

    values: npt.NDArray[np.float32]
    """float32 [G, G, k]: the mesh points' values, interpolated; 0 where nothing was drawn."""
    stretch: npt.NDArray[np.float32]
    """float32 [G, G]: the triangle's area in the picture over its area in the crop, relative to the mesh's whole."""
    drawn: npt.NDArray[np.bool_]
    """bool [G, G]."""


def rasterise(
    corners: Points,
    depth: npt.NDArray[np.float32],
    values: npt.NDArray[np.float32],
    triangles: npt.NDArray[np.intp],
    grid: int,
) -> Raster:
    """Draw the mesh.

    Args:
        corners: float32 [n, 2], where each mesh point lies in the grid, pixel centres at integers.
        depth: float32 [n], larger is farther: nearer triangles cover farther ones.
        values: float32 [n, k], what each mesh point carries; the first two are where it lies in the picture.
        triangles: intp [t, 3], indices, of positive area (y down) where they face the camera.
        grid: G, the grid's side.
    """
    a, b, c = (corners[triangles[:, i]].astype(np.float64) for i in range(3))
    area = _doubled_area(a, b, c)
    front = np.flatnonzero(area > SMALLEST_AREA)
    # Painter's order: NumPy's assignment keeps the last value written to an index.
    front = front[np.argsort(-depth[triangles[front]].sum(axis=1), kind="stable")]
    a, b, c, area, corner = a[front], b[front], c[front], area[front], triangles[front]

    top = np.maximum(np.ceil(np.minimum(np.minimum(a[:, 1], b[:, 1]), c[:, 1]) - _EDGE), 0).astype(np.intp)
    bottom = np.minimum(np.floor(np.maximum(np.maximum(a[:, 1], b[:, 1]), c[:, 1]) + _EDGE), grid - 1).astype(np.intp)
    triangle, row = _runs(top, bottom - top + 1)
    lowest, highest = np.full(row.shape, 0.0), np.full(row.shape, grid - 1.0)
    y = row.astype(np.float64)
    for start, end in ((a, b), (b, c), (c, a)):
        # Inside is where dx * (y - y0) - dy * (x - x0) >= 0: each edge bounds x from below or from above.
        dx, dy = (end - start).T
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.where(dy == 0, 0, dx / dy)
        base = start[:, 0] - slope * start[:, 1]
        lowest = np.maximum(lowest, np.where(dy < 0, base, -np.inf)[triangle] + slope[triangle] * y)
        highest = np.minimum(highest, np.where(dy > 0, base, np.inf)[triangle] + slope[triangle] * y)
    first = np.ceil(lowest - _EDGE).astype(np.intp)
    span, column = _runs(first, np.floor(highest + _EDGE).astype(np.intp) - first + 1)
    owner = triangle[span]
    at = row[span] * grid + column

    # Each triangle's affine map from the grid to the values.
    p, q, r = (values[corner[:, i]].astype(np.float64) for i in range(3))
    ab, ac = b - a, c - a
    across = ((q - p) * ac[:, 1:] - (r - p) * ab[:, 1:]) / area[:, None]
    down = ((r - p) * ab[:, :1] - (q - p) * ac[:, :1]) / area[:, None]
    origin = p - across * a[:, :1] - down * a[:, 1:]
    begin = origin[triangle] + down[triangle] * y[:, None]
    step = across[triangle]

    drawn_values = np.zeros((grid * grid, values.shape[1]), np.float32)
    drawn_values[at] = begin[span] + step[span] * column[:, None]
    picture_area = _doubled_area(p, q, r)
    ratio = picture_area / area * (area.sum() / max(picture_area.sum(), 1e-9))
    stretch = np.zeros(grid * grid, np.float32)
    stretch[at] = ratio[owner]
    drawn = np.zeros(grid * grid, np.bool_)
    drawn[at] = True
    return Raster(drawn_values.reshape(grid, grid, -1), stretch.reshape(grid, grid), drawn.reshape(grid, grid))


def delaunay(points: Points) -> npt.NDArray[np.intp]:
    """Delaunay's triangulation of `points` [n, 2]: intp [t, 3], every triangle of positive area (y down)."""
    low, high = points.min(axis=0) - 1, points.max(axis=0) + 1
    subdivision = cv2.Subdiv2D((float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])))
    vertex = {subdivision.insert((float(x), float(y))): i for i, (x, y) in enumerate(points)}
    triangles = []
    for corners in np.asarray(subdivision.getTriangleList()).reshape(-1, 3, 2):
        indices = [vertex.get(subdivision.findNearest((float(x), float(y)))[0]) for x, y in corners]
        inside = ((corners > low) & (corners < high)).all()
        if inside and None not in indices and len(set(indices)) == 3:
            triangles.append(indices)
    found = np.array(triangles, np.intp)
    turned = _doubled_area(*(points[found[:, i]] for i in range(3))) < 0
    found[turned] = found[turned][:, ::-1]
    return found


def _runs(
    first: npt.NDArray[np.intp], length: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """For runs `first, first + 1, …` of `length` numbers each: which run every number belongs to, and the number."""
    length = np.maximum(length, 0)
    run = np.repeat(np.arange(first.size), length)
    started = np.cumsum(length) - length
    return run, np.arange(run.size) - started[run] + first[run]


def _doubled_area(a: Corners, b: Corners, c: Corners) -> npt.NDArray[np.floating]:
    ab, ac = b - a, c - a
    area: npt.NDArray[np.floating] = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    return area
