"""One frame through the rooms: decode → find → swap (align, engine) → paste → label → encode.

The pipeline fails closed. Whatever it returns was labelled, and shows the wearer's own face nowhere that a swap was
asked for: when no face is found or a stage raises, the frame becomes a labelled blur, black, or nothing
(`on_failure`); when the label cannot be put on, nothing leaves at all.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from prediction_model.compositing.composite import composite
from prediction_model.compositing.veil import black_frame, veil_face, veil_frame
from prediction_model.engines.base import SwapEngine
from prediction_model.errors import LabellingFailed, PredictionError
from prediction_model.faces.align import align
from prediction_model.faces.detect import BlazeFace, Detection, Detector
from prediction_model.faces.finder import DETECT_EVERY, FaceFinder, FoundFace
from prediction_model.faces.hands import Hand, HandFinder, available
from prediction_model.faces.shape import RunningShape, observe
from prediction_model.faces.track import Track, TrackedFace, decode_track, encode_track
from prediction_model.options import FrameOptions
from prediction_model.types import AlignedFace, BgrFrame, Box, JsonObject, Milliseconds, SwappedFace

LOG = logging.getLogger(__name__)

NOMINAL_STEP_US = 33_333
"""Between two frames whose capture times are not given."""
LONGEST_STEP_US = 500_000
"""After a longer pause, or a step back in time, nothing is smoothed."""
LOG_EVERY_SECONDS = 5.0
STAYS_PRIMARY = 0.75
"""The face swapped last stays the swapped one until another is larger by this ratio."""
DOUBTED = 0.05
"""Of the face: where an engine is sure of all but so much, nobody looks for hands."""

Label = Callable[[BgrFrame, int], BgrFrame]
"""Puts badge and watermark on a frame: (frame, 32-bit payload) → frame."""


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """One frame and what to make of it."""

    picture: bytes
    """JPEG, PNG or WebP."""
    options: FrameOptions = field(default_factory=FrameOptions)
    track: object = None
    """The `track` of the last answer, as it came back."""
    captured_us: int | None = None
    """Capture time in microseconds, on any clock that only goes forward."""
    payload: int = 0
    """32 bits for the watermark: the session's."""
    detections: Sequence[Detection] | None = None
    """Where the caller says the faces are; None: they are looked for."""


@dataclass(frozen=True, slots=True)
class FrameAnswer:
    """What became of one frame."""

    picture: bytes | None
    """JPEG; None when it is held back."""
    faces: list[FoundFace]
    swapped: bool
    track: str
    timings_ms: dict[str, Milliseconds]
    mirrored_width: int | None = None
    """The frame's width where the answer is mirrored: boxes are then mirrored too."""

    def json(self) -> JsonObject:
        """The answer of the contract, without its image."""
        faces = []
        for face in self.faces:
            box = face.box
            x = box.x if self.mirrored_width is None else self.mirrored_width - 1 - box.x - box.width
            numbers = [round(v, 1) for v in (x, box.y, box.width, box.height)]
            faces.append({"box": numbers, "confidence": round(face.confidence, 3), "number": face.number})
        timings = {stage: round(ms, 3) for stage, ms in self.timings_ms.items()}
        return {"faces": faces, "swapped": self.swapped, "track": self.track, "timings_ms": timings}


class Pipeline:
    """Runs frames. Thread-safe: each thread has its own networks."""

    def __init__(
        self, decode: Callable[[bytes], BgrFrame], label: Label, detector: Callable[[], Detector] = BlazeFace
    ) -> None:
        self._decode = decode
        self._label = label
        self._detector = detector
        self._local = threading.local()
        self._log_next = 0.0

    @property
    def finder(self) -> FaceFinder:
        """This thread's face finder."""
        if not hasattr(self._local, "finder"):
            self._local.finder = FaceFinder(self._detector())
        finder: FaceFinder = self._local.finder
        return finder

    @property
    def hands(self) -> HandFinder | None:
        """This thread's finder of hands; None where its models are not installed."""
        if not hasattr(self._local, "hands"):
            self._local.hands = HandFinder() if available() else None
        finder: HandFinder | None = self._local.hands
        return finder

    def run(
        self, request: FrameRequest, engine: SwapEngine, assigned: Mapping[int, SwapEngine] | None = None
    ) -> FrameAnswer:
        """Swap the face or faces of one frame.

        Args:
            request: the frame.
            engine: swaps every face that none is assigned to.
            assigned: number of a face → the engine of its own identity.

        Raises:
            PredictionError: the picture cannot be read, the track is none, or the label could not be put on.
        """
        clock = _Stages()
        options = request.options
        with clock("decode"):
            frame = self._decode(request.picture)
        height, width = frame.shape[:2]
        track = decode_track(request.track, width, height)
        captured_us, seconds = _time(request.captured_us, track)
        faces: list[FoundFace] = []
        lost: list[TrackedFace] = []
        kept: list[TrackedFace] = []
        before: list[Hand] = []
        since_detection = 0
        shown: BgrFrame | None = None
        try:
            with clock("find"):
                if request.detections is None:
                    found = self.finder.find(frame, track, seconds)
                else:
                    found = self.finder.at(frame, request.detections)
                faces, lost, since_detection = _primary_first(found.faces), found.lost, found.since_detection
            if faces:
                swapped = faces if options.faces == "all" else faces[:1]
                wearing = [assigned.get(face.number, engine) if assigned else engine for face in swapped]
                with clock("swap"):
                    swaps = _swap(frame, swapped, wearing)
                with clock("find"):
                    before = self._hands_before(frame, swapped[0], swaps[0], track, since_detection)
                with clock("paste"):
                    _veil_others(frame, faces[len(swapped) :], lost, found.beyond, options)
                    for face, swap in zip(swapped, swaps, strict=True):
                        kept.append(_composite(frame, face, swap, before, options, seconds))
                    if any(face.look for face in kept):
                        shown = frame
        except Exception as error:
            # Anything at all: the wearer must not be shown because of it.
            self._log(error)
            shown, kept, before = None, [], []
        kept += [TrackedFace(face.mesh[:, :2], None, number=face.number) for face in faces[len(kept) :]] + lost
        swapped_any = shown is not None
        if shown is None:
            shown = _instead(frame, options)
        places = tuple(hand.square for hand in before)
        after = encode_track(Track(tuple(kept), width, height, since_detection, captured_us, places))
        mirrored = width if options.mirror else None
        picture = None if shown is None else self._finish(shown, request, clock)
        return FrameAnswer(picture, faces, swapped_any, after, clock.ms, mirrored)

    def _hands_before(
        self, frame: BgrFrame, face: FoundFace, swap: _Swap, track: Track | None, since_detection: int
    ) -> list[Hand]:
        """The hands near `face`: those of the frame before, and new ones where its engine doubts that it is free."""
        places = track.hands if track else ()
        # Between the frames that are searched for faces, so that none takes both.
        due = track is None or since_detection % DETECT_EVERY == DETECT_EVERY // 2
        search = due and swap.result.doubt > DOUBTED
        if not (places or search) or self.hands is None:
            return []
        return self.hands.find(frame, face.box, places, search)

    def _log(self, error: Exception) -> None:
        """Say what broke, at most once in `LOG_EVERY_SECONDS`: a session brings thirty frames in each of them."""
        now = time.monotonic()
        if now >= self._log_next:
            self._log_next = now + LOG_EVERY_SECONDS
            LOG.error("a frame was not swapped: %s", type(error).__name__, exc_info=error)

    def _finish(self, frame: BgrFrame, request: FrameRequest, clock: _Stages) -> bytes:
        """Mirror, label and encode."""
        if request.options.mirror:
            frame = np.ascontiguousarray(frame[:, ::-1])
        with clock("label"):
            try:
                frame = self._label(frame, request.payload)
            except PredictionError:
                raise
            except Exception as error:
                raise LabellingFailed(
                    "The frame could not be labelled, so it is held back: send the next one."
                ) from error
        with clock("encode"):
            encoded, jpeg = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, request.options.quality])
            if not encoded:
                raise PredictionError("The answer could not be encoded as JPEG: send the next frame.")
            return jpeg.tobytes()


@dataclass(frozen=True, slots=True)
class _Swap:
    """One face, swapped and not yet pasted."""

    engine: SwapEngine
    crop: AlignedFace
    shape: RunningShape
    result: SwappedFace


def _swap(frame: BgrFrame, faces: Sequence[FoundFace], wearing: Sequence[SwapEngine]) -> list[_Swap]:
    """Each of `faces` swapped by its engine, in order; an engine gets all of its faces in one call."""
    swaps: dict[int, _Swap] = {}
    for engine in dict.fromkeys(wearing):
        of_engine = [place for place, each in enumerate(wearing) if each is engine]
        crops, shapes = _crops(frame, [faces[place] for place in of_engine], engine.crop_size)
        for place, crop, shape, result in zip(of_engine, crops, shapes, engine.swap(crops), strict=True):
            swaps[place] = _Swap(engine, crop, shape, result)
    return [swaps[place] for place in range(len(faces))]


def _crops(frame: BgrFrame, faces: Sequence[FoundFace], size: int) -> tuple[list[AlignedFace], list[RunningShape]]:
    """The aligned faces, each with its wearer's proportions as far as they are known."""
    crops, shapes = [], []
    for face in faces:
        crop = align(frame, face.mesh, size)
        shape = observe(face.before.shape if face.before else None, crop.mesh, size)
        crops.append(replace(crop, shape=shape.mean))
        shapes.append(shape)
    return crops, shapes


def _composite(
    frame: BgrFrame, face: FoundFace, swap: _Swap, hands: Sequence[Hand], options: FrameOptions, seconds: float
) -> TrackedFace:
    """Paste one swapped face, or blur it if too little of it is in sight; what the next frame needs to know of it."""
    look = composite(
        frame,
        swap.crop,
        swap.result,
        live_eyes=options.eyes == "mine" if options.eyes else "eyes" in swap.engine.live_parts,
        live_mouth=options.mouth == "mine" if options.mouth else "mouth" in swap.engine.live_parts,
        strength=options.strength,
        edge=options.edge,
        hands=hands,
        before=face.before.look if face.before else None,
        seconds=seconds,
    )
    if look is None:
        veil_face(frame, face.mesh)
        return TrackedFace(face.mesh[:, :2], None, number=face.number)
    return TrackedFace(face.mesh[:, :2], look, swap.shape, number=face.number)


def _veil_others(
    frame: BgrFrame,
    bystanders: Sequence[FoundFace],
    lost: Sequence[TrackedFace],
    beyond: Sequence[Box],
    options: FrameOptions,
) -> None:
    """Blur the faces that are not swapped, the places where one that should be was last seen, and a crowd."""
    if options.bystanders == "blur":
        for bystander in bystanders:
            veil_face(frame, bystander.mesh)
    for face in lost:
        if face.look is not None or options.bystanders == "blur":
            veil_face(frame, face.points)
    if options.bystanders == "blur" or options.faces == "all":
        for box in beyond:
            veil_face(frame, np.array([[box.x, box.y], [box.x + box.width, box.y + box.height]], np.float32))


def _instead(frame: BgrFrame, options: FrameOptions) -> BgrFrame | None:
    """What is shown of a frame that could not be swapped."""
    if options.on_failure == "hold":
        return None
    return veil_frame(frame) if options.on_failure == "blur" else black_frame(frame)


def _primary_first(faces: Sequence[FoundFace]) -> list[FoundFace]:
    """The largest face first; the one swapped in the frame before stays first while none is clearly larger."""
    ordered = sorted(faces, key=lambda face: -face.size)
    for face in faces:
        if face.before and face.before.look is not None and face.size >= STAYS_PRIMARY * ordered[0].size:
            return [face, *(other for other in ordered if other is not face)]
    return ordered


def _time(captured_us: int | None, track: Track | None) -> tuple[int, float]:
    """The frame's capture time, and the seconds since the frame that `track` tells of (0: smooth nothing)."""
    if track is None:
        return captured_us or 0, 0.0
    now = track.captured_us + NOMINAL_STEP_US if captured_us is None else captured_us
    step = now - track.captured_us
    return now & 0xFFFF_FFFF_FFFF_FFFF, step / 1e6 if 0 < step <= LONGEST_STEP_US else 0.0


class _Stages:
    """Wall clock per stage, milliseconds."""

    def __init__(self) -> None:
        self.ms: dict[str, Milliseconds] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.ms[stage] = self.ms.get(stage, 0.0) + (time.perf_counter() - started) * 1e3
