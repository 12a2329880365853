"""`marks:read`: whose session a picture or a film came from, by its watermark.

Anybody's film comes here, by way of the public page that verifies files, and 10 kB of one can ask a demuxer for
gigabytes or a decoder for minutes. So a film is read by a process of its own, `python -m prediction_model.studio.marks`
with the file on standard input: it has so much memory and time and no more, and yields to whoever swaps faces.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from prediction_model.errors import PictureTooLarge, PredictionError, UnreadablePicture
from prediction_model.labels.watermark import read
from prediction_model.settings import ROOT
from prediction_model.types import BgrFrame, JsonObject

MOST_FRAMES = 12
"""Looked at in a film, evenly spaced."""
MOST_DECODED = 1500
"""Frames of a film that are decoded to find them; in a longer one only key frames are looked at."""
FILM_BYTES_OF_MEMORY = 2 << 30
"""Address space of the process that reads a film."""
FILM_SECONDS = 14
"""Its time; client_app waits 15 s."""
FILM_NICENESS = 10


def marks_of_picture(picture: BgrFrame, key: bytes) -> JsonObject:
    """The mark in one picture, uint8 [H, W, 3] BGR: `{"frames", "marks"}` as in docs/architecture.md."""
    return _marks([picture], key)


def marks_of_film(data: bytes, key: bytes, max_pixels: int) -> JsonObject:
    """The marks in a film, read by a process of its own: `{"frames", "marks"}`, the most frequent first.

    Args:
        data: the whole file; nothing is written to disk.
        key: the watermark's.
        max_pixels: most pixels of a frame.

    Raises:
        UnreadablePicture: it is no film, a broken one, or one that takes too much memory or time.
        PictureTooLarge: its frames have too many pixels.
    """
    order = json.dumps({"key": key.hex(), "max_pixels": max_pixels}).encode() + b"\n"
    command = [sys.executable, "-m", "prediction_model.studio.marks"]
    try:
        done = subprocess.run(
            command, input=order + data, capture_output=True, cwd=ROOT, timeout=FILM_SECONDS, check=True
        )
        answer: JsonObject = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError):
        raise UnreadablePicture("Expected a film that can be read in little time; this cannot. Cut it first.") from None
    if "too_large" in answer:
        raise PictureTooLarge(answer["too_large"])
    if "unreadable" in answer:
        raise UnreadablePicture(answer["unreadable"])
    return answer


def _read_film(data: bytes, key: bytes, max_pixels: int) -> JsonObject:
    """What `marks_of_film` answers and raises, in this process."""
    import av

    bound = {"max_pixels": str(max_pixels)}
    try:
        with av.open(io.BytesIO(data), "r", format="mov", options=bound) as film:
            keys = [bool(packet.is_keyframe) for packet in film.demux(_pictures(film)) if packet.size]
        with av.open(io.BytesIO(data), "r", format="mov", options=bound) as film:
            stream = _pictures(film)
            stream.codec_context.options = bound
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


def _main() -> None:
    """Read an order and a film from standard input; write the answer to standard output, as JSON."""
    try:
        import resource
    except ImportError:  # not on Windows: there the time alone is bounded
        pass
    else:
        os.nice(FILM_NICENESS)
        resource.setrlimit(resource.RLIMIT_AS, (FILM_BYTES_OF_MEMORY, FILM_BYTES_OF_MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (FILM_SECONDS, FILM_SECONDS))
    order = json.loads(sys.stdin.buffer.readline())
    answer: JsonObject
    try:
        answer = _read_film(sys.stdin.buffer.read(), bytes.fromhex(order["key"]), order["max_pixels"])
    except PictureTooLarge as error:
        answer = {"too_large": str(error)}
    except PredictionError as error:
        answer = {"unreadable": str(error)}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    _main()
