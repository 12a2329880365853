"""The identity package: a folder with a card (`identity.json`), a portrait and the engines' files.

A package whose hashes, kind or consent do not hold is refused, with the reason.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from prediction_model.errors import BadToken, PackageRefused
from prediction_model.identities.sealing import PackageFiles, StoreKey
from prediction_model.tokens import TokenVerifier
from prediction_model.types import PARTS, Part

CARD = "identity.json"
PORTRAIT = "portrait.jpg"
FACE = "face.jpg"
FORMAT = 1
LICENCES = {
    "synthetic": "Apache-2.0 (this project); sources CC0-1.0",
    "self": "the wearer's own face: theirs alone",
    "release": "by the release that the consent names",
}
"""What a card says by its kind."""
KINDS = tuple(LICENCES)
ENGINES = ("autoencoder", "photo", "onnx")
IDENTITY_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_CARD_BYTES = 64 << 10
MAX_FILE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class IdentityPackage:
    """A package that holds."""

    folder: Path
    id: str
    name: str
    kind: str
    """`synthetic`, `self` or `release`."""
    engine: str
    """The engine to use unless the options say otherwise."""
    engines: tuple[str, ...]
    consent_hash: str
    """SHA-256 of the consent, hex; "" for a synthetic identity."""
    consent_expires: float
    """Unix seconds; infinity for a synthetic identity."""
    live_parts: tuple[Part, ...]
    """What the autoencoder leaves the wearer's own unless the options say otherwise: it was measured."""
    card: Mapping[str, Any]
    """The whole of `identity.json`."""
    files: PackageFiles
    """What the card lists, to be read."""


def read_package(folder: Path, tokens: TokenVerifier, key: StoreKey | None = None) -> IdentityPackage:
    """Read and check the package in `folder`; where it is just being changed, afterwards.

    Args:
        tokens: checks its consent.
        key: opens its files where they are sealed.

    Raises:
        PackageRefused: it does not hold; the message says why.
    """
    with locked(folder, fcntl.LOCK_SH):
        return _read(folder, tokens, key)


@contextmanager
def locked(folder: Path, how: int) -> Iterator[None]:
    """Hold the lock of a package's folder, `LOCK_SH` to read it and `LOCK_EX` to change it, that none is read half
    changed. Without one where there is no folder, or where its file system knows no locks."""
    opened = None
    try:
        with suppress(OSError):
            opened = os.open(folder, os.O_RDONLY)
            fcntl.flock(opened, how)
        yield
    finally:
        if opened is not None:
            os.close(opened)


def _read(folder: Path, tokens: TokenVerifier, key: StoreKey | None) -> IdentityPackage:
    name = folder.name
    try:
        raw = (folder / CARD).read_bytes()
    except OSError:
        raise PackageRefused(name, f"it has no {CARD}") from None
    try:
        card = json.loads(raw) if len(raw) <= MAX_CARD_BYTES else None
    except (ValueError, RecursionError):
        card = None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise PackageRefused(name, f"its {CARD} is not a JSON object of format {FORMAT}")
    identity, kind, engines = card.get("id"), card.get("kind"), card.get("engines")
    if not isinstance(identity, str) or not IDENTITY_ID.fullmatch(identity) or identity != name:
        raise PackageRefused(name, f"its id is {shown(identity)}, expected the folder's name")
    if kind not in KINDS:
        raise PackageRefused(name, f"its kind is {shown(kind)}, expected one of {', '.join(KINDS)}")
    if (
        not isinstance(engines, list)
        or not engines
        or not all(engine in ENGINES for engine in engines)
        or card.get("engine") not in engines
    ):
        known = ", ".join(ENGINES)
        raise PackageRefused(name, f"its engines are {shown(engines)}, expected some of {known} and one chosen")
    sealed = card.get("sealed", False)
    if not isinstance(sealed, bool):
        raise PackageRefused(name, f"whether it is sealed is {shown(sealed)}, expected true or false")
    files = PackageFiles(folder, sealed, key)
    _check_files(files, card.get("files"))
    consent_hash, expires = _check_consent(name, card, tokens)
    title = card.get("name")
    return IdentityPackage(
        folder,
        identity,
        title if isinstance(title, str) and title else identity,
        kind,
        card["engine"],
        tuple(engines),
        consent_hash,
        expires,
        live_parts(name, card),
        card,
        files,
    )


def live_parts(name: str, card: Mapping[str, Any]) -> tuple[Part, ...]:
    """What the `card` of the package `name` says: see `IdentityPackage.live_parts`; all of them where it says nothing.

    Raises:
        PackageRefused: it names something else.
    """
    named = card.get("live_parts", list(PARTS))
    if not isinstance(named, list) or not all(part in PARTS for part in named):
        raise PackageRefused(name, f"its live_parts are {shown(named)}, expected some of {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in named)


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write `card` as the package's `identity.json`, with the SHA-256 of every other file in `folder`; complete
    or not at all."""
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != CARD}
    temporary = folder / f".{CARD}.partial"
    temporary.write_text(json.dumps({**card, "format": FORMAT, "files": files}, indent=2, ensure_ascii=False) + "\n")
    os.replace(temporary, folder / CARD)


def sha256(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_files(files: PackageFiles, listed: Any) -> None:
    folder = files.folder
    if not isinstance(listed, dict) or PORTRAIT not in listed:
        raise PackageRefused(folder.name, f"its card does not list {PORTRAIT}")
    for name, wanted in listed.items():
        path = folder / name
        if not FILE_NAME.fullmatch(name) or path.is_symlink() or not path.is_file():
            raise PackageRefused(folder.name, f"{name[:64]!r} is listed and not there")
        if path.stat().st_size > MAX_FILE_BYTES or sha256(path) != wanted:
            raise PackageRefused(folder.name, f"{name} is not the file its card lists (SHA-256)")
        files.check(name)
    extra = {p.name for p in folder.iterdir() if not p.name.startswith(".")} - set(listed) - {CARD}
    if extra:
        raise PackageRefused(folder.name, f"{min(extra)} is not listed in its card")


def _check_consent(name: str, card: Mapping[str, Any], tokens: TokenVerifier) -> tuple[str, float]:
    """The consent's hash and when it ends."""
    consent = card.get("consent")
    if card["kind"] == "synthetic":
        if consent or card.get("consent_hash"):
            raise PackageRefused(name, "it is synthetic and yet carries a consent")
        return "", float("inf")
    if not isinstance(consent, str):
        raise PackageRefused(name, "a real person's face needs a consent, and it carries none")
    digest = hashlib.sha256(consent.encode(errors="replace")).hexdigest()
    if card.get("consent_hash") != digest:
        raise PackageRefused(name, "its consent is not the one its card names (SHA-256)")
    try:
        claims = tokens.consent(consent)
    except BadToken as error:
        raise PackageRefused(name, f"its consent does not hold: {error}") from error
    if claims.get("sub") != card["id"] or claims.get("kind") != card["kind"]:
        raise PackageRefused(name, "its consent is for another identity or of another kind")
    return digest, float(claims["exp"])
