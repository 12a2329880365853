"""The rasteriser draws what a slow one draws, without gaps, nearer triangles over farther ones."""

from __future__ import annotations

import numpy as np
import pytest

from prediction_model.engines.mesh_raster import delaunay, rasterise

GRID = 24


def test_values_are_interpolated_as_barycentric_coordinates_say() -> None:
    corners = np.array([[2.3, 1.7], [20.9, 4.1], [8.2, 21.6]], np.float32)
    values = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 2.0], [0.0, 1.0, 5.0]], np.float32)
    raster = rasterise(corners, np.zeros(3, np.float32), values, np.array([[0, 1, 2]]), GRID)
    y, x = np.mgrid[:GRID, :GRID]
    columns = np.column_stack([corners, np.ones(3)])
    shares = np.stack([x.ravel(), y.ravel(), np.ones(GRID * GRID)], axis=1) @ np.linalg.inv(columns)
    inside = (shares >= 1e-6).all(axis=1)
    assert np.array_equal(raster.drawn.ravel()[inside], np.ones(inside.sum(), bool))
    assert raster.drawn.sum() <= inside.sum() + 3
    assert np.allclose(raster.values.reshape(-1, 3)[inside], (shares @ values)[inside], atol=1e-4)


def test_a_triangulated_square_has_no_gaps() -> None:
    random = np.random.default_rng(2).uniform(2, 21, (60, 2))
    points = np.vstack([random, [[1, 1], [22, 1], [1, 22], [22, 22]]]).astype(np.float32)
    raster = rasterise(points, np.zeros(64, np.float32), points, delaunay(points), GRID)
    y, x = np.mgrid[2:22, 2:22]
    assert raster.drawn[2:22, 2:22].all()
    assert np.allclose(raster.values[2:22, 2:22], np.dstack([x, y]), atol=1e-3)
    assert np.allclose(raster.stretch[2:22, 2:22], 1, atol=1e-3)


def test_nearer_triangles_cover_farther_ones() -> None:
    corners = np.array([[0, 0], [23, 0], [0, 23], [0, 0], [23, 0], [0, 23]], np.float32)
    values = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [0, 0, 2], [1, 0, 2], [0, 1, 2]], np.float32)
    depth = np.array([5, 5, 5, -5, -5, -5], np.float32)
    raster = rasterise(corners, depth, values, np.array([[3, 4, 5], [0, 1, 2]]), GRID)
    assert raster.values[5, 5, 2] == pytest.approx(2)


def test_triangles_that_face_away_are_not_drawn() -> None:
    corners = np.array([[0, 0], [23, 0], [0, 23]], np.float32)
    raster = rasterise(corners, np.zeros(3, np.float32), corners, np.array([[0, 2, 1]]), GRID)
    assert not raster.drawn.any()


def test_what_lies_outside_the_grid_is_cut_off() -> None:
    corners = np.array([[-500, -500], [700, -400], [20, 900]], np.float32)
    raster = rasterise(corners, np.zeros(3, np.float32), corners, np.array([[0, 1, 2]]), GRID)
    assert raster.drawn.all()
