"""Sealed files: what opens them, what does not, and packages that mix them with plain ones or with another's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prediction_model.__main__ import main
from prediction_model.errors import PackageRefused
from prediction_model.identities.package import CARD, FACE, PORTRAIT, IdentityPackage, read_package, write_card
from prediction_model.identities.sealing import MAGIC, StoreKey
from prediction_model.prediction import ModelPrediction
from prediction_model.settings import Settings, current
from prediction_model.tokens import TokenVerifier
from tests.prediction_model.keys import STORE_KEY, Signer, base64url

KEY = StoreKey(STORE_KEY)
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


@pytest.fixture
def make(gallery: Path, tmp_path: Path, signer: Signer) -> Make:
    """A package of kind self with p8's files, sealed and worn by consent; `changes` replace what its card says."""

    def package(identity: str, **changes: Any) -> Path:
        folder = tmp_path / "store" / identity
        folder.mkdir(parents=True)
        for path in (gallery / "p8").iterdir():
            if path.name != CARD:
                (folder / path.name).write_bytes(KEY.seal(identity, path.name, path.read_bytes()))
        consent, digest = signer.consent(identity, "self")
        card = json.loads((gallery / "p8" / CARD).read_text())
        told = {"id": identity, "kind": "self", "consent": consent, "consent_hash": digest, "sealed": True, **changes}
        write_card(folder, {**card, **told})
        return folder

    return package


def reader(signer: Signer) -> Callable[..., IdentityPackage]:
    def read(folder: Path, key: StoreKey | None = KEY) -> IdentityPackage:
        return read_package(folder, TokenVerifier(signer.verify_key), key)

    return read


def rewrite_card(folder: Path, **changes: Any) -> None:
    """Whose hashes hold again."""
    write_card(folder, {**json.loads((folder / CARD).read_text()), **changes})


def test_what_is_sealed_is_opened_and_no_two_are_alike() -> None:
    for content in (b"", b"a face", bytes(100_000)):
        stored, again = KEY.seal("me", FACE, content), KEY.seal("me", FACE, content)
        assert KEY.open("me", FACE, stored) == KEY.open("me", FACE, again) == content
        assert stored != again and stored.startswith(MAGIC) and (not content or content not in stored)


@pytest.mark.parametrize(
    ("key", "identity", "name"),
    [(StoreKey(bytes(32)), "me", FACE), (KEY, "you", FACE), (KEY, "me", PORTRAIT), (KEY, "m", f"e{FACE}")],
    ids=["another key", "another identity", "another file", "shifted"],
)
def test_nothing_else_opens_it(key: StoreKey, identity: str, name: str) -> None:
    with pytest.raises(PackageRefused, match="cannot be opened: FACESWAP_STORE_KEY is not the one"):
        key.open(identity, name, KEY.seal("me", FACE, b"a face"))


def test_a_changed_or_cut_off_file_is_not_opened() -> None:
    stored = KEY.seal("me", FACE, b"a face")
    for at in range(len(stored)):
        changed = bytearray(stored)
        changed[at] ^= 1
        for broken in (bytes(changed), stored[:at]):
            with pytest.raises(PackageRefused):
                KEY.open("me", FACE, broken)


def test_a_sealed_package_is_worn_with_its_key_and_refused_without(
    make: Make, signer: Signer, gallery: Path, tmp_path: Path, frame: bytes
) -> None:
    folder, read = make("me"), reader(signer)
    assert read(folder).files.read(FACE) == (gallery / "p8" / FACE).read_bytes()
    with pytest.raises(PackageRefused, match="it is sealed, and FACESWAP_STORE_KEY is not set here"):
        read(folder, None)
    with pytest.raises(PackageRefused, match="cannot be opened: FACESWAP_STORE_KEY is not the one"):
        read(folder, StoreKey(bytes(32)))
    store, verify = str(tmp_path / "store"), signer.verify_key
    model = ModelPrediction.from_path(
        gallery, Settings(verify_key=verify, identity_store=store, store_key=base64url(STORE_KEY))
    )
    session = signer.session({"me": read(folder).consent_hash, "p8": ""})
    for engine in ("photo", "autoencoder"):
        worn, same = (
            model.predict_frame(frame, {"session": session, "options": {"identity": identity, "engine": engine}})[0]
            for identity in ("me", "p8")
        )
        assert worn == same, "p8's own files, opened"
    closed = ModelPrediction.from_path(gallery, Settings(verify_key=verify, identity_store=store))
    with pytest.raises(PackageRefused):
        closed.predict_frame(frame, {"session": session, "options": {"identity": "me"}})


@pytest.fixture
def frame(wearers: Path, frames: Callable[[str], list[Any]]) -> bytes:
    import cv2

    return bytes(cv2.imencode(".jpg", frames("w1")[10])[1])


def test_files_of_two_packages_cannot_be_exchanged(make: Make, signer: Signer) -> None:
    me, you = make("me"), make("you")
    shutil.copyfile(me / FACE, you / FACE)
    rewrite_card(you)
    with pytest.raises(PackageRefused, match="sealed as another file"):
        reader(signer)(you)


def test_two_files_of_a_package_cannot_be_exchanged(make: Make, signer: Signer) -> None:
    me = make("me")
    (me / FACE).rename(me / "aside")
    (me / PORTRAIT).rename(me / FACE)
    (me / "aside").rename(me / PORTRAIT)
    rewrite_card(me)
    with pytest.raises(PackageRefused, match="sealed as another file"):
        reader(signer)(me)


def test_a_plain_file_does_not_pass_for_a_sealed_one(make: Make, signer: Signer, gallery: Path) -> None:
    folder = make("me")
    shutil.copyfile(gallery / "p2" / FACE, folder / FACE)
    rewrite_card(folder)
    with pytest.raises(PackageRefused, match=rf"its {FACE} is not sealed and its card says it is"):
        reader(signer)(folder)


@pytest.mark.parametrize("told", [False, None, "yes"])
def test_a_card_says_truly_whether_its_files_are_sealed(make: Make, signer: Signer, told: object) -> None:
    folder = make("me", sealed=told)
    wanted = "is sealed and its card does not say so" if told is False else "expected true or false"
    with pytest.raises(PackageRefused, match=wanted):
        reader(signer)(folder)


class TestCommands:
    @pytest.fixture(autouse=True)
    def settings(self, tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setenv("FACESWAP_VERIFY_KEY", signer.verify_key)
        monkeypatch.setenv("FACESWAP_STORE_KEY", base64url(STORE_KEY))
        monkeypatch.setenv("FACESWAP_IDENTITY_STORE", str(tmp_path / "store"))
        current.cache_clear()
        yield
        current.cache_clear()

    def test_packages_are_exported_sealed(self, make: Make, tmp_path: Path, signer: Signer) -> None:
        folder = make("me")
        assert main(["export-package", "--identity", "me", str(tmp_path / "out")]) == 0
        copied = {path.name: path.read_bytes() for path in (tmp_path / "out" / "me").iterdir()}
        assert copied == {path.name: path.read_bytes() for path in folder.iterdir()}

    def test_seal_seals_what_is_plain(
        self, make: Make, tmp_path: Path, signer: Signer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder, sealed = make("me"), make("you")
        for path in folder.iterdir():
            if path.name != CARD:
                path.write_bytes(KEY.open("me", path.name, path.read_bytes()))
        rewrite_card(folder, sealed=False)
        before = {path.name: path.read_bytes() for path in sealed.iterdir()}
        assert main(["identities", "verify", str(tmp_path / "store")]) == 0
        assert main(["identities", "seal"]) == 0
        assert [path.name for path in folder.iterdir() if not path.read_bytes().startswith(MAGIC)] == [CARD]
        assert {path.name: path.read_bytes() for path in sealed.iterdir()} == before, "as it was"
        assert main(["identities", "verify", str(tmp_path / "store")]) == 0

    def test_seal_without_a_key_says_so(
        self, tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("FACESWAP_STORE_KEY", "")
        current.cache_clear()
        assert main(["identities", "seal"]) == 1
        assert "FACESWAP_STORE_KEY is not set" in capsys.readouterr().err
