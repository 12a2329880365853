"""The engines that are loaded: one per identity and kind, the least used dropped first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from prediction_model.engines.base import SwapEngine
from prediction_model.errors import EngineFileRefused
from prediction_model.faces.finder import FaceFinder
from prediction_model.types import PARTS, Part

MOST_ENGINES = 16
"""Kept at once; a photo engine holds about 3 MB, an autoencoder about 30."""
FACE = "face.jpg"


class EngineCache:
    """Loads engines from identity packages. Thread-safe."""

    def __init__(self, finder: Callable[[], FaceFinder]) -> None:
        """`finder` gives the calling thread's face finder, which the photo engine needs to read its picture."""
        self._finder = finder
        self._engines: OrderedDict[tuple[Path, str], tuple[object, SwapEngine]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, folder: Path, engine: str, version: object, live_parts: tuple[Part, ...] = PARTS) -> SwapEngine:
        """The `engine` (`autoencoder`, `photo` or `onnx`) of the package in `folder`.

        Args:
            version: anything that is another object once the package has changed: the engine is then loaded anew.
            live_parts: the autoencoder's; the other engines know their own.

        Raises:
            EngineFileRefused: its files cannot be used.
        """
        key = (folder, engine)
        with self._lock:
            kept = self._engines.get(key)
            if kept and kept[0] is version:
                self._engines.move_to_end(key)
                return kept[1]
        loaded = self._load(folder, engine, live_parts)
        with self._lock:
            self._engines[key] = (version, loaded)
            while len(self._engines) > MOST_ENGINES:
                self._engines.popitem(last=False)
        return loaded

    def _load(self, folder: Path, engine: str, live_parts: tuple[Part, ...]) -> SwapEngine:
        # Imported here: each engine brings a runtime, and most services need one of them.
        if engine == "autoencoder":
            from prediction_model.engines.autoencoder import AutoencoderEngine

            return AutoencoderEngine(folder, live_parts)
        if engine == "onnx":
            from prediction_model.engines.onnx import OnnxEngine

            return OnnxEngine(folder)
        from prediction_model.engines.photo import PhotoEngine

        picture = cv2.imread(str(folder / FACE))
        if picture is None:
            raise EngineFileRefused(str(folder / FACE), "it is missing or not a picture")
        return PhotoEngine.from_picture(np.asarray(picture, np.uint8), self._finder())
