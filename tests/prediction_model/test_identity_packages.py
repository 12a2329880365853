"""A package is served when its hashes, kind and consent hold; otherwise it is refused with the reason."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from prediction_model.engines.cache import EngineCache
from prediction_model.errors import PackageRefused, StoreUnreachable, UnknownIdentity
from prediction_model.faces.detect import BlazeFace
from prediction_model.faces.finder import FaceFinder
from prediction_model.identities.package import CARD, IdentityPackage, read_package, write_card
from prediction_model.identities.store import BELIEVED_SECONDS, IdentityStore
from prediction_model.tokens import TokenVerifier
from tests.prediction_model.keys import Signer

Copy = Callable[..., Path]


@pytest.fixture
def signer() -> Signer:
    return Signer()


@pytest.fixture
def tokens(signer: Signer) -> TokenVerifier:
    return TokenVerifier(signer.verify_key)


@pytest.fixture
def copy(gallery: Path, tmp_path: Path) -> Copy:
    """A copy of p2 under another id, whose card was changed and whose hashes hold."""

    def make(identity: str = "p2", **changes: Any) -> Path:
        folder = tmp_path / identity
        shutil.copytree(gallery / "p2", folder)
        write_card(folder, {**json.loads((folder / CARD).read_text()), "id": identity, **changes})
        return folder

    return make


def test_the_shipped_eight_hold(gallery: Path) -> None:
    packages = IdentityStore([gallery], TokenVerifier("")).packages()
    assert [package.id for package in packages] == [f"p{number}" for number in range(1, 9)]
    assert {package.kind for package in packages} == {"synthetic"}
    assert all(package.card["licence"] and package.card["provenance"] for package in packages)
    assert len({package.name for package in packages}) == 8


def test_a_changed_file_is_refused(copy: Copy, tokens: TokenVerifier) -> None:
    folder = copy()
    read_package(folder, tokens)
    with (folder / "portrait.jpg").open("ab") as file:
        file.write(b"x")
    with pytest.raises(PackageRefused, match=r"portrait.jpg is not the file"):
        read_package(folder, tokens)


def test_a_file_that_is_not_listed_is_refused(copy: Copy, tokens: TokenVerifier) -> None:
    folder = copy()
    (folder / "decoder2.tflite").write_bytes(b"")
    with pytest.raises(PackageRefused, match="not listed"):
        read_package(folder, tokens)


def test_a_listed_file_outside_is_refused(copy: Copy, tokens: TokenVerifier) -> None:
    folder = copy()
    card = json.loads((folder / CARD).read_text())
    card["files"]["../p1/portrait.jpg"] = "0" * 64
    (folder / CARD).write_text(json.dumps(card))
    with pytest.raises(PackageRefused, match="is listed and not there"):
        read_package(folder, tokens)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "celebrity"}, "kind"),
        ({"engine": "gan", "engines": ["gan"]}, "engines"),
        ({"engine": "onnx"}, "engines"),
        ({"engines": [["photo"]]}, "engines"),
        ({"engines": [{"photo": 1}, "photo"]}, "engines"),
        ({"live_parts": ["nose"]}, "live_parts"),
        ({"live_parts": "eyes"}, "live_parts"),
        ({"live_parts": [["eyes"]]}, "live_parts"),
        ({"kind": "self"}, "consent"),
        ({"kind": "release", "consent": "a.b.c", "consent_hash": "0"}, "consent"),
        ({"consent": "a.b.c"}, "synthetic"),
    ],
)
def test_a_card_that_does_not_hold_is_refused(
    copy: Copy, tokens: TokenVerifier, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(PackageRefused, match=reason):
        read_package(copy(**changes), tokens)


def test_a_card_nested_too_deep_to_be_read_is_refused(copy: Copy, tokens: TokenVerifier) -> None:
    folder = copy()
    for depth in (30_000, 900):
        card = '{"format": 1, "id": "p2", "kind": "synthetic", "engines": ' + "[" * depth + "]" * depth + "}"
        (folder / CARD).write_text(card)
        with pytest.raises(PackageRefused):
            read_package(folder, tokens)


def test_a_consent_that_is_no_text_is_refused(copy: Copy, tokens: TokenVerifier) -> None:
    folder = copy()
    card = {**json.loads((folder / CARD).read_text()), "kind": "self", "consent": "\ud800"}
    (folder / CARD).write_text(json.dumps(card))
    with pytest.raises(PackageRefused, match="consent"):
        read_package(folder, tokens)


@pytest.mark.parametrize(
    ("changes", "live"), [({"live_parts": ["mouth"]}, ("mouth",)), ({"live_parts": []}, ()), ({}, ("eyes", "mouth"))]
)
def test_the_card_says_what_the_autoencoder_leaves_the_wearers_own(
    copy: Copy, tokens: TokenVerifier, changes: dict[str, Any], live: tuple[str, ...]
) -> None:
    folder = copy(**changes)
    card = json.loads((folder / CARD).read_text())
    if not changes:
        card.pop("live_parts", None)
        write_card(folder, card)
    package = read_package(folder, tokens)
    assert package.live_parts == live
    cache = EngineCache(lambda: FaceFinder(BlazeFace()))
    assert cache.get(package, "autoencoder").live_parts == live


def test_a_real_person_with_consent_is_served(copy: Copy, tokens: TokenVerifier, signer: Signer) -> None:
    consent, digest = signer.consent("me", "self")
    package = read_package(copy("me", kind="self", consent=consent, consent_hash=digest), tokens)
    assert package.consent_hash == digest
    assert package.consent_expires > time.time()


@pytest.mark.parametrize(
    "consent",
    [
        lambda signer: signer.consent("someone-else", "self"),
        lambda signer: signer.consent("me", "release"),
        lambda signer: signer.consent("me", "self", exp=int(time.time()) - 1),
        lambda signer: Signer().consent("me", "self"),
        lambda signer: signer.consent("me", "self", aud="faceswap-prediction"),
    ],
    ids=["for another", "of another kind", "expired", "signed by another", "of another use"],
)
def test_a_consent_that_does_not_hold_refuses_the_package(
    copy: Copy, tokens: TokenVerifier, signer: Signer, consent: Callable[[Signer], tuple[str, str]]
) -> None:
    token, digest = consent(signer)
    with pytest.raises(PackageRefused, match="consent"):
        read_package(copy("me", kind="self", consent=token, consent_hash=digest), tokens)


@pytest.mark.parametrize("identity", ["p99", "../p1", "P1", "", "a/b", "p1\n", "x" * 65])
def test_an_id_that_nobody_has_is_unknown(gallery: Path, identity: str) -> None:
    with pytest.raises(UnknownIdentity):
        IdentityStore([gallery], TokenVerifier("")).get(identity)


def test_a_deleted_identity_is_unknown_at_once(copy: Copy, tokens: TokenVerifier) -> None:
    folder = copy()
    store = IdentityStore([folder.parent], tokens)
    store.get("p2")
    shutil.rmtree(folder)
    with pytest.raises(UnknownIdentity):
        store.get("p2")


def test_a_package_from_a_url_is_kept_by_its_hash(copy: Copy, tokens: TokenVerifier, tmp_path: Path) -> None:
    folder = copy("remote")
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/packages/remote", recursive=True)
    try:
        store = IdentityStore(["memory://packages"], tokens, tmp_path / "cache", ask_every=0)
        lazy = IdentityStore(["memory://packages"], tokens, tmp_path / "lazy")
        assert lazy.get("remote").name == store.get("remote").name
        assert [package.id for package in store.packages()] == ["remote"]
        kept = store.get("remote").folder
        assert kept.is_relative_to(tmp_path / "cache") and (kept / "portrait.jpg").is_file()
        memory.pipe_file("/packages/remote/portrait.jpg", b"another")
        card = json.loads((folder / CARD).read_text())
        memory.pipe_file(f"/packages/remote/{CARD}", json.dumps({**card, "name": "Another"}).encode())
        with pytest.raises(PackageRefused, match="SHA-256"):
            store.get("remote")
        assert lazy.get("remote").name != "Another", "a store behind a URL is not asked for every frame"
    finally:
        memory.rm("/packages", recursive=True)


def test_a_change_behind_a_url_that_was_cut_off_leaves_the_package_as_it_was(
    copy: Copy, tokens: TokenVerifier, tmp_path: Path
) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(copy("changing")), "/cut-off/changing", recursive=True)
    try:
        memory.pipe_file("/cut-off/changing/another.tflite", b"uploaded, and then the card was not")
        package = IdentityStore(["memory://cut-off"], tokens, tmp_path / "cache").get("changing")
        assert package.id == "changing" and not (package.folder / "another.tflite").exists()
    finally:
        memory.rm("/cut-off", recursive=True)


@pytest.mark.parametrize(
    "card",
    [b"[]", b"{", b'{"files": {"../../outside": ""}}', json.dumps({"files": dict.fromkeys("abcdefghijklmnopq")})],
)
def test_a_card_behind_a_url_that_lists_no_files_is_refused(
    card: bytes | str, tokens: TokenVerifier, tmp_path: Path
) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file(f"/odd/odd/{CARD}", card.encode() if isinstance(card, str) else card)
    try:
        with pytest.raises(PackageRefused):
            IdentityStore(["memory://odd"], tokens, tmp_path / "cache").get("odd")
        assert not list((tmp_path / "cache").rglob("*outside*"))
    finally:
        memory.rm("/odd", recursive=True)


def test_a_package_that_is_deleted_while_it_is_read_is_unknown(
    copy: Copy, tokens: TokenVerifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy("going")
    store = IdentityStore([f"file://{folder.parent}"], tokens, tmp_path / "cache")

    def deleted_first(kept: Path, *arguments: Any) -> IdentityPackage:
        store.forget("going")
        return read_package(kept, *arguments)

    monkeypatch.setattr("prediction_model.identities.store.read_package", deleted_first)
    with pytest.raises(UnknownIdentity):
        store.get("going")


def test_a_package_deleted_behind_a_url_leaves_no_copy(copy: Copy, tokens: TokenVerifier, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(copy("gone")), "/passing/gone", recursive=True)
    store = IdentityStore(["memory://passing"], tokens, tmp_path / "cache", ask_every=0)
    kept = store.get("gone").folder
    memory.rm("/passing", recursive=True)
    with pytest.raises(UnknownIdentity):
        store.get("gone")
    assert not kept.exists()


def test_a_change_behind_a_url_is_found_beside_the_frames_which_never_wait(
    copy: Copy, tokens: TokenVerifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy("running")
    store = IdentityStore([f"file://{folder.parent}"], tokens, tmp_path / "cache")
    before = store.get("running")
    asked_by: list[str] = []
    download = IdentityStore._download

    def noting(self: IdentityStore, place: str, identity: str) -> Path | None:
        asked_by.append(threading.current_thread().name)
        return download(self, place, identity)

    monkeypatch.setattr(IdentityStore, "_download", noting)

    def frame() -> IdentityPackage:
        time.sleep(0.1)
        return store.get("running")

    def until_another(package: IdentityPackage) -> IdentityPackage:
        deadline = time.monotonic() + 20
        while (now := frame()) is package:
            assert time.monotonic() < deadline
        return now

    write_card(folder, {**before.card, "name": "Trained"})
    after = until_another(before)
    assert after.name == "Trained" != before.name
    assert frame() is after, "it is read once"
    (folder / CARD).unlink()
    with pytest.raises(UnknownIdentity):
        until_another(after)
    assert asked_by and threading.main_thread().name not in asked_by
    assert not list((tmp_path / "cache").rglob(CARD)), "a deleted face's copies are gone"


def test_what_a_store_said_is_believed_for_a_token_s_life_while_it_does_not_answer(
    copy: Copy, tokens: TokenVerifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy("remote")
    store = IdentityStore([f"file://{folder.parent}"], tokens, tmp_path / "cache", ask_every=0)
    package = store.get("remote")
    (folder / CARD).rename(folder / "aside")
    (folder / CARD).mkdir()  # reading it fails, and not because it is missing
    assert store.get("remote") is package
    (folder.parent / "unasked" / CARD).mkdir(parents=True)
    with pytest.raises(StoreUnreachable):
        store.get("unasked")
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + BELIEVED_SECONDS + 1)
    with pytest.raises(StoreUnreachable):
        store.get("remote")


def test_a_store_that_does_not_answer_is_a_typed_error(tokens: TokenVerifier, tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachable):
        IdentityStore(["nosuchscheme://packages"], tokens, tmp_path).get("remote")
