"""What one frame costs: the pipeline of `ModelPrediction` on one thread, stage by stage, for every engine of one
identity.

Frames are 640×480 JPEGs of quality 90, one after the other with their `track`, as a live session sends them: the
committed wearers, whose faces are large, or the 640×480 clips of the measuring material. `network_ms` is the engine
alone. `frame_cpu_ms` counts the thread's own processor time, which a busy machine inflates less.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from prediction_model.commands import whole
from prediction_model.engines.base import SwapEngine
from prediction_model.errors import PredictionError
from prediction_model.options import FrameOptions
from prediction_model.pipeline import FrameRequest
from prediction_model.prediction import ModelPrediction
from prediction_model.settings import Settings
from prediction_model.types import AlignedFace, SwappedFace

ROOT = Path(__file__).resolve().parent.parent
GALLERY = ROOT / "prediction_model" / "identities" / "gallery"
WEARERS = ROOT / "tests" / "data" / "wearers"
SIZE = (640, 480)
QUALITY = 90
STAGES = ("decode", "find", "swap", "paste", "label", "encode")
WARM_UP = 5
"""Frames of each clip that are not counted."""
MOST_FRAMES = 100_000


class Timed:
    """An engine, and how long each of its calls took."""

    def __init__(self, engine: SwapEngine) -> None:
        self._engine = engine
        self.name, self.crop_size = engine.name, engine.crop_size
        self.live_parts = engine.live_parts
        self.milliseconds: list[float] = []

    def swap(self, faces: Sequence[AlignedFace]) -> list[SwappedFace]:
        started = time.perf_counter()
        swapped = self._engine.swap(faces)
        self.milliseconds.append((time.perf_counter() - started) * 1e3)
        return swapped


def run(data: Path | None, arguments: Sequence[str] = ()) -> Mapping[str, float]:
    """See `benchmarks`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks pipeline")
    parser.add_argument("--frames", type=whole(1, MOST_FRAMES), default=240, help="frames measured per engine")
    parser.add_argument("--identity", default="p1")
    parser.add_argument("--engine", action="append", help="one engine; default: all of the identity")
    options = parser.parse_args(arguments)
    clips = sorted((data / "clips").glob("*.mkv")) if data else sorted(WEARERS.glob("*.mp4"))
    if not clips:
        parser.error(f"--data: expected clips/*.mkv in {data}, found none; leave it out to measure on the wearers")
    model = ModelPrediction.from_path(GALLERY, Settings())
    try:
        sessions = [read_clip(clip, WARM_UP + -(-options.frames // len(clips))) for clip in clips]
        package = model.identities.get(options.identity)
        engines = options.engine or list(package.engines)
        if unknown := set(engines) - set(package.engines):
            raise ValueError(f"--engine: expected some of {', '.join(package.engines)}, received {min(unknown)}")
    except (ValueError, PredictionError) as error:
        parser.error(str(error))
    results: dict[str, float] = {}
    for engine in engines:
        print(f"{engine}: {sum(map(len, sessions)) - WARM_UP * len(sessions)} frames", file=sys.stderr)
        results |= {
            f"{engine}.{name}": value for name, value in measure(model, options.identity, engine, sessions).items()
        }
    return results


def read_clip(path: Path, frames: int) -> list[bytes]:
    """The first `frames` of a clip, as JPEGs of 640×480; it starts again where it is too short.

    Raises:
        ValueError: it has none that can be read.
    """
    clip = cv2.VideoCapture(str(path))
    found: list[bytes] = []
    while len(found) < frames:
        more, frame = clip.read()
        if not more:
            break
        found.append(cv2.imencode(".jpg", cv2.resize(frame, SIZE), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())
    if not found:
        raise ValueError(f"Expected a film, and {path} has no frame that can be read: replace or remove it.")
    return (found * -(-frames // len(found)))[:frames]


def measure(model: ModelPrediction, identity: str, engine: str, sessions: list[list[bytes]]) -> dict[str, float]:
    """Median and 95th percentile of every frame, and medians of its stages, in milliseconds."""
    package = model.identities.get(identity)
    timed = Timed(model.engine_of(package, engine))
    whole: list[float] = []
    cpu: list[float] = []
    stages: dict[str, list[float]] = {stage: [] for stage in STAGES}
    swapped = 0
    for session in sessions:
        track = None
        for index, picture in enumerate(session):
            request = FrameRequest(picture, FrameOptions(), track, captured_us=index * 33_333)
            started, started_cpu = time.perf_counter(), time.thread_time()
            answer = model.pipeline.run(request, timed)
            took, took_cpu = time.perf_counter() - started, time.thread_time() - started_cpu
            track = answer.track
            if index < WARM_UP:
                continue
            whole.append(took * 1e3)
            cpu.append(took_cpu * 1e3)
            swapped += answer.swapped
            for stage in STAGES:
                stages[stage].append(answer.timings_ms.get(stage, 0.0))
    return {
        "frame_ms_p50": float(np.median(whole)),
        "frame_ms_p95": float(np.percentile(whole, 95)),
        "frame_cpu_ms_p50": float(np.median(cpu)),
        "network_ms_p50": float(np.median(timed.milliseconds)),
        "fps_per_core": 1e3 / float(np.median(whole)),
        "swapped_share": swapped / len(whole),
        **{f"{stage}_ms_p50": float(np.median(times)) for stage, times in stages.items()},
    }
