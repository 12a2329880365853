"""Stores of enrolled identities: in a folder, and behind a URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from prediction_model.faces.finder import FaceFinder
from tests.prediction_model.studio.room import Room


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[str]:
    """The URL of a store that is no folder."""
    files = fsspec.filesystem("memory")
    files.makedirs(f"/{tmp_path.name}", exist_ok=True)
    yield f"memory://{tmp_path.name}"
    files.rm(f"/{tmp_path.name}", recursive=True)


@pytest.fixture(params=["folder", "url"])
def room(request: pytest.FixtureRequest, gallery: Path, tmp_path: Path, finder: FaceFinder) -> Room:
    place = str(tmp_path / "store") if request.param == "folder" else str(request.getfixturevalue("memory"))
    return Room(place, gallery, tmp_path, finder)
