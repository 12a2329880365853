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
from prediction_model.identities.package import FACE, IdentityPackage

MOST_ENGINES = 16
"""Kept at once; a photo engine holds about 3 MB, an autoencoder about 30."""


class EngineCache:
    """Loads engines from identity packages. Thread-safe."""

    def __init__(self, finder: Callable[[], FaceFinder]) -> None:
        """`finder` gives the calling thread's face finder, which the photo engine needs to read its picture."""
        self._finder = finder
        self._engines: OrderedDict[tuple[Path, str], tuple[IdentityPackage, SwapEngine]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, package: IdentityPackage, engine: str) -> SwapEngine:
        """The `engine` (`autoencoder`, `photo` or `onnx`) of `package`; loaded anew once that has been read anew.

        Raises:
            EngineFileRefused: its files cannot be used.
            PackageRefused: they cannot be opened.
        """
        key = (package.folder, engine)
        with self._lock:
            kept = self._engines.get(key)
            if kept and kept[0] is package:
                self._engines.move_to_end(key)
                return kept[1]
        loaded = self._load(package, engine)
        with self._lock:
            self._engines[key] = (package, loaded)
            while len(self._engines) > MOST_ENGINES:
                self._engines.popitem(last=False)
        return loaded

    def _load(self, package: IdentityPackage, engine: str) -> SwapEngine:
        # Imported here: each engine brings a runtime, and most services need one of them.
        if engine == "autoencoder":
            from prediction_model.engines.autoencoder import AutoencoderEngine

            return AutoencoderEngine(package.files, package.live_parts)
        if engine == "onnx":
            from prediction_model.engines.onnx import OnnxEngine

            return OnnxEngine(package.files)
        from prediction_model.engines.photo import PhotoEngine

        content = package.files.read(FACE) if FACE in package.files else b""
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
        if picture is None:
            raise EngineFileRefused(str(package.folder / FACE), "it is missing or not a picture")
        return PhotoEngine.from_picture(np.asarray(picture, np.uint8), self._finder())
