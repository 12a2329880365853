"""What one frame tells the next about its faces and the hands before them: the `track` that travels with the answer and
comes back with the next frame.

The service keeps nothing between frames, so any replica serves any frame. A track is not signed: it comes from outside,
and all that a forged one can do is to point the networks at a wrong place, which they then refuse.
"""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prediction_model.errors import BadInstance
from prediction_model.faces.hands import MOST_HANDS, Square
from prediction_model.faces.landmarks import POINTS
from prediction_model.faces.shape import COEFFICIENTS, LARGEST, MEMORY, RunningShape

VERSION = 3
MAX_FACES = 4
GAIN_CELLS = 8
"""The crop is divided into this many cells a side for the smoothed colour gains."""
MAX_GAIN = 8.0
CONTRAST = (0.5, 1.0)
SOFTNESS = (-0.8, 1.6)
"""What `Look` may hold."""
MAX_LOST = 127
SMALLEST_FACE = 8.0
"""Pixels: a smaller box in a track is a forged or a spoilt one."""

_HEADER = struct.Struct("<BBBHHHQ")
_BOX = struct.Struct("<4f")
_HAND = struct.Struct("<4f")
_STATE = struct.Struct("<3B")
_POINT_BYTES = POINTS * 2 * 2
_LOOK_NUMBERS = GAIN_CELLS * GAIN_CELLS * 3 + 2
_SHAPE_NUMBERS = COEFFICIENTS * 2
_FACE_BYTES = _BOX.size + _STATE.size + _POINT_BYTES + (_LOOK_NUMBERS + _SHAPE_NUMBERS) * 2
MAX_CHARACTERS = 4 * ((_HEADER.size + MAX_FACES * _FACE_BYTES + MOST_HANDS * _HAND.size + 2) // 3)


@dataclass(frozen=True, slots=True)
class Look:
    """How a swapped face was made to look like its surroundings; `compositing.colour` and `compositing.detail` fill it
    in."""

    gains: npt.NDArray[np.float32]
    """float32 [8, 8, 3], RGB: what the face is multiplied by, cell by cell of the crop."""
    contrast: float
    """What its differences from plain skin are multiplied by."""
    softness: float
    """Standard deviation, in frame pixels, of the blur that it gets; negative: how much it is sharpened."""


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """One face of the frame before."""

    points: npt.NDArray[np.float32]
    """float32 [468, 2], smoothed, frame pixels."""
    look: Look | None
    """How it looked; None when it was not swapped."""
    shape: RunningShape | None = None
    """Its proportions; None when it was not swapped."""
    lost: int = 0
    """For how many frames it has not been found; `points` are where it was last."""
    number: int = 0
    """1 to `MAX_FACES`, its own for as long as it is followed; 0: it has none yet."""


@dataclass(frozen=True, slots=True)
class Track:
    """The faces of one frame, the swapped one first."""

    faces: tuple[TrackedFace, ...]
    width: int
    height: int
    since_detection: int
    """Frames since the whole frame was last searched in its turn."""
    captured_us: int
    """Capture time of the frame, microseconds."""
    hands: tuple[Square, ...] = ()
    """Where hands were near the swapped face."""


def encode_track(track: Track) -> str:
    """`track` as ASCII, at most `MAX_CHARACTERS`. Points are quantised to 1/65535 of their face's box."""
    faces, hands = track.faces[:MAX_FACES], track.hands[:MOST_HANDS]
    since = min(track.since_detection, 0xFFFF)
    parts = [_HEADER.pack(VERSION, len(faces), len(hands), track.width, track.height, since, track.captured_us)]
    for face in faces:
        across, down = face.points.T
        low, high = np.array([across.min(), down.min()]), np.array([across.max(), down.max()])
        extent = np.maximum(high - low, 1e-3)
        parts.append(_BOX.pack(*low, *extent))
        seen = (face.look is not None) | min(face.lost, MAX_LOST) << 1
        parts.append(_STATE.pack(seen, face.shape.frames if face.shape else 0, face.number))
        parts.append(((face.points - low) / extent * 65535 + 0.5).astype("<u2").tobytes())
        look = np.zeros(_LOOK_NUMBERS)
        if face.look is not None:
            look = np.append(face.look.gains, [face.look.contrast, face.look.softness])
        parts.append(look.astype("<f2").tobytes())
        shape = np.zeros(_SHAPE_NUMBERS) if face.shape is None else face.shape.mean
        parts.append(shape.astype("<f2").tobytes())
    parts += [_HAND.pack(hand.x, hand.y, hand.side, hand.angle) for hand in hands]
    return base64.b64encode(b"".join(parts)).decode("ascii")


def decode_track(text: object, width: int, height: int) -> Track | None:
    """The track that `encode_track` wrote, for a frame of `width` by `height` pixels.

    Returns:
        None when there is none, or one of another version or of another frame size: the faces are then looked for anew.

    Raises:
        BadInstance: it is not a track at all.
    """
    if text is None or text == "":
        return None
    if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
        raise BadInstance(
            f"`track` must be null or the text of the last answer, at most {MAX_CHARACTERS} characters; "
            f"received {type(text).__name__}{f' of {len(text)} characters' if isinstance(text, str) else ''}."
        )
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadInstance("`track` must be the text of the last answer, and this is not base64: send null.") from None
    if raw and raw[0] != VERSION:
        return None
    if len(raw) < _HEADER.size:
        raise BadInstance("`track` is cut short: send the text of the last answer, or null.")
    _, count, hands, track_width, track_height, since, captured_us = _HEADER.unpack_from(raw)
    hands_start = _HEADER.size + count * _FACE_BYTES
    if count > MAX_FACES or hands > MOST_HANDS or len(raw) != hands_start + hands * _HAND.size:
        raise BadInstance(
            f"`track` does not hold what it announces ({count} faces, {hands} hands): send the last answer's, or null."
        )
    if (track_width, track_height) != (width, height):
        return None
    faces = [_decode_face(raw, _HEADER.size + i * _FACE_BYTES, width, height) for i in range(count)]
    places = [_decode_hand(raw, hands_start + i * _HAND.size, width, height) for i in range(hands)]
    known = tuple(place for place in places if place is not None)
    return Track(tuple(f for f in faces if f is not None), width, height, since, captured_us, known)


def _decode_hand(raw: bytes, start: int, width: int, height: int) -> Square | None:
    """One hand's place, or None if no hand of this frame can be there."""
    x, y, side, angle = _HAND.unpack_from(raw, start)
    reach = 2.0 * max(width, height)
    if not np.isfinite((x, y, side, angle)).all() or max(abs(x), abs(y), side, abs(angle)) > reach:
        return None
    return Square(x, y, side, angle) if side >= SMALLEST_FACE else None


def _decode_face(raw: bytes, start: int, width: int, height: int) -> TrackedFace | None:
    """One face, or None if no face of this frame can be there."""
    box = np.array(_BOX.unpack_from(raw, start), np.float64)
    reach = 2.0 * max(width, height)
    if not np.isfinite(box).all() or np.abs(box).max() > reach or box[2:].min() < SMALLEST_FACE:
        return None
    seen, frames, number = _STATE.unpack_from(raw, start + _BOX.size)
    at = start + _BOX.size + _STATE.size
    quantised = np.frombuffer(raw, "<u2", POINTS * 2, at).reshape(POINTS, 2)
    points = (quantised / 65535.0 * box[2:] + box[:2]).astype(np.float32)
    numbers = np.frombuffer(raw, "<f2", _LOOK_NUMBERS + _SHAPE_NUMBERS, at + _POINT_BYTES).astype(np.float32)
    lost = seen >> 1
    number = number if number <= MAX_FACES else 0
    if not seen & 1 or not frames or not np.isfinite(numbers).all():
        return TrackedFace(points, None, lost=lost, number=number)
    look, mean = numbers[:_LOOK_NUMBERS], numbers[_LOOK_NUMBERS:].reshape(COEFFICIENTS, 2)
    gains = np.clip(look[:-2].reshape(GAIN_CELLS, GAIN_CELLS, 3), 1 / MAX_GAIN, MAX_GAIN)
    contrast, softness = float(np.clip(look[-2], *CONTRAST)), float(np.clip(look[-1], *SOFTNESS))
    shape = RunningShape(np.clip(mean, -LARGEST, LARGEST), min(frames, MEMORY))
    return TrackedFace(points, Look(gains, contrast, softness), shape, lost, number)
