"""Pictures in and out, bounded: the pixel count is read from the header and checked before anything is decoded.

JPEG, PNG, WebP and AVIF are read, whatever their colours (grey, CMYK, 16 bits, transparency), and turned upright by
their EXIF orientation. OpenCV does the decoding, but for AVIF: there the size in the header binds nobody, and only
FFmpeg's decoder can be told how many pixels are too many.
"""

from __future__ import annotations

import io
import re
import struct

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.errors import PictureTooLarge, UnreadablePicture
from prediction_model.types import BgrFrame

MAX_BYTES = 16 << 20
MAX_PIXELS = 4096 * 4096
SMALLEST_SIDE = 16
"""Pixels; nothing smaller shows a face."""
LARGEST_SIDE = 16_384
"""Pixels; a track has 16 bits for each side."""
MOST_SEGMENTS = 256
"""Before a JPEG's frame header; the relay, which counts pixels too, reads as many."""
MOST_SCANS = 32
"""Of a JPEG: an encoder makes about ten, and each decodes the whole picture once more."""
BOX_SEARCH_BYTES = 4096
"""How far into an AVIF file its size may be."""

_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG's frame header (ITU-T T.81, table B.1)."""
_JPEG_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))
"""Markers without a length."""
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)
"""A marker with a length, or the end (D9); FF 00 and the restart markers belong to the picture's data."""
_START_OF_SCAN, _END = 0xDA, 0xD9


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
    if max(width, height) > LARGEST_SIDE:
        raise PictureTooLarge(
            f"Expected at most {LARGEST_SIDE} pixels a side; received {width}×{height}. Send a smaller picture."
        )
    try:
        if _is_avif(data):
            frame = _decode_avif(data, width * height)
        else:
            frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        frame = None
    if frame is None or frame.shape[0] * frame.shape[1] > max_pixels:
        raise UnreadablePicture("The picture is broken or cut off: send it again, whole.")
    return np.asarray(frame, np.uint8)


def _decode_avif(data: bytes, max_pixels: int) -> npt.NDArray[np.uint8] | None:
    """uint8 [H, W, 3] BGR; None where it cannot be decoded, or has more pixels than its header said."""
    import av

    bound = {"max_pixels": str(max_pixels)}
    try:
        # For the probe, and once more for the decoder proper.
        with av.open(io.BytesIO(data), "r", format="mov", options=bound) as film:
            stream = film.streams.video[0]
            stream.codec_context.options = bound
            stream.codec_context.thread_count = 1
            frame = next(film.decode(stream))
            turned = np.rot90(frame.to_ndarray(format="bgr24"), frame.rotation // 90)
            return np.ascontiguousarray(turned, np.uint8)
    except Exception:  # of a broken file PyAV raises what it comes to, also UnicodeDecodeError and AttributeError
        return None


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
            _check_scans(data)
            return _jpeg_size(data)
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return struct.unpack_from(">II", data, 16)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
        if _is_avif(data):
            return _avif_size(data)
    except (struct.error, IndexError, ValueError):
        raise UnreadablePicture("The picture's header is broken or cut off: send it again, whole.") from None
    raise UnreadablePicture("Expected JPEG, PNG, WebP or AVIF; received something else. Convert the picture first.")


def _is_avif(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis", b"mif1")


def _check_scans(data: bytes) -> None:
    """Raises UnreadablePicture where a JPEG has more than `MOST_SCANS`: 80 kB can hold hundreds of empty ones, and
    keep a decoder busy for half a minute."""
    at, scans = 2, 0
    while (marker := _MARKER.search(data, at)) and data[marker.end() - 1] != _END:
        scans += data[marker.end() - 1] == _START_OF_SCAN
        if scans > MOST_SCANS:
            raise UnreadablePicture(f"Expected a JPEG of at most {MOST_SCANS} scans; received more. Save it again.")
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at = 2
    for _ in range(MOST_SEGMENTS):
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
    raise ValueError("a frame header was expected")


def _avif_size(data: bytes) -> tuple[int, int]:
    """Of the largest of its images: a thumbnail has a size of its own."""
    boxes = re.finditer(b"ispe", data[:BOX_SEARCH_BYTES])
    sizes: list[tuple[int, int]] = [struct.unpack_from(">II", data, box.end() + 4) for box in boxes]
    return max(sizes, key=lambda size: size[0] * size[1])


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
