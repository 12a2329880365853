"""`PUT` and `DELETE /v1/identities/ID`: a person's portrait becomes an identity package, and goes again, all of it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from prediction_model.errors import (
    BadInstance,
    BadToken,
    IdentityNotAllowed,
    IdentityTaken,
    PredictionError,
    RefusedPortrait,
    StoreKeyMissing,
    StoreUnreachable,
    UnknownIdentity,
)
from prediction_model.faces.finder import FaceFinder
from prediction_model.faces.pose import head_pose
from prediction_model.identities.package import (
    CARD,
    FACE,
    IDENTITY_ID,
    LICENCES,
    PORTRAIT,
    IdentityPackage,
    locked,
    read_package,
    sha256,
    write_card,
)
from prediction_model.identities.portrait import cut_pictures
from prediction_model.identities.sealing import StoreKey
from prediction_model.identities.store import IdentityStore, changed_name
from prediction_model.tokens import TokenVerifier
from prediction_model.types import BgrFrame, Mesh

KINDS = ("self", "release")
"""Whom one can enrol; the synthetic identities are shipped."""
MAX_NAME = 64
LEAST_FACE = 120
"""Pixels from forehead to chin."""
TOLD = ("engine", "engines", "live_parts", "metrics", "training")
"""What a card says of trained files."""
PARTIAL = ".faceswap-partial-"
CHANGE = ".change"
"""A folder in a package: its next files, all of them."""
LEFT_SECONDS = 600.0
"""A package in the making that is older was left by a process that was killed: it takes a second or two."""
LARGEST_YAW, LARGEST_PITCH = 25.0, 25.0
"""Degrees: further away, half of the face is not in the picture."""


class Enrolment:
    """Writes and deletes packages in the store of enrolled identities. Whatever it writes of a face is sealed.

    Args:
        place: that store, a folder or fsspec URL.
        gallery: the shipped identities, which stay.
        identities: finds packages, and is told of changes.
        tokens: checks consents.
        key: seals packages; None: nothing is written, and what is there can be deleted.
    """

    def __init__(
        self, place: str, gallery: Path, identities: IdentityStore, tokens: TokenVerifier, key: StoreKey | None
    ) -> None:
        self._place = place
        self._near = None if "://" in place else Path(place)
        self._gallery = gallery
        self._identities = identities
        self._tokens = tokens
        self._key = key
        self._sweep()

    def require_key(self) -> StoreKey:
        """What seals whatever is kept of a face. Raises StoreKeyMissing where there is none."""
        if self._key is None:
            raise StoreKeyMissing
        return self._key

    def add(self, identity: str, card: Mapping[str, Any], picture: BgrFrame, finder: FaceFinder) -> IdentityPackage:
        """Make the package of `identity`, served at once with `photo`.

        Args:
            card: `name`, `kind` and `consent`.
            picture: the portrait, uint8 [H, W, 3] BGR.

        Raises:
            BadInstance: a field is not of the contract, or the consent does not hold.
            IdentityTaken: the id is another's.
            RefusedPortrait: the face cannot be used.
            StoreKeyMissing: it could not be sealed.
            StoreUnreachable: the package cannot be written.
        """
        key = self.require_key()
        name, kind, consent = card.get("name"), card.get("kind"), card.get("consent")
        if not IDENTITY_ID.fullmatch(identity):
            raise BadInstance("Expected an id of lower-case letters, digits and hyphens, at most 64.")
        if not isinstance(name, str) or not 0 < len(name.strip()) <= MAX_NAME:
            raise BadInstance(f"`name` must be a text of 1 to {MAX_NAME} characters.")
        if kind not in KINDS:
            raise BadInstance(f"`kind` must be self or release; received {str(kind)[:40]!r}.")
        self._check_consent(identity, kind, consent)
        if self._has(identity):
            raise IdentityTaken(f"The id {identity} is taken: choose another.")
        mesh = _one_face(picture, finder)
        with self._new(identity) as folder:
            for file, content in cut_pictures(picture, mesh).items():
                (folder / file).write_bytes(key.seal(identity, file, content))
            write_card(
                folder,
                {
                    "id": identity,
                    "name": name.strip(),
                    "kind": kind,
                    "engine": "photo",
                    "engines": ["photo"],
                    "licence": LICENCES[kind],
                    "provenance": "One photograph, enrolled with consent.",
                    "consent": consent,
                    "consent_hash": hashlib.sha256(str(consent).encode()).hexdigest(),
                    "metrics": {},
                    "sealed": True,
                },
            )
            read_package(folder, self._tokens, key)
            self._publish(folder, identity)
        return self._identities.get(identity)

    def improve(self, identity: str, folder: Path, card: Mapping[str, Any]) -> None:
        """Add the trained files in `folder` to the package of `identity`, and what `card` says of them.

        Pictures, name and consent stay as they are. A package that is no longer there is not brought back.

        Raises:
            UnknownIdentity: it was deleted meanwhile.
            StoreKeyMissing: they could not be sealed.
            StoreUnreachable: it cannot be written.
        """
        package = self._identities.get(identity)
        trained = [path for path in folder.iterdir() if path.name not in (CARD, PORTRAIT, FACE) and path.is_file()]
        told = {name: card[name] for name in TOLD if name in card}
        self._rewrite(package, {path.name: path.read_bytes() for path in trained}, told, package.card["files"])

    def seal(self, identity: str) -> None:
        """Seal the package of `identity`, which was written before packages were, or by the command line.

        Behind a URL, where a change leaves the files before beside its own, they are then written over; who loads the
        package at that moment may be refused it once.

        Raises:
            StoreKeyMissing: it cannot be sealed.
            StoreUnreachable: it cannot be written.
        """
        package = self._identities.get(identity)
        if not package.files.sealed:
            self._rewrite(package, {}, {}, package.card["files"])
        if self._near is None:
            self._rewrite(self._identities.get(identity), {}, {}, {})

    def _rewrite(
        self, package: IdentityPackage, more: Mapping[str, bytes], told: Mapping[str, Any], before: Mapping[str, str]
    ) -> None:
        """Put `package`, with the files `more` and with what is `told` on its card, in its own place, all of it sealed;
        `before`: see `_overwrite`."""
        key = self.require_key()
        content = {name: package.files.read(name) for name in package.card["files"] if name not in more}
        with self._new(package.id) as made:
            for name, each in {**content, **more}.items():
                (made / name).write_bytes(key.seal(package.id, name, each))
            write_card(made, {**package.card, **told, "sealed": True})
            read_package(made, self._tokens, key)
            self._overwrite(made, package.id, before)
        self._identities.forget(package.id)

    def remove(self, identity: str) -> None:
        """Delete the package of `identity` and every copy of it here; nothing happens where there is none.

        Raises:
            IdentityNotAllowed: it is one of the shipped ones.
            StoreUnreachable: the store does not answer; the package may still be there.
        """
        if not IDENTITY_ID.fullmatch(identity):
            return
        if (self._gallery / identity / CARD).is_file():
            raise IdentityNotAllowed(f"{identity} is shipped with the service and is not deleted by it.")
        if "://" in self._place:
            filesystem, root = self._remote()
            try:
                if filesystem.exists(f"{root}/{identity}"):
                    filesystem.rm(f"{root}/{identity}", recursive=True)
            except (OSError, ValueError) as error:
                raise StoreUnreachable(self._place, error) from error
        else:
            folder = Path(self._place) / identity
            try:
                with locked(folder, fcntl.LOCK_EX):
                    # The card first: from here on nobody is served it, whatever becomes of the rest.
                    (folder / CARD).unlink(missing_ok=True)
                    shutil.rmtree(folder)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise StoreUnreachable(self._place, error) from error
        self._identities.forget(identity)

    def _sweep(self) -> None:
        """Delete the faces that a killed process left half-enrolled, and end the changes that it left half-made."""
        for left in Path(self._near or tempfile.gettempdir()).glob(f"{PARTIAL}*"):
            with suppress(FileNotFoundError):  # another worker sweeps as well
                if time.time() - left.stat().st_mtime > LEFT_SECONDS:
                    shutil.rmtree(left, ignore_errors=True)
        for change in self._near.glob(f"*/{CHANGE}") if self._near else ():
            with locked(change.parent, fcntl.LOCK_EX), suppress(OSError):  # one that fails holds up no other
                _change(change.parent)

    def _has(self, identity: str) -> bool:
        try:
            self._identities.get(identity)
        except UnknownIdentity:
            return False
        return True

    def _check_consent(self, identity: str, kind: str, consent: Any) -> None:
        if not isinstance(consent, str):
            raise BadInstance("`consent` must be the consent's token: a face is not enrolled without one.")
        try:
            claims = self._tokens.consent(consent)
        except BadToken as error:
            raise BadInstance(f"`consent` does not hold: {error}") from None
        if claims.get("sub") != identity or claims.get("kind") != kind:
            raise BadInstance("`consent` is for another identity or of another kind: sign one for this.")

    @contextmanager
    def _new(self, identity: str) -> Iterator[Path]:
        """A folder for a package in the making, on the store's own disk where it has one; gone afterwards."""
        self._sweep()
        try:
            if self._near is not None:
                self._near.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=self._near) as parent:
                folder = Path(parent) / identity
                folder.mkdir()
                yield folder
        except OSError as error:
            raise StoreUnreachable(self._place, error) from error

    def _publish(self, folder: Path, identity: str) -> None:
        if "://" in self._place:
            try:
                self._overwrite(folder, identity, {})
            except (OSError, StoreUnreachable):
                # Without a card nobody is served it; nor shall the face stay there.
                with suppress(PredictionError, OSError):
                    self.remove(identity)
                raise
            return
        try:
            folder.rename(Path(self._place) / identity)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise IdentityTaken(f"The id {identity} is taken: choose another.") from None
            raise
        # The temporary folder is cleared of what is no longer in it without complaint.

    def _overwrite(self, folder: Path, identity: str, before: Mapping[str, str]) -> None:
        """Put the package's files in place, the card last: it is the card that tells the readers of a change.

        In a folder none is read meanwhile, and a change that is cut off is made to its end at the next start. Behind a
        URL the files of the card `before`, by their SHA-256, stay beside the changed ones until the next change.
        """
        if self._near is None:
            filesystem, root = self._remote()
            place = f"{root}/{identity}"
            try:
                filesystem.makedirs(place, exist_ok=True)
                for path in _card_last(folder):
                    digest = sha256(path)
                    if before.get(path.name) != digest:
                        changed = before and path.name != CARD
                        name = changed_name(path.name, digest) if changed else path.name
                        filesystem.pipe_file(f"{place}/{name}", path.read_bytes())
                after = {path.name: sha256(path) for path in folder.iterdir()}
                used = {changed_name(*file) for files in (before, after) for file in files.items()}
                for path in filesystem.ls(place, detail=False, refresh=True):
                    stored = str(path).rsplit("/", 1)[-1]
                    if stored not in {*after, *used}:
                        filesystem.rm_file(f"{place}/{stored}")
            except ValueError as error:
                raise StoreUnreachable(self._place, error) from error
            return
        package = self._near / identity
        with locked(package, fcntl.LOCK_EX):
            folder.replace(package / CHANGE)
            _change(package)

    def _remote(self) -> tuple[Any, str]:
        import fsspec

        filesystem, root = fsspec.core.url_to_fs(self._place)
        return filesystem, str(root).rstrip("/")


def _change(package: Path) -> None:
    """Make the change that lies ready in `package`; its lock is held."""
    # Without a card it was deleted, or is: that goes on.
    for path in _card_last(package / CHANGE) if (package / CARD).is_file() else ():
        path.replace(package / path.name)
    shutil.rmtree(package / CHANGE)


def _card_last(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda path: path.name == CARD)


def _one_face(picture: BgrFrame, finder: FaceFinder) -> Mesh:
    """The mesh of the picture's one usable face, float32 [468, 3]. Raises RefusedPortrait."""
    faces = finder.find(picture, None, 0.0).faces
    if len(faces) != 1:
        raise RefusedPortrait(f"Expected a picture of one face; found {len(faces) or 'none'}. Take another one.")
    mesh = faces[0].mesh
    height = float(np.ptp(mesh[:, 1]))
    if height < LEAST_FACE:
        raise RefusedPortrait(f"Expected a face of at least {LEAST_FACE} pixels; received {height:.0f}. Go closer.")
    pose = head_pose(mesh)
    if abs(pose.yaw) > LARGEST_YAW or abs(pose.pitch) > LARGEST_PITCH:
        raise RefusedPortrait("Expected a face that looks into the camera; this one looks away. Take another one.")
    return mesh
