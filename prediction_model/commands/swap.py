"""`swap`: the faces of a picture or a video, as a file; labelled like every frame."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from prediction_model.errors import PredictionError, RunRefused, UnreadablePicture
from prediction_model.prediction import ModelPrediction
from prediction_model.settings import current
from prediction_model.types import BgrFrame, JsonObject

HELP = "swap the faces of a picture or a video; what comes out is labelled"
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".avif"}
PICTURES_OUT = {".jpg", ".jpeg"}
VIDEOS_OUT = {".mp4", ".mkv", ".mov"}
WORKING_QUALITY = 95
"""JPEG between the video's decoder and the model."""
CONSTANT_RATE_FACTOR = "20"
"""Of x264: lower is better and larger."""
USAGE, FAILED = 2, 1

Progress = Callable[[int, int], None]
"""Frames done, frames in all (0: unknown)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("source", metavar="IN", type=Path, help="a picture (JPEG, PNG, WebP, AVIF) or a video")
    parser.add_argument("target", metavar="OUT", type=Path, help="a .jpg for a picture; .mp4, .mkv or .mov for a video")
    parser.add_argument("--identity", default="p1", help="whose face to put on (default: %(default)s)")
    parser.add_argument("--engine", choices=("autoencoder", "photo", "onnx"), help="default: the identity's own")
    parser.add_argument("--faces", choices=("largest", "all"), default="largest", help="default: %(default)s")
    parser.add_argument("--bystanders", choices=("blur", "leave"), default="blur", help="default: %(default)s")
    parser.add_argument(
        "--on-failure",
        choices=("blur", "black"),
        default="blur",
        help="for frames without a face (default: %(default)s)",
    )
    parser.add_argument("--model-dir", type=Path, help="folder of identity packages (default: the gallery)")
    parser.add_argument("--force", action="store_true", help="overwrite OUT")


def run(arguments: argparse.Namespace) -> int:
    """Swap; 0 when OUT is whole, 1 when it could not be made (and is not there), 2 for wrong use."""
    source, target = arguments.source, arguments.target
    wanted = PICTURES_OUT if source.suffix.lower() in PICTURES else VIDEOS_OUT
    for wrong, sentence in (
        (not source.is_file(), f"there is no file {source}"),
        (target.suffix.lower() not in wanted, f"OUT must end in {' or '.join(sorted(wanted))}, received {target.name}"),
        (target.exists() and not arguments.force, f"{target} is there already: give --force to overwrite it"),
        (target.is_dir(), f"{target} is a folder: name a file"),
        (not target.parent.is_dir(), f"there is no folder {target.parent}"),
    ):
        if wrong:
            print(f"swap: {sentence}.", file=sys.stderr)
            return USAGE
    options = {
        "identity": arguments.identity,
        "engine": arguments.engine,
        "faces": arguments.faces,
        "bystanders": arguments.bystanders,
        "on_failure": arguments.on_failure,
        "quality": WORKING_QUALITY,
    }
    model = ModelPrediction.from_path(arguments.model_dir or current().gallery_folder)
    with _whole_or_gone(target) as partial:
        if wanted is PICTURES_OUT:
            picture, answer = model.predict_frame(source.read_bytes(), {"options": options})
            partial.write_bytes(picture or b"")
            if not answer["swapped"]:
                shown = "black" if arguments.on_failure == "black" else "blurred"
                print(f"swap: no face was found in {source}; {target} shows it {shown}.", file=sys.stderr)
        else:
            swap_video(source, partial, model, options, _bar())
    return 0


def swap_video(source: Path, target: Path, model: ModelPrediction, options: JsonObject, progress: Progress) -> int:
    """Swap every frame of a video, keeping its sound and its turn; the number of frames.

    Raises:
        UnreadablePicture: it is no video, or a broken one.
        RunRefused: it cannot be written.
    """
    import av

    try:
        with av.open(str(source)) as video:
            if not video.streams.video:
                raise UnreadablePicture(f"Expected a video; {source} has no picture track.")
            stream = video.streams.video[0]
            stream.thread_type = "AUTO"
            with av.open(str(target), "w", options={"movflags": "faststart"}) as made:
                return _transcode(video, stream, made, model, options, progress)
    except av.FFmpegError as error:
        raise UnreadablePicture(f"The video {source} cannot be read to its end ({error}): convert it first.") from error
    except OSError as error:
        raise RunRefused(f"The video cannot be written ({error}): free some space or choose another folder.") from error


def _transcode(
    video: Any, stream: Any, made: Any, model: ModelPrediction, options: JsonObject, progress: Progress
) -> int:
    sound = video.streams.audio[0] if video.streams.audio else None
    copied = made.add_stream_from_template(sound) if sound else None
    encoder: Any = None
    early: list[Any] = []
    track, number = None, 0
    for packet in video.demux([each for each in (stream, sound) if each]):
        if packet.stream is sound:
            if packet.dts is not None:
                packet.stream = copied
                early.append(packet)
            # The first packet writes the file's header: every track must be known by then.
            while encoder is not None and early:
                made.mux(early.pop(0))
            continue
        for frame in packet.decode():
            live = _upright(frame)
            if encoder is None:
                encoder = _encoder(made, stream, live)
            answer_frame, track = _swap(model, live, options, track, frame)
            out = _video_frame(answer_frame, encoder)
            out.pts, out.time_base = frame.pts, frame.time_base
            made.mux(encoder.encode(out))
            number += 1
            progress(number, stream.frames)
    if encoder is None:
        raise UnreadablePicture("Expected a video with frames; this has none.")
    for packet in (*early, *encoder.encode(None)):
        made.mux(packet)
    return number


def _swap(model: ModelPrediction, live: BgrFrame, options: JsonObject, track: Any, frame: Any) -> tuple[BgrFrame, Any]:
    """The swapped frame, and the track for the next."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, WORKING_QUALITY]
    instance: JsonObject = {"options": options, "track": track}
    if frame.time is not None and frame.time >= 0:
        instance["captured_us"] = int(frame.time * 1e6)
    picture, answer = model.predict_frame(cv2.imencode(".jpg", live, quality)[1].tobytes(), instance)
    swapped = cv2.imdecode(np.frombuffer(picture or b"", np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(swapped, np.uint8), answer["track"]


def _upright(frame: Any) -> BgrFrame:
    """uint8 [H, W, 3] BGR, turned as the video says, with even sides as H.264 wants them."""
    live = frame.to_ndarray(format="bgr24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    live = np.rot90(live, turns) if turns else live
    height, width = live.shape[:2]
    return np.ascontiguousarray(live[: height - height % 2, : width - width % 2])


def _encoder(made: Any, stream: Any, first: BgrFrame) -> Any:
    rate = stream.average_rate or stream.guessed_rate or Fraction(30)
    encoder = made.add_stream("libx264", rate=rate)
    encoder.height, encoder.width = first.shape[:2]
    encoder.pix_fmt = "yuv420p"
    # The frames keep their own times, so the encoder counts in the same unit.
    encoder.codec_context.time_base = stream.time_base
    encoder.options = {"crf": CONSTANT_RATE_FACTOR, "preset": "veryfast"}
    return encoder


def _video_frame(picture: BgrFrame, encoder: Any) -> Any:
    import av

    return av.VideoFrame.from_ndarray(picture[: encoder.height, : encoder.width], format="bgr24")


@contextmanager
def _whole_or_gone(target: Path) -> Iterator[Path]:
    """A path to write to, which becomes `target` when all went well and is removed when not."""
    partial = target.with_name(f".{target.stem}.partial{target.suffix}")
    try:
        yield partial
        partial.replace(target)
    except OSError as error:
        raise RunRefused(f"{target} cannot be written ({error}): free some space or choose another folder.") from error
    except (PredictionError, KeyboardInterrupt):
        raise
    finally:
        partial.unlink(missing_ok=True)


def _bar() -> Progress:
    """A progress bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        return lambda done, total: None

    def show(done: int, total: int) -> None:
        share = min(done / total, 1.0) if total else 0.0
        bar = "█" * round(share * 30) + "░" * (30 - round(share * 30)) if total else ""
        end = "\n" if total and done >= total else ""
        print(f"\r{bar} {done}{f' of {total}' if total else ''} frames", end=end, file=sys.stderr, flush=True)

    return show
