"""`extract`, `train` and `export` as they are called: what is wrong is one sentence, what is right a package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from prediction_model.__main__ import main
from prediction_model.errors import TrainingDataRefused
from prediction_model.identities.sealing import PackageFiles

IDENTITY = ["--id", "ada", "--kind", "synthetic"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "prediction_model", *arguments]
    root = Path(__file__).resolve().parents[3]
    return subprocess.run(
        command, cwd=root, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600
    )


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was written to standard error: a single line."""
    text = capsys.readouterr().err.strip()
    assert "\n" not in text and "Traceback" not in text
    return text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--id", "Ada Lovelace", "--kind", "synthetic"], "lower-case letters, digits and hyphens"),
        (["--id", "ada", "--kind", "self"], "needs a consent"),
        (["--id", "ada", "--kind", "release", "--consent", "nowhere.jwt"], r"nowhere\.jwt cannot be read"),
        (["--id", "ada", "--kind", "synthetic", "--consent", "some.jwt"], "nobody can consent"),
        (IDENTITY, "There is no nobody.jpg"),
    ],
)
def test_a_wrong_call_of_train_is_one_sentence(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "photo", "nobody.jpg", str(tmp_path / "run"), *arguments]) == 1
    text = said(capsys)
    assert text.startswith("train: ") and re.search(says, text)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(find_spec("keras") is None, reason="what trains is not installed: `python3 run.py --train`")
@pytest.mark.parametrize(
    "manifest", [None, "[", '[{"paths": ["shard1"], "weights": []}]', '[{"paths": [], "weights": [{}]}]']
)
def test_a_folder_that_is_no_descriptor_is_refused(manifest: str | None, tmp_path: Path) -> None:
    from prediction_model.training.descriptor import MANIFEST, descriptor

    if manifest is not None:
        (tmp_path / MANIFEST).write_text(manifest, encoding="utf-8")
    with pytest.raises(TrainingDataRefused, match=r"holds no face descriptor .*: give the folder"):
        descriptor(tmp_path)


def test_extract_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", str(tmp_path), str(tmp_path / "out")]) == 1
    assert "No video or picture is in" in said(capsys)


def test_training_without_its_tools_names_them(tmp_path: Path) -> None:
    picture = tmp_path / "face.jpg"
    cv2.imwrite(str(picture), np.zeros((8, 8, 3), np.uint8))
    ran = run("train", "photo", str(picture), str(tmp_path / "run"), *IDENTITY, KERAS_BACKEND="abacus")
    package = "abacus" if find_spec("keras") else "Keras"
    assert ran.returncode == 1 and ran.stdout == ""
    assert len(ran.stderr.splitlines()) == 1
    assert package in ran.stderr and "python3 run.py --train" in ran.stderr


def test_a_package_that_could_not_be_written_is_told_before_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = ("tensorflow", "abacus")
    monkeypatch.setattr("prediction_model.training.backend.find_spec", lambda name: None if name in absent else name)
    monkeypatch.setenv("KERAS_BACKEND", "abacus")
    (tmp_path / "face.jpg").touch()
    command = ["train", "photo", str(tmp_path / "face.jpg"), str(tmp_path / "run"), *IDENTITY]
    assert main(command) == 1
    assert re.search(r"package .*--no-package.* needs TensorFlow with Keras", said(capsys))
    assert main([*command, "--no-package"]) == 1
    assert "Training needs abacus" in said(capsys), "whatever trains is enough"


@pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="TensorFlow is not installed: `python3 run.py --train` does"
)
def test_a_folder_without_faces_is_one_sentence(tmp_path: Path) -> None:
    ran = run("train", "footage", str(tmp_path), str(tmp_path / "run"), *IDENTITY)
    assert ran.returncode == 1
    assert "holds no extracted faces" in ran.stderr.splitlines()[-1] and "Traceback" not in ran.stderr


@pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="TensorFlow is not installed: `python3 run.py --train` does"
)
def test_export_of_no_run_is_one_sentence(tmp_path: Path) -> None:
    ran = run("export", str(tmp_path), str(tmp_path / "out"))
    assert ran.returncode == 1 and "holds no run.json" in ran.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="TensorFlow is not installed: `python3 run.py --train` does"
)
def test_one_photograph_becomes_a_package_in_one_command(tmp_path: Path, root: Path) -> None:
    from prediction_model.engines.autoencoder import AutoencoderEngine
    from prediction_model.identities.package import read_package
    from prediction_model.tokens import TokenVerifier
    from prediction_model.training.packaging import checked_faces

    photograph = root / "prediction_model" / "identities" / "gallery" / "p1" / "face.jpg"
    few = ["--steps", "2", "--batch-size", "2", "--threads", "1", "--from-scratch"]
    store = str(tmp_path / "store")
    ran = run("train", "photo", str(photograph), str(tmp_path / "run"), *IDENTITY, "--store", store, *few)
    assert ran.returncode == 0, ran.stderr[-2000:]
    package = read_package(tmp_path / "store" / "ada", TokenVerifier(""))
    assert package.engines == ("autoencoder", "photo") and package.card["training"]["form"] == "photo"
    engine = AutoencoderEngine(PackageFiles(package.folder))
    (swapped,) = engine.swap(checked_faces(engine.crop_size)[:1])
    assert swapped.face.shape == (160, 160, 3) and np.isfinite(swapped.face).all()
