"""The prediction service's settings: read once, from the environment, then from the root `.env`; never changed
afterwards.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ENV_FILE = ROOT / ".env"
DEBUG_ON = ("1", "true", "on", "ok", "y", "yes")
"""As the client reads it (django-environ): anything else is 0."""
PREFIX = "FACESWAP_"
KEY_BYTES = 32


def setting(default: Any, help: str, secret: bool = False) -> Any:
    """A field whose environment name is `FACESWAP_` and its own name in capitals; a `secret` one is not in `repr`."""
    return field(default=default, repr=not secret, metadata={"help": help})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of the prediction service. `help` in a field's metadata is its line in the README's table."""

    verify_key: str = setting("", "public Ed25519 key of session tokens: base64url, no padding, of its 32 bytes")
    watermark_key: str = setting(
        "", "key of the watermark: base64url, no padding, of 32 bytes; empty: a fixed, public one", secret=True
    )
    gallery: str = setting("", "folder of the gallery's identity packages; empty: the shipped one")
    identity_store: str = setting("var/identities", "folder or fsspec URL of enrolled identity packages")
    store_key: str = setting(
        "",
        "key of those packages, encrypted at rest: base64url, no padding, of 32 bytes; empty: nobody is enrolled",
        secret=True,
    )
    trainings: str = setting("var/trainings", "folder of the trainings that enrolled people start, while they run")
    training_seconds: int = setting(720, "how long such a training learns, in seconds")
    detector: str = setting("blazeface", "what finds faces: blazeface or dlib")
    max_pixels: int = setting(4096 * 4096, "most pixels of a picture; larger ones are refused before they are decoded")

    @property
    def gallery_folder(self) -> Path:
        """The gallery's folder; as the client does, `gallery` is seen from the repository."""
        return ROOT / self.gallery if self.gallery else ROOT / "prediction_model" / "identities" / "gallery"

    @property
    def watermark_key_bytes(self) -> bytes:
        """The watermark's key, 32 bytes; zeros where none is set, so that anybody can read those marks."""
        return read_key("FACESWAP_WATERMARK_KEY", self.watermark_key) if self.watermark_key else bytes(KEY_BYTES)

    @property
    def store_key_bytes(self) -> bytes | None:
        """The key of enrolled packages, 32 bytes; None where none is set."""
        return read_key("FACESWAP_STORE_KEY", self.store_key) if self.store_key else None


def environment_name(name: str) -> str:
    """`verify_key` → `FACESWAP_VERIFY_KEY`."""
    return PREFIX + name.upper()


def read_key(name: str, text: str) -> bytes:
    """32 bytes from base64url without padding. Raises SystemExit with a sentence."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise SystemExit(
            f"{name} cannot be read: expected {KEY_BYTES} bytes in base64url, received {len(raw)}. Copy it from `.env`."
        )
    return raw


def read_env_file(path: Path) -> dict[str, str]:
    """`NAME=value` lines of a `.env`; comments and blank lines are skipped, quotes around a value removed."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.strip().removeprefix("export ").partition("=") for line in lines)
    return {
        name.strip(): value.strip().strip("\"'") for name, equals, value in pairs if equals and not name.startswith("#")
    }


def load(environment: Mapping[str, str] | None = None, env_file: Path = ENV_FILE) -> Settings:
    """The settings: `environment` (default: the process's own) first, then `env_file`, then defaults.

    Raises SystemExit, with one sentence, for a value that cannot be read, and for a missing key where `DEBUG=0`.
    """
    values = {**read_env_file(env_file), **(os.environ if environment is None else environment)}
    given: dict[str, Any] = {}
    for each in fields(Settings):
        text = values.get(environment_name(each.name))
        if text is None:
            continue
        if isinstance(each.default, int):
            if not text.isdecimal() or not int(text):
                raise SystemExit(
                    f"{environment_name(each.name)} cannot be read: expected a whole number above 0, received {text!r}."
                )
            given[each.name] = int(text)
        else:
            given[each.name] = text.strip()
    settings = Settings(**given)
    if settings.detector not in ("blazeface", "dlib"):
        raise SystemExit(f"FACESWAP_DETECTOR: expected blazeface or dlib, received {settings.detector!r}.")
    if values.get("DEBUG", "1").strip().lower() not in DEBUG_ON:
        for name in ("verify_key", "watermark_key"):
            if not getattr(settings, name):
                raise SystemExit(f"{environment_name(name)} is not set. Copy it from the client's `.env`.")
    return settings


@cache
def current() -> Settings:
    """This process's settings, read once."""
    return load()
