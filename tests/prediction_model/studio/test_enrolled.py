"""Enrolled identities in their stores: what is improved, what is gone, what a restart leaves."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
import pytest

from prediction_model.errors import PackageRefused, PredictionError, StoreKeyMissing, UnknownIdentity
from prediction_model.faces.finder import FaceFinder
from prediction_model.identities.package import CARD, IdentityPackage, read_package, write_card
from prediction_model.identities.sealing import MAGIC
from prediction_model.identities.store import IdentityStore
from prediction_model.studio.enrolment import CHANGE, PARTIAL, Enrolment
from prediction_model.studio.trainings import Trainings
from tests.prediction_model.studio.room import JFIF, TRAINED_CARD, Room


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
    face, consent = before.files.read("face.jpg"), before.consent_hash
    room.enrolment.improve("me", room.trained(tmp_path / "made"), TRAINED_CARD)
    after = room.identities.get("me")
    assert (after.engine, after.engines) == ("autoencoder", ("autoencoder", "photo"))
    assert after.live_parts == ("mouth",), "as it was measured to be better"
    assert (after.name, after.consent_hash) == ("Me", consent)
    assert after.files.read("face.jpg") == face
    assert after.files.read("decoder.tflite") == b"weights"


def test_nothing_of_a_face_is_readable_where_it_is_kept_nor_while_it_is_made(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_making: dict[str, bytes] = {}

    def noted(folder: Path, card: Mapping[str, Any]) -> None:
        in_the_making.update({f"{len(in_the_making)} {path.name}": path.read_bytes() for path in folder.iterdir()})
        write_card(folder, card)

    monkeypatch.setattr("prediction_model.studio.enrolment.write_card", noted)
    room.enrol()
    made = tmp_path / "training" / "made"
    made.parent.mkdir()
    (room.trained(made) / "decoder.tflite").write_bytes(b"weights of a face" * 10)
    room.enrolment.improve("me", made, TRAINED_CARD)
    package = room.identities.get("me")
    content = {name: package.files.read(name) for name in package.card["files"]}
    assert content["face.jpg"].startswith(JFIF) and content["decoder.tflite"] == b"weights of a face" * 10
    shutil.rmtree(made.parent)
    written = room.written(tmp_path)
    assert len(written) >= 4 and len(in_the_making) == 5, "two pictures; then those and the weights"
    for where, stored in {**written, **in_the_making}.items():
        assert where.endswith(CARD) or stored.startswith(MAGIC), where
        assert not [name for name, plain in content.items() if plain[:64] in stored or plain[-64:] in stored], where


def test_without_a_key_nobody_is_enrolled_or_trained(
    gallery: Path, tmp_path: Path, finder: FaceFinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(str(tmp_path / "store"), gallery, tmp_path, finder)
    package = room.enrol()
    before = room.written(tmp_path)
    room.enrolment = Enrolment(room.place, gallery, room.identities, room.tokens, None)
    with pytest.raises(StoreKeyMissing, match="FACESWAP_STORE_KEY"):
        room.enrol("you")
    with pytest.raises(StoreKeyMissing):
        room.enrolment.improve("me", room.trained(tmp_path / "made"), TRAINED_CARD)
    shutil.rmtree(tmp_path / "made")
    monkeypatch.setattr("prediction_model.studio.trainings.check_tensorflow", lambda what: None)
    with pytest.raises(StoreKeyMissing):
        Trainings(room.trainings, room.enrolment, 60).start(package)
    assert room.written(tmp_path) == before
    room.enrolment.remove("me")
    assert not room.written(tmp_path), "what is there can be deleted"


@pytest.mark.parametrize("trained", [False, True], ids=["photograph", "trained"])
def test_a_plain_package_is_worn_and_can_be_sealed(room: Room, tmp_path: Path, trained: bool) -> None:
    folder = tmp_path / "plain" / "me"
    shutil.copytree(room.gallery / "p8", folder)
    consent, digest = room.signer.consent("me", "self")
    card = json.loads((folder / CARD).read_text())
    write_card(folder, {**card, "id": "me", "kind": "self", "consent": consent, "consent_hash": digest})
    shutil.copytree(folder, tmp_path / "store" / "me")
    if "://" in room.place:
        fsspec.filesystem("memory").put(str(folder), f"/{tmp_path.name}/me", recursive=True)
        shutil.rmtree(tmp_path / "store")
    content = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != CARD}
    shutil.rmtree(tmp_path / "plain")
    if trained:
        content["decoder.tflite"] = b"weights"
        room.enrolment.improve("me", room.trained(tmp_path / "made"), TRAINED_CARD)
        shutil.rmtree(tmp_path / "made")
    assert room.identities.get("me").files.sealed is trained
    for _ in range(2):
        room.enrolment.seal("me")
        package = room.identities.get("me")
        assert {name: package.files.read(name) for name in package.card["files"]} == content
        for where, stored in room.written(tmp_path).items():
            assert where.endswith(CARD) or stored.startswith(MAGIC), where
    assert package.consent_hash == digest


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
            return read_package(folder, room.tokens, room.key)
        return IdentityStore([url], room.tokens, tmp_path / "caches" / str(number), ask_every=0, key=room.key).get("me")

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
        read_package(folder, room.tokens, room.key)
    Room(str(tmp_path / "store"), gallery, tmp_path, finder)
    assert read_package(folder, room.tokens, room.key).engine == "autoencoder"
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
