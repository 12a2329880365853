"""The size a picture claims in its own header, read without decoding: a 30,000×30,000 PNG is 100 bytes and 3.6 GB."""

from __future__ import annotations

import re
import struct

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8"
# ITU T.81, table B.1: start-of-frame markers; C4, C8 and CC among them mean something else.
JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_MARKERS_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
MAX_JPEG_SEGMENTS = 256
AVIF_BRANDS = (b"avif", b"avis", b"mif1")
AVIF_SEARCH_BYTES = 4096


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, as the JPEG, PNG, WebP or AVIF `data` claims; None where it claims nothing readable.

    None is no verdict on the picture: the prediction service gives that, and reads no more of a header than is read
    here.
    """
    try:
        if data.startswith(JPEG_MAGIC):
            return _jpeg_size(data)
        if data.startswith(PNG_MAGIC):
            width, height = struct.unpack_from(">II", data, 16)
            return width, height
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
        if data[4:8] == b"ftyp" and data[8:12] in AVIF_BRANDS:
            return _avif_size(data)
    except (struct.error, IndexError):
        pass
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    position = len(JPEG_MAGIC)
    for _ in range(MAX_JPEG_SEGMENTS):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in JPEG_MARKERS_WITHOUT_LENGTH:
            position += 2
        elif marker in JPEG_FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        else:
            (length,) = struct.unpack_from(">H", data, position + 2)
            position += 2 + length
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """https://developers.google.com/speed/webp/docs/riff_container"""
    chunk = data[12:16]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _avif_size(data: bytes) -> tuple[int, int] | None:
    """Of the largest of its images, as their `ispe` boxes say; the prediction service decodes no more than that."""
    boxes = re.finditer(b"ispe", data[:AVIF_SEARCH_BYTES])
    sizes: list[tuple[int, int]] = [struct.unpack_from(">II", data, box.end() + 4) for box in boxes]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)
