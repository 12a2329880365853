"""Where identity packages are: the gallery's folder and the store of enrolled ones, a folder or any fsspec URL."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prediction_model.errors import PackageRefused, PredictionError, StoreUnreachable, UnknownIdentity
from prediction_model.identities.package import CARD, FILE_NAME, IDENTITY_ID, IdentityPackage, read_package
from prediction_model.identities.sealing import StoreKey
from prediction_model.settings import ROOT
from prediction_model.tokens import TokenVerifier

LOG = logging.getLogger(__name__)

CACHE = ROOT / "var" / "cache" / "identities"
MAX_PACKAGE_FILES = 16
SHA256 = re.compile(r"[0-9a-f]{64}")
ASK_EVERY_SECONDS = 1.0
"""How long what a URL's store said of an identity is believed: it cannot be asked for every frame. A running session
wears a changed package, and loses a deleted one, that much later."""
STILL_ASKED = 2.0
"""Times that: an identity that frames asked for within it is asked anew beside them, and none of them waits."""
BELIEVED_SECONDS = 300.0
"""How long it is believed at most while the store does not answer: a session token's life, so that a running session
goes on until its token ends. What is deleted meanwhile stops by client_app's revocation."""
MOST_ASKED = 4096


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a URL's store said of an identity."""

    at: float
    """When it was last asked."""
    answered: float
    """When it last answered."""
    folder: Path | None
    """The package's copy on disk; None where the store has none."""


class IdentityStore:
    """Finds and checks packages; each is read once and kept until its card changes. Thread-safe.

    Args:
        places: folders or fsspec URLs, searched in order: the gallery first, so that nobody replaces its identities.
        tokens: checks consents.
        cache: where packages from URLs are kept, by the hash of their card.
        ask_every: seconds until a URL's store is asked again; 0: it is asked each time, and waited for.
        key: opens sealed packages; None: they are refused.
    """

    def __init__(
        self,
        places: list[str | Path],
        tokens: TokenVerifier,
        cache: Path = CACHE,
        ask_every: float = ASK_EVERY_SECONDS,
        key: StoreKey | None = None,
    ) -> None:
        self._places = places
        self._tokens = tokens
        self._key = key
        self._cache = cache
        self._ask_every = ask_every
        self._read: dict[Path, tuple[float, IdentityPackage]] = {}
        self._asked: dict[tuple[str, str], _Asked] = {}
        self._asking: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def get(self, identity: str) -> IdentityPackage:
        """The package of `identity`.

        Raises:
            UnknownIdentity: nobody here has that id.
            PackageRefused: it does not hold.
            StoreUnreachable: a store does not answer.
        """
        if not IDENTITY_ID.fullmatch(identity):
            raise UnknownIdentity(f"No identity {identity[:64]!r} is served here.")
        for place in self._places:
            folder = self._fetch(str(place), identity) if _is_url(place) else Path(place) / identity
            if folder is not None and (folder / CARD).is_file():
                try:
                    return self._package(folder)
                except (PackageRefused, FileNotFoundError):
                    if (folder / CARD).is_file():
                        raise
                    # It was deleted while it was read.
        raise UnknownIdentity(f"No identity {identity!r} is served here.")

    def packages(self) -> list[IdentityPackage]:
        """Every package that holds, by id; those that do not are named in the log."""
        found: dict[str, IdentityPackage] = {}
        for place in self._places:
            for identity in self._ids(place):
                try:
                    found.setdefault(identity, self.get(identity))
                except PredictionError as error:
                    LOG.warning("%s", error)
        return [found[identity] for identity in sorted(found)]

    def forget(self, identity: str) -> None:
        """Drop what is kept of `identity`, on disk too: it was deleted or replaced."""
        with self._lock:
            for folder in [folder for folder in self._read if folder.name == identity]:
                del self._read[folder]
            for asked in [asked for asked in self._asked if asked[1] == identity]:
                del self._asked[asked]
        for copy in self._cache.glob(f"*/{identity}"):
            # Its card first: who reads it meanwhile can tell that it was deleted.
            (copy / CARD).unlink(missing_ok=True)
            shutil.rmtree(copy, ignore_errors=True)

    def _package(self, folder: Path) -> IdentityPackage:
        changed = (folder / CARD).stat().st_mtime
        with self._lock:
            kept = self._read.get(folder)
        if kept and kept[0] == changed:
            return kept[1]
        package = read_package(folder, self._tokens, self._key)
        with self._lock:
            self._read[folder] = (changed, package)
        return package

    def _ids(self, place: str | Path) -> list[str]:
        if not _is_url(place):
            folder = Path(place)
            return sorted(p.name for p in folder.iterdir() if (p / CARD).is_file()) if folder.is_dir() else []
        filesystem, root = _filesystem(str(place))
        try:
            return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in filesystem.ls(root, detail=False))
        except (OSError, ValueError) as error:
            raise StoreUnreachable(str(place), error) from error

    def _fetch(self, place: str, identity: str) -> Path | None:
        """The package's copy on disk; None where the store has none."""
        now = time.monotonic()
        with self._lock:
            asked = self._asked.get((place, identity))
            if asked is not None and now - asked.answered <= BELIEVED_SECONDS:
                age = now - asked.at
                if age < self._ask_every or (place, identity) in self._asking:
                    return asked.folder
                if age < STILL_ASKED * self._ask_every:
                    self._asking.add((place, identity))
                    threading.Thread(target=self._ask_beside, args=(place, identity, asked), daemon=True).start()
                    return asked.folder
        return self._ask(place, identity, asked)

    def _ask_beside(self, place: str, identity: str, asked: _Asked) -> None:
        """In a thread of its own: `_ask`, while frames go on with what was known."""
        try:
            self._ask(place, identity, asked)
        except PredictionError:
            with self._lock:
                self._asked.pop((place, identity), None)  # the next frame asks, waits and is told
        finally:
            with self._lock:
                self._asking.discard((place, identity))

    def _ask(self, place: str, identity: str, asked: _Asked | None) -> Path | None:
        """Ask the store, and remember what it said; `asked`: what it said before."""
        now = answered = time.monotonic()
        try:
            folder = self._download(place, identity)
        except StoreUnreachable:
            if asked is None or asked.folder is None or now - asked.answered > BELIEVED_SECONDS:
                raise
            folder, answered = asked.folder, asked.answered
        with self._lock:
            forgotten = asked is not None and (place, identity) not in self._asked
        if forgotten or (folder is None and asked is not None and asked.folder is not None):
            # Deleted or replaced, elsewhere or here while this asked: its copies here go too.
            self.forget(identity)
        if forgotten and folder is not None:
            return self._ask(place, identity, None)
        with self._lock:
            if len(self._asked) >= MOST_ASKED:
                self._asked.clear()
            self._asked[place, identity] = _Asked(now, answered, folder)
        return folder

    def _download(self, place: str, identity: str) -> Path | None:
        """Fetch the package, unless a copy with the same card is there already."""
        filesystem, root = _filesystem(place)
        source = f"{root}/{identity}"
        try:
            card = filesystem.cat_file(f"{source}/{CARD}")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreUnreachable(place, error) from error
        kept = self._cache / hashlib.sha256(card).hexdigest() / identity
        if (kept / CARD).is_file():
            return kept
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".partial-", dir=kept.parent) as parent:
                partial = Path(parent) / identity
                partial.mkdir()
                (partial / CARD).write_bytes(card)
                for name, digest in _files_of(identity, card).items():
                    # What is not there, or another file, the package is refused for when it is read.
                    for stored in (name, changed_name(name, digest)):
                        with suppress(FileNotFoundError):
                            content = filesystem.cat_file(f"{source}/{stored}")
                            (partial / name).write_bytes(content)
                            if hashlib.sha256(content).hexdigest() == digest:
                                break
                partial.replace(kept)
        except (OSError, ValueError) as error:
            if (kept / CARD).is_file():
                return kept  # somebody beside us was faster
            raise StoreUnreachable(place, error) from error
        return kept


def changed_name(name: str, digest: str) -> str:
    """What a package's file is called behind a URL after a change, by its SHA-256: beside the one before, so that who
    reads the card before finds its files."""
    return f"{name}.{digest}"


def _files_of(identity: str, card: bytes) -> dict[str, str]:
    """The files that the card lists, with their SHA-256; what else lies there is of another card. Raises
    PackageRefused."""
    try:
        files = json.loads(card)["files"]
        names = dict(files) if isinstance(files, dict) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        names = None
    if names is None:
        raise PackageRefused(identity, f"its {CARD} is not a JSON object that lists its files") from None
    if len(names) > MAX_PACKAGE_FILES:
        raise PackageRefused(identity, f"it has {len(names)} files, expected at most {MAX_PACKAGE_FILES}")
    for name, digest in names.items():
        if not FILE_NAME.fullmatch(name):
            raise PackageRefused(identity, f"its {CARD} lists {name[:64]!r}, which is no file name")
        if not isinstance(digest, str) or not SHA256.fullmatch(digest):
            raise PackageRefused(identity, f"its {CARD} lists {name} without its SHA-256")
    return names


def _is_url(place: str | Path) -> bool:
    return "://" in str(place)


def _filesystem(url: str) -> tuple[Any, str]:
    """The file system of `url` and the path in it."""
    import fsspec

    try:
        filesystem, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:  # a missing package, an unknown scheme
        raise StoreUnreachable(url, error) from error
    return filesystem, str(root).rstrip("/")
