"""Pictures in and out, bounded: the pixel count is read from the header and checked before anything is decoded.

JPEG, PNG, WebP and AVIF are read, whatever their colours (grey, CMYK, 16 bits, transparency), and turned upright by
their EXIF orientation; OpenCV does the decoding.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np

from prediction_model.errors import PictureTooLarge, UnreadablePicture
from prediction_model.types import BgrFrame

MAX_BYTES = 16 << 20
MAX_PIXELS = 4096 * 4096
SMALLEST_SIDE = 16
"""Pixels; nothing smaller shows a face."""
BOX_SEARCH_BYTES = 4096
"""How far into an AVIF file its size may be."""

_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG's frame header (ITU-T T.81, table B.1)."""
_JPEG_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))
"""Markers without a length."""


def read_picture(data: bytes, max_pixels: int = MAX_PIXELS) -> BgrFrame:
    """Decode a picture.

    Args:
        data: JPEG, PNG, WebP or AVIF.
        max_pixels: most pixels that are decoded.

    Returns:
        uint8 [H, W, 3] BGR, upright.

    Raises:
        UnreadablePicture: not such a picture, or a broken one.
        PictureTooLarge: more bytes or pixels than allowed.
    """
    if len(data) > MAX_BYTES:
        raise PictureTooLarge(
            f"Expected a picture of at most {MAX_BYTES >> 20} MiB; received {len(data) / 2**20:.1f} MiB."
        )
    width, height = picture_size(data)
    if width * height > max_pixels:
        raise PictureTooLarge(
            f"Expected a picture of at most {max_pixels} pixels; received {width}×{height}. Send a smaller one."
        )
    if min(width, height) < SMALLEST_SIDE:
        raise UnreadablePicture(
            f"Expected a picture of at least {SMALLEST_SIDE} pixels a side; received {width}×{height}. "
            "Send a larger one."
        )
    try:
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        frame = None
    if frame is None or frame.shape[0] * frame.shape[1] > max_pixels:
        raise UnreadablePicture("The picture is broken or cut off: send it again, whole.")
    return np.asarray(frame, np.uint8)


def write_jpeg(frame: BgrFrame, quality: int) -> bytes:
    """`frame` [H, W, 3] BGR as JPEG of quality 1 to 95."""
    _, encoded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes()


def picture_size(data: bytes) -> tuple[int, int]:
    """Width and height from the header alone, before any EXIF turn.

    Raises:
        UnreadablePicture: none of the formats, or a header that is cut off.
    """
    if not data:
        raise UnreadablePicture("Expected a picture; received nothing. Send JPEG, PNG, WebP or AVIF.")
    try:
        if data[:2] == b"\xff\xd8":
            return _jpeg_size(data)
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return struct.unpack_from(">II", data, 16)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
        if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis", b"mif1"):
            at = data.index(b"ispe", 0, BOX_SEARCH_BYTES)
            return struct.unpack_from(">II", data, at + 8)
    except (struct.error, IndexError, ValueError):
        raise UnreadablePicture("The picture's header is broken or cut off: send it again, whole.") from None
    raise UnreadablePicture("Expected JPEG, PNG, WebP or AVIF; received something else. Convert the picture first.")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at = 2
    while True:
        if data[at] != 0xFF:
            raise ValueError("a marker was expected")
        marker = data[at + 1]
        if marker == 0xFF or marker in _JPEG_ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("no picture in it")
