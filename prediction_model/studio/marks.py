"""`marks:read`: whose session a picture or a film came from, by its watermark."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from prediction_model.errors import PictureTooLarge, UnreadablePicture
from prediction_model.labels.watermark import read
from prediction_model.types import BgrFrame, JsonObject

MOST_FRAMES = 12
"""Looked at in a film, evenly spaced."""
MOST_DECODED = 1500
"""Frames of a film that are decoded to find them; in a longer one only key frames are looked at."""


def marks_of_picture(picture: BgrFrame, key: bytes) -> JsonObject:
    """The mark in one picture, uint8 [H, W, 3] BGR: `{"frames", "marks"}` as in docs/architecture.md."""
    return _marks([picture], key)


def marks_of_film(data: bytes, key: bytes, max_pixels: int) -> JsonObject:
    """The marks in a film: `{"frames", "marks"}`, the most frequent first.

    Args:
        data: the whole file; nothing is written to disk.
        key: the watermark's.
        max_pixels: most pixels of a frame.

    Raises:
        UnreadablePicture: it is no film, or a broken one.
        PictureTooLarge: its frames have too many pixels.
    """
    import av

    try:
        with av.open(io.BytesIO(data), "r") as film:
            keys = [bool(packet.is_keyframe) for packet in film.demux(_pictures(film)) if packet.size]
        with av.open(io.BytesIO(data), "r") as film:
            stream = _pictures(film)
            if stream.codec_context.width * stream.codec_context.height > max_pixels:
                raise PictureTooLarge(
                    f"Expected a film of at most {max_pixels} pixels a frame; received {stream.codec_context.width}×"
                    f"{stream.codec_context.height}. Send a smaller one."
                )
            count = len(keys)
            if count > MOST_DECODED:
                stream.codec_context.skip_frame = "NONKEY"
                count = min(sum(keys), MOST_DECODED)
            return _marks(_evenly(film, stream, count, max_pixels), key)
    except av.FFmpegError as error:
        raise UnreadablePicture(f"Expected a film that can be read; this cannot ({error}). Convert it first.") from None


def _pictures(film: Any) -> Any:
    if not film.streams.video:
        raise UnreadablePicture("Expected a film; this has no pictures.")
    stream = film.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


def _evenly(film: Any, stream: Any, count: int, max_pixels: int) -> Iterator[BgrFrame]:
    """At most `MOST_FRAMES` of the film's `count` frames."""
    wanted = set(np.linspace(0, max(count - 1, 0), MOST_FRAMES).round().astype(int).tolist())
    for number, frame in enumerate(film.decode(stream)):
        if number >= count:
            return
        if number in wanted and frame.width * frame.height <= max_pixels:
            yield np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


def _marks(frames: Iterator[BgrFrame] | list[BgrFrame], key: bytes) -> JsonObject:
    looked, found = 0, Counter[int]()
    for frame in frames:
        looked += 1
        payload = read(frame, key)
        if payload is not None:
            found[payload] += 1
    if not looked:
        raise UnreadablePicture("Expected a film with frames; this has none.")
    marks = [{"payload": f"{payload:08x}", "frames": frames} for payload, frames in found.most_common()]
    return {"frames": looked, "marks": marks}
