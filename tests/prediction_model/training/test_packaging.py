"""A run becomes packages that the service reads and the engine runs."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from prediction_model.engines import autoencoder as engine_module
from prediction_model.engines.autoencoder import AutoencoderEngine
from prediction_model.errors import ExportRefused, PackageRefused, RunRefused
from prediction_model.identities.package import read_package
from prediction_model.identities.sealing import PackageFiles
from prediction_model.tokens import TokenVerifier
from prediction_model.training import packaging
from prediction_model.training.export import check
from prediction_model.training.identity import Identity
from prediction_model.training.packaging import checked_faces, export_run, served_and_trained, trained
from prediction_model.training.runs import Run
from prediction_model.training.trainer import Plan, Progress

PEOPLE = (Identity("ada", "Ada", "synthetic"), Identity("ben", "Ben", "synthetic"))
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")


def quiet(text: str) -> None:
    pass


def finished_run(folder: Path, preset: str, **changes: object) -> Run:
    """A run that ended, with random weights: what a network is trained to does not matter here."""
    given = {"form": "actors", "preset": preset, "identities": PEOPLE, "exported": (0, 1), "shared_encoder": False}
    run = Run(**{**given, "seed": 3, "backend": "tensorflow", "data": {"faces": 9}, **changes})  # type: ignore[arg-type]
    model, _ = run.network()
    rng = np.random.default_rng(0)
    mean = [np.abs(w + rng.normal(0, 0.05, w.shape)) if w.min(initial=1) == 1 else w + rng.normal(0, 0.05, w.shape)
            for w in model.get_weights()]  # fmt: skip
    run.write(folder)
    np.savez(folder / "weights.npz", *model.get_weights(), *mean)
    progress = Progress(step=40, samples=640, seconds=90.0, loss=0.5, psnr_db=21.0).__dict__
    (folder / "state.json").write_text(json.dumps({"plan": Plan(preset=preset).__dict__, "progress": progress}))
    for name in ("portrait.jpg", "face.jpg"):
        (folder / name).write_bytes(JPEG)
    return run


@pytest.fixture(scope="module")
def verifier() -> TokenVerifier:
    return TokenVerifier("")


def test_every_identity_becomes_a_package_that_is_read_and_run(
    tmp_path: Path, tiny: str, verifier: TokenVerifier
) -> None:
    run = finished_run(tmp_path / "run", tiny)
    made = export_run(tmp_path / "run", tmp_path / "store", quiet)
    assert [package.folder.name for package in made] == ["ada", "ben"]
    assert all(package.difference < 2 / 255 for package in made)
    model, faces = trained(tmp_path / "run", run), checked_faces(32)
    for number, package in enumerate(made):
        read = read_package(package.folder, verifier)
        assert read.engine == "autoencoder" and read.engines == ("autoencoder", "photo")
        assert read.card["training"]["step"] == 40 and read.card["training"]["seed"] == 3
        assert read.card["metrics"]["held_out_psnr_db"] == 21.0
        served, wanted = served_and_trained(AutoencoderEngine(PackageFiles(package.folder)), model, number, faces)
        other = served_and_trained(AutoencoderEngine(PackageFiles(package.folder)), model, 1 - number, faces)[1]
        assert np.abs(served - wanted).mean() < np.abs(served - other).mean()


def test_the_shared_encoder_is_written_once(tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = tmp_path / "encoder.tflite"
    monkeypatch.setattr(engine_module, "SHARED_ENCODER", encoder)
    # The project's own may have been loaded before.
    monkeypatch.setattr(engine_module, "_shared_encoder_file", encoder.read_bytes)
    monkeypatch.setattr(engine_module, "_shared", engine_module._Networks())
    finished_run(tmp_path / "run", tiny)
    made = export_run(tmp_path / "run", tmp_path / "store", quiet, shared_encoder=encoder)
    assert encoder.is_file()
    assert not any((package.folder / "encoder.tflite").exists() for package in made)
    assert AutoencoderEngine(PackageFiles(made[0].folder)).crop_size == 32


def test_a_retouch_changes_a_package_that_is_there(tmp_path: Path, tiny: str) -> None:
    finished_run(tmp_path / "run", tiny, form="retouch", exported=(1,), data={"side": "left"})
    with pytest.raises(RunRefused, match="no package ben to retouch"):
        export_run(tmp_path / "run", tmp_path / "store", quiet)
    assert not (tmp_path / "store").exists()
    package = tmp_path / "store" / "ben"
    package.mkdir(parents=True)
    (package / "identity.json").write_text("{")
    with pytest.raises(RunRefused, match="no package ben to retouch"):
        export_run(tmp_path / "run", tmp_path / "store", quiet)
    (package / "identity.json").write_text(json.dumps({"id": "ben", "name": "Bendix", "training": {"seed": 111}}))
    export_run(tmp_path / "run", tmp_path / "store", quiet)
    card = json.loads((package / "identity.json").read_text())
    assert card["name"] == "Bendix" and {"decoder.tflite", "maps.npz"} <= set(card["files"])
    assert card["training"]["seed"] == 111
    assert card["training"]["retouch"]["side"] == "left" and card["training"]["retouch"]["step"] == 40


def test_a_run_on_the_shared_encoder_needs_it(tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaging, "SHARED_ENCODER", tmp_path / "encoder.tflite")
    finished_run(tmp_path / "run", tiny, shared_encoder=True)
    with pytest.raises(RunRefused, match=r"encoder\.tflite is missing"):
        export_run(tmp_path / "run", tmp_path / "store", quiet)


def test_what_the_gallery_says_of_a_persona_stays(tmp_path: Path, tiny: str, verifier: TokenVerifier) -> None:
    finished_run(tmp_path / "run", tiny, exported=(0,))
    export_run(tmp_path / "run", tmp_path / "store", quiet)
    card = tmp_path / "store" / "ada" / "identity.json"
    told = json.loads(card.read_text()) | {"name": "Adelheid", "provenance": "nobody", "metrics": {"psnr_db": 27.0}}
    card.write_text(json.dumps(told))
    export_run(tmp_path / "run", tmp_path / "store", quiet)
    read = read_package(card.parent, verifier)
    assert read.name == "Adelheid" and read.card["provenance"] == "nobody"
    assert read.card["metrics"] == {"psnr_db": 27.0} | {
        name: read.card["metrics"][name] for name in ("int8_difference_of_255", "held_out_psnr_db")
    }


def test_the_original_s_decoder_is_served_with_a_mask_of_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prediction_model.training import original

    # The shapes of the original, and none of its size: eighty million numbers take minutes.
    monkeypatch.setattr(original, "ENCODER", (4, 4, 8, 8))
    monkeypatch.setattr(original, "DENSE", 8)
    monkeypatch.setattr(original, "DECODER", (8, 4, 4))
    finished_run(tmp_path / "run", "original", form="footage", exported=(1,))
    (made,) = export_run(tmp_path / "run", tmp_path / "store", quiet)
    assert made.folder.name == "ben"
    engine = AutoencoderEngine(PackageFiles(made.folder))
    (swapped,) = engine.swap(checked_faces(64)[:1])
    assert engine.crop_size == 64 and swapped.face.shape == (64, 64, 3)
    assert swapped.mask.min() == swapped.mask.max() == 1


def test_a_network_that_int8_changes_is_refused(tmp_path: Path, tiny: str) -> None:
    wanted = np.full((1, 8, 8, 4), 0.5, np.float32)
    assert check(wanted + 1.9 / 255, wanted) == pytest.approx(1.9 / 255, rel=1e-3)
    with pytest.raises(ExportRefused, match=r"2\.10 of 255"):
        check(wanted + 2.1 / 255, wanted)


def test_nothing_is_written_when_the_check_fails(tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prediction_model.training.export.LARGEST_MEAN_DIFFERENCE", -1.0)
    finished_run(tmp_path / "run", tiny, exported=(0,))
    with pytest.raises(ExportRefused):
        export_run(tmp_path / "run", tmp_path / "store", quiet)
    assert not (tmp_path / "store" / "ada").exists()


def test_a_real_person_s_package_is_refused_without_a_consent(
    tmp_path: Path, tiny: str, verifier: TokenVerifier
) -> None:
    people = (Identity("me", "Me", "self", consent="not.a.token"),)
    finished_run(tmp_path / "run", tiny, form="photo", identities=people, exported=(0,))
    (made,) = export_run(tmp_path / "run", tmp_path / "store", quiet)
    with pytest.raises(PackageRefused, match="consent does not hold"):
        read_package(made.folder, verifier)


@pytest.mark.parametrize("content", ["", "{}", '{"form": "actors", "identities": [1]}'])
def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunRefused, match=r"run\.json"):
        export_run(tmp_path, tmp_path / "store", quiet)


def test_weights_of_another_network_are_refused(tmp_path: Path, tiny: str) -> None:
    finished_run(tmp_path, tiny)
    run = Run("actors", tiny, (*PEOPLE, Identity("eve", "Eve", "synthetic")), (0,), False, 0, "tensorflow")
    with pytest.raises(RunRefused, match="3 identities"):
        export_run(tmp_path, tmp_path / "store", quiet, run)


def test_an_onnx_file_gives_what_was_trained(tmp_path: Path, tiny: str) -> None:
    pytest.importorskip("tf2onnx", reason="tf2onnx is in the extra [onnx]")
    runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is in the extra [onnx]")
    run = finished_run(tmp_path, tiny)
    paths = packaging.write_onnx_files(tmp_path, run)
    assert [path.name for path in paths] == ["ada.onnx", "ben.onnx"]
    crop = checked_faces(32)[0].crop[None]
    session = runtime.InferenceSession(str(paths[1]))
    (made,) = session.run(None, {session.get_inputs()[0].name: crop})
    model = trained(tmp_path, run)
    wanted = keras.ops.convert_to_numpy(model([crop, np.array([1], np.int32)]))
    assert np.abs(made - wanted).max() < 1e-4
