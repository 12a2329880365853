"""Finds faces in a whole frame: BlazeFace, full range, 192 px (Bazarevsky et al., 2019, arXiv:1907.05047)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.faces.models import DETECTOR, interpreter, model_file
from prediction_model.types import BgrFrame, Box

INPUT_SIZE = 192
STRIDE = 4
CONFIDENCE_FLOOR = 0.5
OVERLAP = 0.3
"""Boxes whose intersection over union is above this are one face (MediaPipe's own value)."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One face found in a frame."""

    box: Box
    confidence: float
    """0 to 1."""
    eyes: npt.NDArray[np.float32]
    """float32 [2, 2]: the eyes' centres in frame pixels, the one at the left of the picture first (the wearer's
    right)."""


class Detector(Protocol):
    """Finds faces; the interface that BlazeFace and dlib share."""

    def detect(self, frame: BgrFrame) -> list[Detection]:
        """Faces in `frame` [H, W, 3], most confident first."""
        ...


class BlazeFace:
    """Google's short- and long-range detector, on LiteRT. Not thread-safe."""

    def __init__(self) -> None:
        self._model = interpreter(model_file(DETECTOR))
        self._input = self._model.get_input_details()[0]["index"]
        self._boxes, self._scores = (d["index"] for d in self._model.get_output_details())
        cells = (np.arange(INPUT_SIZE // STRIDE, dtype=np.float32) + 0.5) * STRIDE
        self._anchors = np.stack(np.meshgrid(cells, cells), axis=-1).reshape(-1, 1, 2)

    def detect(self, frame: BgrFrame) -> list[Detection]:
        """Faces in `frame` [H, W, 3], most confident first. The frame is fitted into a 192-pixel square."""
        height, width = frame.shape[:2]
        scale = INPUT_SIZE / max(height, width)
        fitted = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:INPUT_SIZE, :INPUT_SIZE]
        square = np.zeros((INPUT_SIZE, INPUT_SIZE, 3), np.uint8)
        top, left = (INPUT_SIZE - fitted.shape[0]) // 2, (INPUT_SIZE - fitted.shape[1]) // 2
        square[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted
        rgb = cv2.cvtColor(square, cv2.COLOR_BGR2RGB).astype(np.float32)
        rgb *= 1 / 127.5
        rgb -= 1.0
        self._model.set_tensor(self._input, rgb[None])
        self._model.invoke()
        logits = self._model.get_tensor(self._scores)[0, :, 0]
        likely = np.flatnonzero(logits > np.log(CONFIDENCE_FLOOR / (1 - CONFIDENCE_FLOOR)))
        if not likely.size:
            return []
        confidence = 1.0 / (1.0 + np.exp(-np.clip(logits[likely], -80.0, 80.0)))
        # 8 pairs an anchor: centre, size, then six key points (eyes first), in input pixels from the anchor.
        pairs = self._model.get_tensor(self._boxes)[0, likely].reshape(-1, 8, 2)
        pairs[:, [0, 2, 3, 4, 5, 6, 7]] += self._anchors[likely]
        return [_to_frame(p, c, scale, left, top) for p, c in _merge_overlapping(pairs, confidence)]


def _merge_overlapping(
    pairs: npt.NDArray[np.float32], confidence: npt.NDArray[np.float32]
) -> list[tuple[npt.NDArray[np.float32], float]]:
    """Weighted non-maximum suppression: overlapping boxes become their confidence-weighted mean."""
    low, high = pairs[:, 0] - pairs[:, 1] / 2, pairs[:, 0] + pairs[:, 1] / 2
    area = np.prod(np.maximum(high - low, 0), axis=1)
    merged = []
    left = np.argsort(-confidence)
    while left.size:
        best = left[0]
        inside = np.minimum(high[best], high[left]) - np.maximum(low[best], low[left])
        shared = np.prod(np.maximum(inside, 0), axis=1)
        same = shared / np.maximum(area[best] + area[left] - shared, 1e-6) > OVERLAP
        same[0] = True
        weights = confidence[left[same]]
        merged.append(
            (np.tensordot(weights, pairs[left[same]], axes=1) / weights.sum(), float(confidence[best])),
        )
        left = left[~same]
    return merged


def _to_frame(pairs: npt.NDArray[np.float32], confidence: float, scale: float, left: int, top: int) -> Detection:
    """From pixels of the 192-pixel square to pixels of the frame."""
    size = pairs[1] / scale
    points = (pairs[[0, 2, 3]] - np.array([left, top], np.float32)) / scale
    corner = points[0] - size / 2
    box = Box(float(corner[0]), float(corner[1]), float(size[0]), float(size[1]))
    return Detection(box, confidence, points[1:3].astype(np.float32))
