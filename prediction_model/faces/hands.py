"""The hands before a face: palms are looked for where an engine doubts that the face is free, and each is followed
from frame to frame by the 21 points of its joints (Zhang et al., 2020, arXiv:2006.10214).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.errors import FaceModelMissing
from prediction_model.faces.models import HAND, PALM, interpreter, model_file
from prediction_model.types import BgrFrame, Box, Mask, Matrix

LOG = logging.getLogger(__name__)

Points = npt.NDArray[np.float32]

POINTS = 21
WRIST, MIDDLE_KNUCKLE = 0, 9
KNUCKLES = (5, 9, 13, 17)
PALM_OUTLINE = (0, 1, 2, 5, 9, 13, 17)
FINGERS = ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (17, 18, 19, 20))
"""Indices of the points, from the palm outwards."""

MOST_HANDS = 2
REGION = 4.0
"""Of the face's size: side of the square around it in which palms are looked for."""
NEAR = 1.3
"""Of the face's size: a hand is followed while its middle is nearer than this to the face's."""
PALM_INPUT, HAND_INPUT = 192, 224
PALM_FLOOR, HAND_FLOOR = 0.5, 0.6
"""How sure the networks must be of a palm, and of a hand."""
SAME_PALM = 0.5
"""Of its side: squares whose middles are nearer than this are of one palm."""

PALM_SCALE, PALM_SHIFT = 2.6, 0.5
HAND_SCALE, HAND_SHIFT = 2.0, 0.1
"""From a palm's box, or a hand's steady points, to the square around the whole hand: how much larger, and by how much
of the box's side further towards the fingers (MediaPipe's own values)."""
STEADY = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
"""The points that lie still while fingers bend."""

FINGER_WIDTH, PALM_RIM, ARM_WIDTH, ARM_LENGTH = 0.34, 0.25, 0.8, 1.6
"""Of the distance between the outer knuckles: how wide a finger is, how far the palm reaches beyond its joints, and
the forearm that is drawn behind the wrist."""
SOFT_EDGE = 0.012
"""Of the crop's side: standard deviation of the blur of a hand's outline."""
LARGEST_COVER = 0.65
"""Of the face: hands that hide more of it are not believed."""
_SHIFT = 4
"""Fractional bits of polygon corners."""


@dataclass(frozen=True, slots=True)
class Square:
    """Where a hand is: a square, turned so that its fingers point up."""

    x: float
    y: float
    """Its middle, frame pixels."""
    side: float
    """Frame pixels."""
    angle: float
    """Radians, clockwise."""

    def matrix(self, size: int) -> Matrix:
        """Frame pixels to those of the square at `size` pixels a side."""
        scale = size / max(self.side, 1.0)
        cos, sin = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        turn = np.array([[cos, sin], [-sin, cos]], np.float32)
        shift = size / 2 - turn @ np.array([self.x, self.y], np.float32)
        return np.column_stack([turn, shift]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Hand:
    """One hand of a frame."""

    points: Points
    """float32 [21, 2]: its joints in frame pixels, the wrist first, then each finger from the palm outwards."""
    confidence: float
    """0 to 1."""

    @property
    def middle(self) -> Points:
        """The middle of the palm, float32 [2]."""
        return np.asarray((self.points[WRIST] + self.points[MIDDLE_KNUCKLE]) / 2, np.float32)

    @property
    def square(self) -> Square:
        """Where to look for it in the next frame."""
        along = self.points[MIDDLE_KNUCKLE] - self.points[WRIST]
        angle = _upright(along)
        cos, sin = math.cos(angle), math.sin(angle)
        turned = self.points[list(STEADY)] @ np.array([[cos, -sin], [sin, cos]], np.float32)
        low, high = turned.min(axis=0), turned.max(axis=0)
        middle = np.array([[cos, -sin], [sin, cos]]) @ ((low + high) / 2)
        return _square(middle, float((high - low).max()), angle, HAND_SCALE, HAND_SHIFT)


class HandFinder:
    """Google's palm detector and hand joints, on LiteRT. Not thread-safe.

    Raises:
        FaceModelMissing: the models are not installed.
    """

    def __init__(self) -> None:
        self._palm, self._hand = interpreter(model_file(PALM)), interpreter(model_file(HAND))
        self._palm_input = self._palm.get_input_details()[0]["index"]
        self._boxes, self._scores = (each["index"] for each in self._palm.get_output_details())
        self._hand_input = self._hand.get_input_details()[0]["index"]
        self._joints, self._presence = (each["index"] for each in self._hand.get_output_details()[:2])
        self._anchors = _anchors()

    def find(self, frame: BgrFrame, face: Box, before: Sequence[Square], search: bool) -> list[Hand]:
        """The hands near `face` in `frame` [H, W, 3] BGR, at most `MOST_HANDS`.

        Args:
            before: where hands were in the frame before. They are followed there.
            search: look for others as well; one that was lost is looked for in any case.
        """
        size = max(face.width, face.height)
        middle = np.array([face.x + face.width / 2, face.y + face.height / 2], np.float32)
        hands = [hand for place in before[:MOST_HANDS] if (hand := self._look(frame, place))]
        if len(hands) < MOST_HANDS and (search or len(hands) < len(before)):
            for palm in self._palms(frame, Square(float(middle[0]), float(middle[1]), REGION * size, 0.0)):
                if len(hands) == MOST_HANDS:
                    break
                hand = self._look(frame, palm)
                if hand is not None and not any(_same(hand, other) for other in hands):
                    hands.append(hand)
        return [hand for hand in hands if float(np.linalg.norm(hand.middle - middle)) < NEAR * size]

    def _look(self, frame: BgrFrame, place: Square) -> Hand | None:
        """The hand in `place`, if one is."""
        matrix = place.matrix(HAND_INPUT)
        self._hand.set_tensor(self._hand_input, _rgb(frame, matrix, HAND_INPUT))
        self._hand.invoke()
        confidence = float(self._hand.get_tensor(self._presence).reshape(-1)[0])
        if confidence < HAND_FLOOR:
            return None
        joints = self._hand.get_tensor(self._joints).reshape(POINTS, 3)[:, :2]
        back = cv2.invertAffineTransform(matrix)
        return Hand((joints @ back[:, :2].T + back[:, 2]).astype(np.float32), confidence)

    def _palms(self, frame: BgrFrame, region: Square) -> list[Square]:
        """Squares of the hands whose palms are seen in `region`, the surest first."""
        matrix = region.matrix(PALM_INPUT)
        self._palm.set_tensor(self._palm_input, _rgb(frame, matrix, PALM_INPUT))
        self._palm.invoke()
        logits = self._palm.get_tensor(self._scores)[0, :, 0]
        likely = np.flatnonzero(logits > math.log(PALM_FLOOR / (1 - PALM_FLOOR)))
        # 9 pairs an anchor: centre, size, then seven joints, in input pixels from the anchor.
        pairs = self._palm.get_tensor(self._boxes)[0, likely].reshape(-1, 9, 2)
        pairs[:, [0, 2, 3, 4, 5, 6, 7, 8]] += self._anchors[likely, None]
        back = cv2.invertAffineTransform(matrix)
        scale = region.side / PALM_INPUT
        found: list[Square] = []
        for pair in pairs[np.argsort(-logits[likely])]:
            centre, wrist, knuckle = (pair[[0, 2, 4]] @ back[:, :2].T + back[:, 2]).astype(np.float32)
            place = _square(centre, float(pair[1].max()) * scale, _upright(knuckle - wrist), PALM_SCALE, PALM_SHIFT)
            if all(math.dist((place.x, place.y), (o.x, o.y)) > SAME_PALM * o.side for o in found):
                found.append(place)
        return found


@cache
def available() -> bool:
    """Whether the models are installed; said in the log where they are not."""
    try:
        model_file(PALM), model_file(HAND)
    except FaceModelMissing as missing:
        LOG.warning("Hands before a face are painted over. %s", missing)
        return False
    return True


def covered(hands: Sequence[Hand], matrix: Matrix, face: Mask) -> Mask:
    """How much of each pixel of an aligned crop the `hands` cover, with their forearms.

    Args:
        matrix: float32 [2, 3], frame to crop.
        face: float32 [H, W], where in the crop the face is.

    Returns:
        float32 [H, W], 0 to 1; 0 everywhere when it is more of the face than hands are believed to hide.
    """
    drawn = np.zeros(face.shape, np.uint8)
    for hand in hands:
        _draw(drawn, hand.points @ matrix[:, :2].T + matrix[:, 2])
    cover = drawn.astype(np.float32) / 255
    if not drawn.any() or float((cover * face).sum()) > LARGEST_COVER * float(face.sum()):
        return np.zeros_like(face)
    return np.asarray(cv2.GaussianBlur(cover, (0, 0), SOFT_EDGE * face.shape[1]), np.float32)


def _draw(picture: npt.NDArray[np.uint8], points: Points) -> None:
    """One hand in 255."""
    across = float(np.linalg.norm(points[KNUCKLES[0]] - points[KNUCKLES[-1]]))
    # A hand seen edge-on has its knuckles behind each other, but no thinner fingers.
    across = max(across, 0.6 * float(np.linalg.norm(points[MIDDLE_KNUCKLE] - points[WRIST])))
    corners = np.clip(points * (1 << _SHIFT), -(1 << 20), 1 << 20).round().astype(np.int32)
    palm = corners[list(PALM_OUTLINE)]
    cv2.fillPoly(picture, [palm], 255, cv2.LINE_AA, _SHIFT)
    cv2.polylines(picture, [palm], True, 255, _thick(PALM_RIM * across), cv2.LINE_AA, _SHIFT)
    for finger in FINGERS:
        cv2.polylines(picture, [corners[list(finger)]], False, 255, _thick(FINGER_WIDTH * across), cv2.LINE_AA, _SHIFT)
    along = points[WRIST] - points[list(KNUCKLES)].mean(axis=0)
    elbow = points[WRIST] + along / max(float(np.linalg.norm(along)), 1e-3) * ARM_LENGTH * across
    arm = np.stack([(points[WRIST] + along * 0.1), elbow]) * (1 << _SHIFT)
    arm = np.clip(arm, -(1 << 20), 1 << 20).round().astype(np.int32)
    cv2.polylines(picture, [arm], False, 255, _thick(ARM_WIDTH * across), cv2.LINE_AA, _SHIFT)


def _thick(width: float) -> int:
    return int(np.clip(round(width), 1, 255))


def _rgb(frame: BgrFrame, matrix: Matrix, size: int) -> npt.NDArray[np.float32]:
    """What `matrix` shows of `frame`: float32 [1, size, size, 3] RGB in [0, 1]."""
    square = cv2.warpAffine(cv2.cvtColor(frame, cv2.COLOR_BGR2BGRA), matrix, (size, size), flags=cv2.INTER_LINEAR)
    return np.multiply(cv2.cvtColor(square, cv2.COLOR_BGRA2RGB), np.float32(1 / 255))[None]


def _upright(along: Points) -> float:
    """The angle of a square in which `along`, from the wrist to the fingers, points up."""
    return math.atan2(float(along[1]), float(along[0])) + math.pi / 2


def _square(middle: npt.NDArray[np.floating], side: float, angle: float, scale: float, shift: float) -> Square:
    """Of a hand whose box has this middle and this side."""
    x, y = float(middle[0]) + math.sin(angle) * shift * side, float(middle[1]) - math.cos(angle) * shift * side
    return Square(x, y, scale * side, angle)


def _same(one: Hand, other: Hand) -> bool:
    return float(np.linalg.norm(one.middle - other.middle)) < SAME_PALM * other.square.side / HAND_SCALE


def _anchors() -> npt.NDArray[np.float32]:
    """float32 [2016, 2]: the palm detector's anchors, input pixels: two to each cell of 8 pixels, six to each of 16."""
    made = []
    for stride, count in ((8, 2), (16, 6)):
        along = (np.arange(PALM_INPUT // stride, dtype=np.float32) + 0.5) * stride
        made.append(np.repeat(np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2), count, axis=0))
    return np.concatenate(made)
