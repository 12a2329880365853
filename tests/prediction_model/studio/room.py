"""A store of enrolled identities to test with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import fsspec
import numpy as np

from prediction_model.faces.finder import FaceFinder
from prediction_model.identities.package import IdentityPackage
from prediction_model.identities.sealing import StoreKey
from prediction_model.identities.store import IdentityStore
from prediction_model.studio.enrolment import Enrolment
from prediction_model.tokens import TokenVerifier
from tests.prediction_model.keys import STORE_KEY, Signer

JFIF = b"\xff\xd8\xff\xe0\x00\x10JFIF"
"""How every JPEG of this service begins."""
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

    def __init__(
        self, place: str, gallery: Path, folder: Path, finder: FaceFinder, signer: Signer | None = None
    ) -> None:
        self.place = place
        self.signer = signer or Signer()
        self.tokens = TokenVerifier(self.signer.verify_key)
        self.key = StoreKey(STORE_KEY)
        self.identities = IdentityStore([gallery, place], self.tokens, folder / "cache", ask_every=0, key=self.key)
        self.enrolment = Enrolment(place, gallery, self.identities, self.tokens, self.key)
        self.trainings = folder / "trainings"
        self.gallery, self._finder = gallery, finder

    def enrol(self, identity: str = "me") -> IdentityPackage:
        consent, _ = self.signer.consent(identity, "self")
        picture = np.asarray(cv2.imread(str(self.gallery / "p8" / "face.jpg")), np.uint8)
        card = {"name": "Me", "kind": "self", "consent": consent}
        return self.enrolment.add(identity, card, picture, self._finder)

    def written(self, folder: Path) -> dict[str, bytes]:
        """Every file of the store and of the cache, by its path."""
        memory = fsspec.filesystem("memory")
        place = f"/{self.place.removeprefix('memory://')}"
        remote = {path: memory.cat_file(path) for path in memory.find(place)} if "://" in self.place else {}
        return remote | {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def trained(self, folder: Path) -> Path:
        """What a training makes, as far as a store looks at it."""
        folder.mkdir()
        (folder / "decoder.tflite").write_bytes(b"weights")
        (folder / "face.jpg").write_bytes(b"not to be used")
        return folder
