"""What a picture or film looks like inside other bytes: as it is, in base64, in hexadecimal, or as Python prints it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

SIGNATURES: dict[str, tuple[bytes, ...]] = {
    "JPEG": (
        *(b"\xff\xd8\xff" + rest for rest in (b"\xdb\x00\x43", b"\xdb\x00\x84", b"\xe0\x00\x10", b"\xee\x00\x0e")),
        b"JFIF\x00\x01",
        b"Exif\x00\x00",
    ),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "WebP": (b"WEBPVP8",),
    "MP4": tuple(b"ftyp" + brand for brand in (b"isom", b"iso5", b"iso6", b"mp41", b"mp42", b"avif", b"heic", b"M4V ")),
    "WebM": (b"\x1a\x45\xdf\xa3", b"matroska"),
    "data URL": (b"data:image/", b"data:video/"),
}
"""None is so short that random bytes, which is what encrypted ones are, hold it by chance."""
SHORTEST = 6


def found_in(data: bytes) -> list[str]:
    """Which kinds of picture `data` holds, anywhere in it."""
    return [kind for kind, pattern in PATTERNS.items() if pattern.search(data)]


def _forms(signature: bytes) -> Iterator[bytes]:
    yield signature
    yield signature.hex().encode()
    yield signature.hex().upper().encode()
    yield repr(signature)[2:-1].encode()
    for before in range(3):
        # Of the characters that other bytes have a share in nothing can be said.
        text = base64.b64encode(bytes(before) + signature)
        sure = text[(8 * before + 5) // 6 : (8 * (before + len(signature))) // 6]
        yield sure
        yield sure.translate(bytes.maketrans(b"+/", b"-_"))


def _pattern(signatures: tuple[bytes, ...]) -> re.Pattern[bytes]:
    forms = {form for signature in signatures for form in _forms(signature) if len(form) >= SHORTEST}
    return re.compile(b"|".join(re.escape(form) for form in sorted(forms)))


PATTERNS = {kind: _pattern(signatures) for kind, signatures in SIGNATURES.items()}
