"""Enrolled identities and their trainings, in their folders: what is improved, what is gone, what a restart leaves."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import fsspec
import numpy as np
import numpy.typing as npt
import pytest

from prediction_model.errors import PackageRefused, PredictionError, UnknownIdentity, UnknownTraining
from prediction_model.faces.finder import FaceFinder
from prediction_model.identities.package import CARD, IdentityPackage, read_package
from prediction_model.identities.store import IdentityStore
from prediction_model.studio.comparison import FEWEST_PAIRS, Comparison, Swapped, compare, expression_errors, judge
from prediction_model.studio.enrolment import CHANGE, PARTIAL, Enrolment
from prediction_model.studio.trainings import STATE, Trainings
from prediction_model.tokens import TokenVerifier
from prediction_model.types import PARTS
from tests.prediction_model.keys import Signer

TRAINS = find_spec("keras") is not None
TRAINED_CARD: dict[str, Any] = {
    "id": "me",
    "name": "another name",
    "engine": "autoencoder",
    "engines": ["autoencoder", "photo"],
    "live_parts": ["mouth"],
    "metrics": {"held_out_psnr_db": 25.0},
}


class Room:
    """A store of enrolled identities, with one in it."""

    def __init__(self, place: str, gallery: Path, folder: Path, finder: FaceFinder) -> None:
        self.place = place
        self.signer = Signer()
        self.tokens = TokenVerifier(self.signer.verify_key)
        self.identities = IdentityStore([gallery, place], self.tokens, folder / "cache", ask_every=0)
        self.enrolment = Enrolment(place, gallery, self.identities, self.tokens)
        self.trainings = folder / "trainings"
        self._gallery, self._finder = gallery, finder

    def enrol(self, identity: str = "me") -> IdentityPackage:
        consent, _ = self.signer.consent(identity, "self")
        picture = np.asarray(cv2.imread(str(self._gallery / "p8" / "face.jpg")), np.uint8)
        card = {"name": "Me", "kind": "self", "consent": consent}
        return self.enrolment.add(identity, card, picture, self._finder)

    def trained(self, folder: Path) -> Path:
        """What a training makes, as far as a store looks at it."""
        folder.mkdir()
        (folder / "decoder.tflite").write_bytes(b"weights")
        (folder / "face.jpg").write_bytes(b"not to be used")
        return folder


@pytest.fixture(params=["folder", "url"])
def room(request: pytest.FixtureRequest, gallery: Path, tmp_path: Path, finder: FaceFinder) -> Room:
    place = str(tmp_path / "store")
    if request.param == "url":
        place = f"memory://{tmp_path.name}"
        memory = fsspec.filesystem("memory")
        request.addfinalizer(lambda: memory.rm(f"/{tmp_path.name}", recursive=True))
        memory.makedirs(f"/{tmp_path.name}", exist_ok=True)
    return Room(place, gallery, tmp_path, finder)


def test_an_enrolled_identity_is_found_and_gone_when_removed(room: Room, tmp_path: Path) -> None:
    package = room.enrol()
    assert (package.id, package.name, package.engines) == ("me", "Me", ("photo",))
    room.enrolment.remove("me")
    with pytest.raises(UnknownIdentity):
        room.identities.get("me")
    left = [path for folder in ("store", "cache") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    assert left == []


def test_training_adds_the_engine_and_keeps_pictures_name_and_consent(room: Room, tmp_path: Path) -> None:
    before = room.enrol()
    face, consent = (before.folder / "face.jpg").read_bytes(), before.consent_hash
    room.enrolment.improve("me", room.trained(tmp_path / "made"), TRAINED_CARD)
    after = room.identities.get("me")
    assert (after.engine, after.engines) == ("autoencoder", ("autoencoder", "photo"))
    assert after.live_parts == ("mouth",), "as it was measured to be better"
    assert (after.name, after.consent_hash) == ("Me", consent)
    assert (after.folder / "face.jpg").read_bytes() == face
    assert (after.folder / "decoder.tflite").read_bytes() == b"weights"


def test_training_does_not_bring_a_deleted_identity_back(room: Room, tmp_path: Path) -> None:
    room.enrol()
    room.enrolment.remove("me")
    with pytest.raises(UnknownIdentity):
        room.enrolment.improve("me", room.trained(tmp_path / "made"), TRAINED_CARD)
    with pytest.raises(UnknownIdentity):
        room.identities.get("me")


def test_nobody_is_refused_a_package_that_is_being_improved(room: Room, tmp_path: Path) -> None:
    folder = room.enrol().folder
    made = room.trained(tmp_path / "made")
    url = room.place if "://" in room.place else None
    stop, models = threading.Event(), set[str | None]()
    refused: list[PredictionError] = []
    turns = threading.Semaphore(0)

    def package(number: int) -> IdentityPackage:
        """As a worker reads it that has no copy yet."""
        if url is None:
            return read_package(folder, room.tokens)
        return IdentityStore([url], room.tokens, tmp_path / "caches" / str(number), ask_every=0).get("me")

    def read() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            turns.release()
            try:
                models.add(package(number).card["files"].get("decoder.tflite"))
            except PredictionError as error:
                refused.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(12):
            (made / "decoder.tflite").write_bytes(bytes([number]) * 100_000)
            room.enrolment.improve("me", made, TRAINED_CARD)
            while turns.acquire(blocking=False):
                pass
            assert turns.acquire(timeout=20), "it reads no more"
    finally:
        stop.set()
        reader.join()
    assert not refused, refused[0]
    assert len(models) > 2, "it read before, between and after"
    if url is None:
        assert [path for path in folder.iterdir() if path.name.startswith(".")] == []
    else:
        kept = fsspec.filesystem("memory").glob(f"/{tmp_path.name}/me/decoder.tflite*")
        assert len(kept) == 2, "this one, and the one before, which somebody may be reading"


def test_a_restart_ends_an_improvement_that_was_killed(gallery: Path, tmp_path: Path, finder: FaceFinder) -> None:
    room = Room(str(tmp_path / "store"), gallery, tmp_path, finder)
    folder = room.enrol().folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    room.enrolment.improve("me", room.trained(tmp_path / "made"), TRAINED_CARD)
    (folder / CHANGE).mkdir()
    (folder / CARD).rename(folder / CHANGE / CARD)
    (folder / CARD).write_bytes(before[CARD])
    with pytest.raises(PackageRefused):
        read_package(folder, room.tokens)
    Room(str(tmp_path / "store"), gallery, tmp_path, finder)
    assert read_package(folder, room.tokens).engine == "autoencoder"
    assert not (folder / CHANGE).exists()
    (folder / CARD).rename(tmp_path / "aside")
    (folder / CHANGE).mkdir()
    (tmp_path / "aside").rename(folder / CHANGE / CARD)
    Room(str(tmp_path / "store"), gallery, tmp_path, finder)
    assert not list(folder.rglob(CARD)), "one that was being deleted does not come back"


@pytest.mark.parametrize("store", ["folder", "url"])
def test_no_face_is_left_of_an_enrolment_that_was_killed(
    store: str, gallery: Path, tmp_path: Path, finder: FaceFinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    place = tmp_path / "store" if store == "folder" else tmp_path / "temporary"

    def leave(name: str, age: float) -> Path:
        parent = place / f"{PARTIAL}{name}"
        (parent / "me").mkdir(parents=True)
        (parent / "me" / "face.jpg").write_bytes(b"a face")
        os.utime(parent, (time.time() - age, time.time() - age))
        return parent

    left, present = leave("left", 3600), leave("present", 0)
    room = Room(str(tmp_path / "store") if store == "folder" else f"file://{tmp_path}/store", gallery, tmp_path, finder)
    assert not left.exists()
    assert present.exists(), "somebody enrols at this moment"
    os.utime(present, (0, 0))
    room.enrol()
    assert not present.exists(), "looked for at the next enrolment too"


def note(folder: Path, training: str, **fields: Any) -> None:
    (folder / training).mkdir(parents=True)
    state = {"training": training, "identity": "me", "state": "running", "progress": 0.5}
    (folder / training / STATE).write_text(json.dumps({**state, **fields}))


HOLDER = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()
"""
"""Watches over the training in a folder, as another worker does, until it is killed."""


def test_a_training_whose_service_was_stopped_has_failed(room: Room) -> None:
    unbegun = room.trainings / ("2" * 16)
    unbegun.mkdir(parents=True)
    (unbegun / "face.jpg").write_bytes(b"a face")
    for training in ("0" * 16, "1" * 16):
        note(room.trainings, training)
        (room.trainings / training / "run").mkdir()
        (room.trainings / training / "run" / "weights.npz").write_bytes(b"weights")
    command = [sys.executable, "-c", HOLDER, str(room.trainings / ("1" * 16))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"\n"
        trainings = Trainings(room.trainings, room.enrolment, 60)
        stopped, running = trainings.get("0" * 16), trainings.get("1" * 16)
        assert stopped["state"] == "failed" and "start the training again" in stopped["reason"]
        assert (running["state"], running["progress"], running["preview"]) == ("running", 0.5, False)
        assert [path.parts[-3] for path in room.trainings.rglob("weights.npz")] == ["1" * 16], "of the other one"
        assert not unbegun.exists(), "a face that no training has"
        holder.kill()
        holder.wait()
    assert trainings.get("1" * 16)["state"] == "failed"
    Trainings(room.trainings, room.enrolment, 60)
    assert not list(room.trainings.rglob("weights.npz"))


def test_an_identitys_trainings_go_with_it(room: Room) -> None:
    note(room.trainings, "0" * 16)
    note(room.trainings, "1" * 16, identity="you")
    trainings = Trainings(room.trainings, room.enrolment, 60)
    trainings.forget("me")
    with pytest.raises(UnknownTraining):
        trainings.get("0" * 16)
    assert trainings.get("1" * 16)["identity"] == "you"
    for unknown in ("2" * 16, "..", "", "0" * 16 + "\n"):
        for ask in (trainings.get, trainings.preview):
            with pytest.raises(UnknownTraining):
                ask(unknown)


def until(held: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not held():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.skipif(not TRAINS, reason="what trains is not installed: `python3 run.py --train`")
def test_a_training_runs_tells_its_progress_and_ends(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACESWAP_VERIFY_KEY", room.signer.verify_key)
    package = room.enrol()
    trainings = Trainings(room.trainings, room.enrolment, seconds=3)
    training = trainings.start(package)
    assert trainings.start(package).training == training.training, "one at a time for one identity"
    until(lambda: trainings.get(training.training)["state"] in ("done", "failed"), 500)
    told = trainings.get(training.training)
    assert (told["state"], told["progress"], told["seconds_left"]) == ("done", 1, None), told
    measured = told["measured"]
    assert measured["pairs"] >= FEWEST_PAIRS
    nearer = measured["autoencoder"]["identity_distance"] < measured["photo"]["identity_distance"]
    if told["better"]:
        assert nearer and room.identities.get("me").engines == ("autoencoder", "photo") == tuple(told["engines"])
        assert room.identities.get("me").card["metrics"]["comparison"] == measured
    else:
        assert "the photograph, which stays in use" in told["reason"] and told["engines"] is None
        assert room.identities.get("me").engines == ("photo",)
    assert told["preview"] and trainings.preview(training.training).startswith(b"\xff\xd8")
    kept = {path.name for path in (room.trainings / training.training).iterdir()}
    assert kept == {STATE, "preview.jpg"}, "no photograph and no weights are left lying about"


def test_a_cancelled_training_is_gone(room: Room) -> None:
    note(room.trainings, "0" * 16)
    trainings = Trainings(room.trainings, room.enrolment, 60)
    for _ in range(2):
        trainings.cancel("0" * 16)
    assert list(room.trainings.iterdir()) == []
    trainings.cancel("..")
    assert room.trainings.is_dir()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("dlib") is None, reason="dlib is not installed")
def test_a_model_is_better_than_its_photograph_and_anothers_is_not(gallery: Path, tmp_path: Path) -> None:
    own, anothers = tmp_path / "p4", tmp_path / "mixed"
    shutil.copytree(gallery / "p4", own)
    shutil.copytree(gallery / "p8", anothers)
    shutil.copyfile(gallery / "p4" / "face.jpg", anothers / "face.jpg")
    assert compare(own).better
    found = compare(anothers)
    assert not found.nearer and not found.better
    assert found.photo == compare(own).photo, "the same faces, measured the same"


def test_what_chance_explains_is_neither_nearer_nor_as_good() -> None:
    rng = np.random.default_rng(0)
    actors = [f"p{number}" for number in range(1, 9) for _ in range(6)]
    photo = np.stack([rng.normal(0.4, 0.05, 48), rng.normal(0.1, 0.02, 48)], axis=1)
    noise = rng.normal(0, 0.02, (48, 2))

    def judged(identity: float, expression: float, noise: npt.NDArray[np.float64] = noise) -> Comparison:
        return judge(np.stack([photo, photo + noise + [identity, expression]], axis=1), actors, PARTS)

    same = judged(0, 0)
    assert (same.nearer, same.keeps_expression, same.better) == (False, True, False)
    assert judged(-0.1, 0).better and judged(-0.1, -0.05).better
    assert not judged(-0.1, 0.05).better, "nearer, but its expressions are worse"
    assert not judged(0.1, -0.05).better, "better expressions, but of somebody else"
    loud = noise * [1, 6]
    assert not judged(-0.1, 0, loud).keeps_expression, "what cannot be told is not taken for as good"
    one_actor = noise + np.repeat([[-0.4, 0.0], *[[0.02, 0.0]] * 7], 6, axis=0)
    assert not judged(0, 0, one_actor).nearer, "nearer in one actor's six faces says little"


def test_narrow_eyes_that_blink_along_are_no_worse_expression() -> None:
    gaps = np.array([0.2, 0.2, 0.2, 0.02, 0.1, 0.2])

    def errors(made: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        faces = [Swapped(0.4, (0.1, float(a)), (0.1, float(b))) for a, b in zip(gaps, made, strict=True)]
        return expression_errors(["a"] * len(faces), faces)

    assert errors(gaps / 2).max() < 1e-6, "narrow eyes, and they follow"
    assert errors(np.full(len(gaps), 0.2)).max() > 0.8, "eyes that never shut"


@pytest.mark.slow
@pytest.mark.skipif(not TRAINS, reason="what trains is not installed: `python3 run.py --train`")
def test_deleting_an_identity_stops_its_training(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACESWAP_VERIFY_KEY", room.signer.verify_key)
    trainings = Trainings(room.trainings, room.enrolment, seconds=300)
    training = trainings.start(room.enrol())
    folder = room.trainings / training.training
    until(lambda: (folder / "log").is_file(), 30)
    trainings.forget("me")
    until(lambda: not folder.exists(), 30)
    assert not (room.trainings / "me" / CARD).exists()
