"""The deepfake: a shared encoder and one decoder per identity, trained by `training/`, run by LiteRT with int8
weights."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

from prediction_model.engines.occlusion import believed, doubt
from prediction_model.errors import EngineFileRefused
from prediction_model.identities.sealing import PackageFiles
from prediction_model.types import PARTS, AlignedFace, Part, SwappedFace

SHARED_ENCODER = Path(__file__).with_name("encoder.tflite")
ENCODER, DECODER, MAPS = "encoder.tflite", "decoder.tflite", "maps.npz"
"""File names in an identity package; one without an encoder uses the shared one."""

FloatArray = npt.NDArray[np.float32]

NO_GRID = np.array([-1, 4, 10, 4, -1], np.float32) / 16
"""A filter that takes away what changes from each pixel to the next and leaves the rest: the network draws four pixels
at a time (pixel shuffle), whose small differences show as a grid, the more so where the face is sharpened."""


@cache
def _shared_encoder_file() -> bytes:
    return SHARED_ENCODER.read_bytes()


class _Network:
    """One LiteRT network, called with arrays by input name. Not thread-safe.

    LiteRT keeps a pointer into the file's bytes: they live as long as this.
    """

    def __init__(self, content: bytes, source: str) -> None:
        try:
            self._model = Interpreter(model_content=content, num_threads=1)
            self._model.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise EngineFileRefused(source, f"LiteRT cannot read it ({error})") from error
        self.inputs = {
            d["name"].split(":")[0].removeprefix("serving_default_"): (d["index"], tuple(d["shape"]))
            for d in self._model.get_input_details()
        }
        # Outputs come in no particular order: the largest picture first.
        outputs = sorted(self._model.get_output_details(), key=lambda d: -int(d["shape"][1]))
        self._outputs = [d["index"] for d in outputs]
        self.output_shapes = [tuple(d["shape"]) for d in outputs]

    def set(self, values: dict[str, FloatArray]) -> None:
        """Give inputs their values, which hold until they get others."""
        for name, value in values.items():
            self._model.set_tensor(self.inputs[name][0], value)

    def __call__(self, values: dict[str, FloatArray]) -> list[FloatArray]:
        self.set(values)
        self._model.invoke()
        return [self._model.get_tensor(index) for index in self._outputs]


class _Networks(threading.local):
    """A thread's own: LiteRT's are not thread-safe."""

    encoder: _Network | None = None
    decoder: _Network | None = None


_shared = _Networks()
"""The encoder of all identities that bring none."""


class AutoencoderEngine:
    """Swaps to one identity.

    Args:
        files: the identity package's; `decoder.tflite` and `maps.npz`, and `encoder.tflite` if it was not trained on
        the shared one.
        live_parts: what the package's card says: the network moves eyes and mouth itself, and its own are nearer to
        the identity, but how well they follow depends on how long it was trained.

    Raises:
        EngineFileRefused: a file is missing, unreadable, or does not fit the others.
        PackageRefused: a file cannot be opened.
    """

    name = "autoencoder"

    def __init__(self, files: PackageFiles, live_parts: tuple[Part, ...] = PARTS) -> None:
        self.live_parts = live_parts
        own = ENCODER in files
        self._encoder_file = files.folder / ENCODER if own else SHARED_ENCODER
        self._decoder_file = files.folder / DECODER
        for name in (DECODER, MAPS):
            if name not in files:
                raise EngineFileRefused(str(files.folder / name), "it is missing")
        # Read now, and again by the engine that follows this one when the package has changed: a path may hold another
        # model by then.
        self._own_encoder = files.read(ENCODER) if own else None
        self._decoder_bytes = files.read(DECODER)
        self._maps = _unpack_maps(files.read(MAPS), str(files.folder / MAPS))
        self._networks = _Networks()
        encoder = self._encoder()
        shape = encoder.inputs["crop"][1]
        self.crop_size = int(shape[1])
        self._features = [f"feature{level}" for level in range(2, 2 + len(encoder.output_shapes))]
        self._inputs = dict(zip(self._features, encoder.output_shapes, strict=True))
        self._inputs |= {name: value.shape for name, value in self._maps.items()}
        self._decoder()

    def swap(self, faces: Sequence[AlignedFace]) -> list[SwappedFace]:
        """Swap each of `faces`; their crops are float32 [S, S, 3] RGB in [0, 1]."""
        swapped = []
        for face in faces:
            made = self.network(face)
            mask = cv2.extractChannel(made, 3)
            colours = cv2.cvtColor(made, cv2.COLOR_RGBA2RGB)  # numpy takes ten times as long
            smooth = cv2.sepFilter2D(colours, -1, NO_GRID, NO_GRID, borderType=cv2.BORDER_REPLICATE)
            doubted = doubt(mask, face.mesh)
            swapped.append(SwappedFace(np.clip(smooth, 0, 1), believed(mask, face.mesh), doubt=doubted))
        return swapped

    def network(self, face: AlignedFace) -> FloatArray:
        """What the network itself makes of `face`: float32 [S, S, 4], RGB and mask in [0, 1]."""
        encoder, decoder = self._encoder(), self._decoder()
        features = dict(zip(self._features, encoder({"crop": face.crop[None]}), strict=True))
        made: FloatArray = decoder(features)[0][0]
        return made

    def _encoder(self) -> _Network:
        networks = _shared if self._own_encoder is None else self._networks
        if networks.encoder is None:
            content = _shared_encoder_file() if self._own_encoder is None else self._own_encoder
            networks.encoder = _Network(content, str(self._encoder_file))
        return networks.encoder

    def _decoder(self) -> _Network:
        if self._networks.decoder is None:
            decoder = _Network(self._decoder_bytes, str(self._decoder_file))
            found = {name: shape for name, (_, shape) in decoder.inputs.items()}
            if found != self._inputs:
                raise EngineFileRefused(str(self._decoder_file), f"its inputs are {found}, expected {self._inputs}")
            decoder.set(self._maps)
            self._networks.decoder = decoder
        return self._networks.decoder


def _unpack_maps(content: bytes, source: str) -> dict[str, FloatArray]:
    """The maps by input name, float32 [1, H, W, C]."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {
                f"{name}_map": (archive[name].astype(np.float32) * archive[f"{name}.scale"])[None]
                for name in archive.files
                if not name.endswith(".scale")
            }
    except (ValueError, KeyError, OSError) as error:
        raise EngineFileRefused(source, f"expected int8 maps with their scales ({error})") from error
