"""Enrolled people's files at rest: AES-256-GCM (NIST SP 800-38D) with the store's key, `FACESWAP_STORE_KEY`.

A sealed file is `MAGIC`, whose last byte is the version, a random nonce of 12 bytes, and the ciphertext with its tag of
16. The identity's id and the file's name are authenticated with it: in another package, or under another name, a file
cannot be opened. Who has the disk, the bucket or a backup of it can read no face; who has the key as well can.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from prediction_model.errors import PackageRefused
from prediction_model.settings import Settings

MAGIC = b"faceswap-sealed\x01"
NONCE_BYTES = 12


class StoreKey:
    """Seals files, and opens what it has sealed. Thread-safe."""

    def __init__(self, key: bytes) -> None:
        """`key`: 32 bytes."""
        self._cipher = AESGCM(key)

    @classmethod
    def of(cls, settings: Settings) -> StoreKey | None:
        """The service's; None where it has none."""
        key = settings.store_key_bytes
        return None if key is None else cls(key)

    def seal(self, identity: str, name: str, content: bytes) -> bytes:
        """What to store of the file `name` of `identity`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return MAGIC + nonce + self._cipher.encrypt(nonce, content, _bound_to(identity, name))

    def open(self, identity: str, name: str, stored: bytes) -> bytes:
        """The content of what `seal` made of the same file. Raises PackageRefused for anything else."""
        nonce, sealed = stored[len(MAGIC) :][:NONCE_BYTES], stored[len(MAGIC) + NONCE_BYTES :]
        try:
            if is_sealed(stored):
                return self._cipher.decrypt(nonce, sealed, _bound_to(identity, name))
        except (InvalidTag, ValueError):  # ValueError: cut off within the nonce
            pass
        why = "FACESWAP_STORE_KEY is not the one it was sealed with, or it was sealed as another file"
        raise PackageRefused(identity, f"its {name} cannot be opened: {why}")


@dataclass(frozen=True, slots=True)
class PackageFiles:
    """A package's files by name. What is sealed is opened in memory, and not written down."""

    folder: Path
    """Its name is the identity's id."""
    sealed: bool = False
    """Whether they are, by the package's card; a folder without a card has plain ones."""
    key: StoreKey | None = None

    def __contains__(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def read(self, name: str) -> bytes:
        """The content of the file `name`.

        Raises:
            FileNotFoundError: there is none.
            PackageRefused: it cannot be opened, or is not stored as the card says.
        """
        stored = (self.folder / name).read_bytes()
        self._check_kind(name, stored)
        if not self.sealed:
            return stored
        if self.key is None:
            raise PackageRefused(self.folder.name, "it is sealed, and FACESWAP_STORE_KEY is not set here")
        return self.key.open(self.folder.name, name, stored)

    def check(self, name: str) -> None:
        """Raises what `read` would; of a plain file only the beginning is read."""
        if self.sealed:
            self.read(name)
            return
        with (self.folder / name).open("rb") as file:
            self._check_kind(name, file.read(len(MAGIC)))

    def _check_kind(self, name: str, stored: bytes) -> None:
        # Neither may stand for the other: a plain file in a sealed package was put there by who lacks the key.
        if is_sealed(stored) != self.sealed:
            found, told = ("sealed", "does not say so") if not self.sealed else ("not sealed", "says it is")
            raise PackageRefused(self.folder.name, f"its {name} is {found} and its card {told}")


def is_sealed(stored: bytes) -> bool:
    """Whether these are a sealed file's bytes, or its first ones."""
    return stored.startswith(MAGIC)


def _bound_to(identity: str, name: str) -> bytes:
    return MAGIC + f"{identity}/{name}".encode()  # neither may hold a slash
