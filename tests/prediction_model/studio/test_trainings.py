"""Trainings of enrolled identities: how they run, end, and are deleted."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from prediction_model.errors import UnknownTraining
from prediction_model.faces.finder import FaceFinder
from prediction_model.identities.package import CARD
from prediction_model.identities.sealing import MAGIC, StoreKey
from prediction_model.studio.comparison import FEWEST_PAIRS
from prediction_model.studio.trainings import STATE, Trainings
from tests.prediction_model.keys import Signer
from tests.prediction_model.studio.room import Room

TRAINS = find_spec("keras") is not None


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


def test_the_preview_of_a_training_that_ended_is_sealed(room: Room, gallery: Path) -> None:
    sheet, training = (gallery / "p8" / "face.jpg").read_bytes(), "0" * 16
    note(room.trainings, training)
    folder = room.trainings / training
    (folder / "run").mkdir()
    (folder / "run" / "preview.jpg").write_bytes(sheet)
    for _ in range(2):  # a second start finds it sealed
        trainings = Trainings(room.trainings, room.enrolment, 60)
        assert trainings.get(training)["preview"] and trainings.preview(training) == sheet
        assert {path.name for path in folder.iterdir()} == {STATE, "preview.jpg"}
        assert (folder / "preview.jpg").read_bytes().startswith(MAGIC)
    (folder / "preview.jpg").write_bytes(StoreKey(bytes(32)).seal("me", "preview.jpg", sheet))
    with pytest.raises(UnknownTraining):
        trainings.preview(training)


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
def test_a_training_runs_tells_its_progress_and_ends(
    gallery: Path, tmp_path: Path, finder: FaceFinder, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder and behind a URL, both at once: most of their time is that of a single core."""
    signer = Signer()
    monkeypatch.setenv("FACESWAP_VERIFY_KEY", signer.verify_key)
    begun: list[tuple[Room, Trainings, str]] = []
    for name, place in (("folder", str(tmp_path / "store")), ("url", memory)):
        room = Room(place, gallery, tmp_path / name, finder, signer)
        package = room.enrol()
        trainings = Trainings(room.trainings, room.enrolment, seconds=3)
        training = trainings.start(package).training
        assert trainings.start(package).training == training, "one at a time for one identity"
        begun.append((room, trainings, training))
    for each in begun:
        check_that_it_ends(*each)


def check_that_it_ends(room: Room, trainings: Trainings, training: str) -> None:
    until(lambda: trainings.get(training)["state"] in ("done", "failed"), 500)
    told = trainings.get(training)
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
    assert told["preview"] and trainings.preview(training).startswith(b"\xff\xd8")
    kept = {path.name for path in (room.trainings / training).iterdir()}
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
@pytest.mark.skipif(not TRAINS, reason="what trains is not installed: `python3 run.py --train`")
def test_deleting_an_identity_stops_its_training(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACESWAP_VERIFY_KEY", room.signer.verify_key)
    trainings = Trainings(room.trainings, room.enrolment, seconds=300)
    training = trainings.start(room.enrol())
    folder = room.trainings / training.training
    until(lambda: (folder / "log").is_file(), 120)
    trainings.forget("me")
    until(lambda: not folder.exists(), 120)
    assert not (room.trainings / "me" / CARD).exists()
