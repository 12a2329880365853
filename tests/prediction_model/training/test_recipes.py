"""The three ways to train, two steps each on a tiny preset."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from prediction_model.errors import RunRefused, TrainingDataRefused
from prediction_model.training import original, recipes
from prediction_model.training.actors import GREY, Performance, over
from prediction_model.training.face_folder import FaceFolder, FaceRecord, stored
from prediction_model.training.identity import Identity
from prediction_model.training.networks import autoencoder
from prediction_model.training.pairs import Pairs
from prediction_model.training.performances import PERSONAS, bundled
from prediction_model.training.presets import PRESETS
from prediction_model.training.recipes import Setup, train_actors, train_footage, train_photo
from prediction_model.training.runs import Run
from prediction_model.training.shared import load_shared, save_shared
from prediction_model.training.trainer import Plan, Progress, read_weights

ADA = Identity("ada", "Ada", "synthetic")


@pytest.fixture(autouse=True)
def little(eagerly: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "HELD_OUT", 4)
    monkeypatch.setattr(recipes, "BLENDS", 2)
    monkeypatch.setattr(recipes, "SMALLEST_DISGUISED", 16)
    monkeypatch.setattr(recipes, "DISGUISED_FACES", 16)


@pytest.fixture(scope="module")
def given() -> list[Performance]:
    return bundled()[0]


@pytest.fixture(scope="module")
def photograph(given: list[Performance]) -> np.ndarray:
    neutral = bundled()[1]
    face = next(p for p in given if p.actor == "p1" and p.index == neutral)
    return np.asarray(cv2.resize(over(face.picture, GREY), None, fx=2, fy=2), np.uint8)


def silent(progress: Progress, speed: float) -> None:
    pass


def setup(folder: Path, preset: str, shared: Path | None = None, **changes: object) -> Setup:
    plan = Plan(**{"preset": preset, "batch_size": 2, "steps": 2, "warm_up_steps": 1, **changes})  # type: ignore[arg-type]
    return Setup(folder, plan, "tensorflow", None, shared, silent, lambda text: None)


def shared_of(folder: Path, preset: str) -> Path:
    save_shared(folder / "shared.npz", autoencoder(PRESETS[preset], 2), preset)
    return folder / "shared.npz"


def faces_of(folder: Path, given: list[Performance], actor: str, count: int = 10) -> Path:
    """A folder as `extract` writes it, of one of the personas."""
    faces = FaceFolder(folder / actor)
    faces.make()
    for p in [p for p in given if p.actor == actor][:count]:
        record = FaceRecord(f"f{p.index}", "clip.mp4", p.index, 0.0, 0.5, 150.0, 0.0)
        faces.write(record, *stored(over(p.picture, GREY), p.mesh))
    return folder / actor


def test_a_photograph_trains_its_identity_alone_and_leaves_the_shared_encoder(
    tmp_path: Path, tiny: str, photograph: np.ndarray
) -> None:
    shared = shared_of(tmp_path, tiny)
    run, ended = train_photo(setup(tmp_path / "run", tiny, shared), photograph, "ada.jpg", ADA)
    assert ended and Run.read(tmp_path / "run") == run
    assert run.shared_encoder and run.exported == (0,) and run.data["performances"] == 48
    model, _ = run.network()
    weights, _ = read_weights(tmp_path / "run" / "weights.npz")
    model.set_weights(weights)
    before = load_shared(shared, PRESETS[tiny])
    for part, same in (("encoder", True), ("decoder", False)):
        pairs = zip(before.get_layer(part).get_weights(), model.get_layer(part).get_weights(), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs) is same
    for name in ("portrait.jpg", "face.jpg", "preview.jpg"):
        assert cv2.imread(str(tmp_path / "run" / name)) is not None
    adas = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    ben, bens = Identity("ben", "Ben", "synthetic"), np.ascontiguousarray(photograph[:, ::-1])
    with pytest.raises(RunRefused, match="trains ada from photo"):
        train_photo(setup(tmp_path / "run", tiny, shared), bens, "ben.jpg", ben)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()} == adas


def test_footage_trains_its_identity(tmp_path: Path, tiny: str, given: list[Performance]) -> None:
    faces = faces_of(tmp_path, given, "p1")
    run, ended = train_footage(setup(tmp_path / "run", tiny), faces, None, ADA)
    assert ended and not run.shared_encoder
    assert run.data == {"faces": 10, "wearer_faces": 0}


def test_the_original_swaps_between_two_people(
    tmp_path: Path, given: list[Performance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(original, "ENCODER", (4, 4, 8, 8))
    monkeypatch.setattr(original, "DENSE", 8)
    monkeypatch.setattr(original, "DECODER", (8, 4, 4))
    faces, wearer = (faces_of(tmp_path, given, actor) for actor in ("p1", "p5"))
    with pytest.raises(TrainingDataRefused, match="--wearer"):
        train_footage(setup(tmp_path / "run", "original"), faces, None, ADA)
    run, ended = train_footage(setup(tmp_path / "run", "original"), faces, wearer, ADA)
    assert ended and run.exported == (1,) and [identity.id for identity in run.identities] == ["wearer", "ada"]


def test_actors_train_all_eight_and_keep_what_is_measured_apart(
    tmp_path: Path, tiny: str, given: list[Performance], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, seen = tmp_path / "actors", []
    chosen = sorted({p.index for p in given})[:2]
    for p in (p for p in given if p.index in chosen):
        names = [p.actor, *{"p2": ["s00"], "p3": ["s01"], "p4": ["s52"]}.get(p.actor, [])]
        for name in names:
            (data / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(data / name / f"{p.index:04d}.webp"), p.picture)

    def watched(sources: list[Performance], *rest: object) -> object:
        seen.append({p.actor for p in sources})
        return Pairs(sources, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(recipes, "Pairs", watched)
    run, ended = train_actors(setup(tmp_path / "run", tiny), data)
    assert ended and [identity.id for identity in run.identities] == list(PERSONAS)
    assert run.exported == tuple(range(8)) and not run.shared_encoder
    learnt, measured = seen
    assert "s52" not in learnt and {"s00", "s01", *PERSONAS} <= learnt and any("+" in name for name in learnt)
    assert measured == {"s52"}


def test_another_folder_than_the_actors_is_a_sentence(tmp_path: Path, tiny: str) -> None:
    with pytest.raises(TrainingDataRefused, match="not the actors' folder"):
        train_actors(setup(tmp_path / "run", tiny), tmp_path)


@pytest.mark.parametrize("train", ["actors", "photo"])
def test_the_original_needs_footage(tmp_path: Path, train: str, photograph: np.ndarray) -> None:
    settings = setup(tmp_path / "run", "original")
    with pytest.raises(RunRefused, match="train footage"):
        train_actors(settings, tmp_path) if train == "actors" else train_photo(settings, photograph, "a.jpg", ADA)
