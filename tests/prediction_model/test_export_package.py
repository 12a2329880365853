"""`export-package` copies packages that hold, the files their cards list, and nothing over what is there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from prediction_model.__main__ import main
from prediction_model.prediction import ModelPrediction
from prediction_model.settings import Settings


def export(target: Path, *words: str) -> int:
    return main(["export-package", *words, str(target)])


def test_the_packages_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(tmp_path / "new" / "model", "--identity", "p2", "--identity", "p7", "--identity", "p2") == 0
    assert sorted(path.name for path in (tmp_path / "new" / "model").iterdir()) == ["p2", "p7"]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["p2", "p7"]
    model = ModelPrediction.from_path(tmp_path / "new" / "model", Settings())
    assert model.identities.get("p7").kind == "synthetic"


def test_files_that_no_card_lists_stay_behind(gallery: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(gallery / "p2", source / "p2")
    (source / "p2" / ".notes").write_text("mine")
    assert export(tmp_path / "out", "--identity", "p2", "--model-dir", str(source)) == 0
    listed = json.loads((source / "p2" / "identity.json").read_text(encoding="utf-8"))["files"]
    assert {path.name for path in (tmp_path / "out" / "p2").iterdir()} == {"identity.json", *listed}


def test_what_does_not_hold_is_not_exported(gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    shutil.copytree(gallery / "p2", source / "p2")
    (source / "p2" / "portrait.jpg").write_bytes(b"another portrait")
    assert export(tmp_path / "out", "--identity", "p2", "--model-dir", str(source)) == 1
    assert "SHA-256" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nobody_of_that_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(tmp_path / "out", "--identity", "p2", "--identity", "nobody") == 1
    assert "nobody" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["full", "file"])
def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    (tmp_path / "file").touch()
    assert export(tmp_path / name, "--identity", "p2") == 2
    assert "name another" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]
