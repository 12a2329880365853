"""Files that people already have, on ONNX Runtime: DeepFaceLive's `.dfm`, and one-shot swappers shaped as `inswapper`.

Their weights are the user's, and so is their licence: none is shipped, none is linked to, and none is served without a
consent record. Each was trained on its own alignment, so this engine cuts its own square out of the frame and brings
what it gets back into the shared crop.

- DFM (as read in DeepFaceLive, `modelhub/DFLive/DFMModel.py`): `in_face:0` `[1, S, S, 3]`, BGR in [0, 1], and for some
  `morph_value:0` `[1]`, to the live face's mask, the face and the face's own mask, `[1, S, S, 1]` and `[1, S, S, 3]`.
- One-shot (as read in insightface, `model_zoo/inswapper.py`): `target` `[1, 3, 128, 128]`, RGB in [0, 1], and `source`
  `[1, 512]`, to `[1, 3, 128, 128]`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.errors import EngineFileRefused, ExtraMissing
from prediction_model.faces.align import template
from prediction_model.identities.sealing import PackageFiles
from prediction_model.types import AlignedFace, Matrix, Part, SwappedFace

MODEL_NAMES = ("model.dfm", "model.onnx")
"""Of the network in an identity package: `model.dfm`, or `model.onnx` with `LATENT` beside it."""
LATENT = "latent.npy"
"""float32 [512]: the identity as the one-shot network takes it (after its own embedding map), of any length."""
LATENT_NUMBERS = 512
ONE_SHOT_SIDE = 128
SIDES = range(64, 641)
"""Pixels: sides of a DFM that are believed."""
MORPH = 0.75
"""DeepFaceLive's default: how far a morphing model goes."""
EDGE = 0.06
"""Of a network's square: width of its soft border, where the square does not reach as far as the crop."""

FloatArray = npt.NDArray[np.float32]

MESH_POINTS = (33, 133, 362, 263, 1, 2, 61, 291)
"""Mesh points that both alignments name: corners of the eyes, tip and base of the nose, corners of the mouth."""
WHOLE_FACE = np.array(
    [
        *([0.1217, 0.2164], [0.3346, 0.2317], [0.6456, 0.2317], [0.8585, 0.2164]),
        *([0.4901, 0.5156], [0.4901, 0.6281], [0.2541, 0.7802], [0.7261, 0.7802]),
    ]
)
"""The same points in DeepFaceLab's unit square, which spans the brows; a whole face is cut around it as below."""
WHOLE_FACE_SIDE, WHOLE_FACE_UP = 2 * (0.40 * 2**0.5 + 0.5), 0.07
ARCFACE_POINTS = ((33, 133), (362, 263), (1,), (61,), (291,))
ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
"""Eyes, nose and mouth in ArcFace's square of 112 pixels (Deng et al., 2019)."""
ARCFACE_MARGIN = np.array([8, 0])
"""The swappers' square has 8 pixels more at each side, and 16 below."""


@dataclass(frozen=True)
class _Network:
    """One file, its shapes checked."""

    side: int
    into_square: Matrix
    """float32 [2, 3]: the template, as shares of the crop's side, to pixels of the network's square."""
    run: Callable[[FloatArray], tuple[FloatArray, FloatArray]]
    """Square float32 [S, S, 3] RGB to face [S, S, 3] RGB and mask [S, S]."""


class OnnxEngine:
    """Swaps to the identity of one file that a user brought.

    Args:
        files: the identity package's; `model.dfm`, or `model.onnx` and `latent.npy`.

    Raises:
        EngineFileRefused: a file is missing, unreadable, or of another shape, or nobody consented.
        ExtraMissing: ONNX Runtime is not installed.
        PackageRefused: a file cannot be opened.
    """

    name = "onnx"
    live_parts: tuple[Part, ...] = ()

    def __init__(self, files: PackageFiles) -> None:
        _require_consent(files)
        self._network = _load(files)
        self.crop_size = self._network.side

    def swap(self, faces: Sequence[AlignedFace]) -> list[SwappedFace]:
        """Swap each of `faces`; as many results, in the same order."""
        return [self._swap(face) for face in faces]

    def _swap(self, live: AlignedFace) -> SwappedFace:
        network, size = self._network, self.crop_size
        crop_to_square = _after_scaling(network.into_square, 1 / size)
        if live.frame is None:
            square = cv2.warpAffine(
                live.crop, crop_to_square, (network.side, network.side), borderMode=cv2.BORDER_REPLICATE
            )
        else:
            matrix = _then(crop_to_square, live.matrix)
            cut = cv2.warpAffine(live.frame, matrix, (network.side, network.side), borderMode=cv2.BORDER_REPLICATE)
            square = cut[..., ::-1].astype(np.float32) * np.float32(1 / 255)
        face, mask = network.run(np.ascontiguousarray(square, np.float32))
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        swapped = cv2.warpAffine(face, crop_to_square, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        covered = cv2.warpAffine(mask * _soft_square(network.side), crop_to_square, (size, size), flags=flags)
        return SwappedFace(np.clip(swapped, 0, 1), np.clip(covered, 0, 1))


def session(content: bytes, source: str) -> Any:
    """An ONNX Runtime session on one CPU thread, or on the accelerator that the installed package serves.

    Args:
        content: of the file `source`.

    Raises:
        EngineFileRefused: ONNX Runtime cannot read the file.
        ExtraMissing: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ExtraMissing("The onnx engine", "ONNX Runtime", "onnx") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(content, options, providers=providers)
    except Exception as error:  # ONNX Runtime's errors share no public base class
        raise EngineFileRefused(source, f"ONNX Runtime cannot read it ({str(error)[:120]})") from error


def _require_consent(files: PackageFiles) -> None:
    # Whose face a stranger's file holds cannot be seen from it. The package's reader checks the record's signature.
    try:
        card = json.loads((files.folder / "identity.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineFileRefused(str(files.folder), f"its identity.json cannot be read ({error})") from error
    if not isinstance(card, dict) or card.get("kind") not in ("self", "release") or not card.get("consent"):
        raise EngineFileRefused(str(files.folder), "no consent record says that this face may be worn")


def _load(files: PackageFiles) -> _Network:
    found = [name for name in MODEL_NAMES if name in files]
    if len(found) != 1:
        names = " or ".join(MODEL_NAMES)
        raise EngineFileRefused(str(files.folder), f"expected one of {names}, found {len(found)}")
    (name,) = found
    loaded = session(files.read(name), name)
    inputs = {i.name: _shape(i.shape) for i in loaded.get_inputs()}
    if "in_face:0" in inputs:
        return _dfm(loaded, inputs, name)
    return _one_shot(loaded, inputs, name, files)


def _dfm(loaded: Any, inputs: dict[str, tuple[int, ...]], source: str) -> _Network:
    shape = inputs["in_face:0"]
    side = shape[1] if len(shape) == 4 else 0
    _expect(source, "the input in_face:0", shape, (1, side, side, 3))
    if side not in SIDES:
        raise EngineFileRefused(source, f"its side is {side} pixels, expected {SIDES[0]} to {SIDES[-1]}")
    others = sorted(set(inputs) - {"in_face:0"})
    if others not in ([], ["morph_value:0"]):
        raise EngineFileRefused(
            source, f"it has the inputs {sorted(inputs)}, expected in_face:0 and at most morph_value:0"
        )
    outputs = {o.name.split(":")[0]: (o.name, _shape(o.shape)) for o in loaded.get_outputs()}
    wanted = {"out_face_mask": 1, "out_celeb_face": 3, "out_celeb_face_mask": 1}
    if set(outputs) != set(wanted):
        raise EngineFileRefused(source, f"it has the outputs {sorted(outputs)}, expected {sorted(wanted)}")
    for name, channels in wanted.items():
        _expect(source, f"the output {name}", outputs[name][1], (1, side, side, channels))
    names = [outputs[name][0] for name in wanted]
    morph = {"morph_value:0": np.array([MORPH], np.float32)} if others else {}

    def run(square: FloatArray) -> tuple[FloatArray, FloatArray]:
        bgr = np.ascontiguousarray(square[None, ..., ::-1])
        live_mask, face, own_mask = loaded.run(names, {"in_face:0": bgr, **morph})
        return np.ascontiguousarray(face[0, ..., ::-1]), np.minimum(live_mask[0, ..., 0], own_mask[0, ..., 0])

    unit = _similarity(template()[list(MESH_POINTS)], WHOLE_FACE)
    unit[:, 2] += (WHOLE_FACE_SIDE - 1) / 2 + np.array([0, WHOLE_FACE_UP])
    return _Network(side, (unit * side / WHOLE_FACE_SIDE).astype(np.float32), run)


def _one_shot(loaded: Any, inputs: dict[str, tuple[int, ...]], source: str, files: PackageFiles) -> _Network:
    if sorted(inputs) != ["source", "target"]:
        raise EngineFileRefused(source, f"it has the inputs {sorted(inputs)}, expected in_face:0, or target and source")
    picture = (1, 3, ONE_SHOT_SIDE, ONE_SHOT_SIDE)
    _expect(source, "the input target", inputs["target"], picture)
    _expect(source, "the input source", inputs["source"], (1, LATENT_NUMBERS))
    outputs = loaded.get_outputs()
    if len(outputs) != 1:
        raise EngineFileRefused(source, f"it has {len(outputs)} outputs, expected 1")
    _expect(source, "the output", _shape(outputs[0].shape), picture)
    latent = _read_latent(files)

    def run(square: FloatArray) -> tuple[FloatArray, FloatArray]:
        target = np.ascontiguousarray(square.transpose(2, 0, 1)[None])
        made = loaded.run([outputs[0].name], {"target": target, "source": latent})[0][0]
        return np.ascontiguousarray(made.transpose(1, 2, 0)), np.ones(square.shape[:2], np.float32)

    places = np.array([template()[list(points)].mean(axis=0) for points in ARCFACE_POINTS])
    return _Network(ONE_SHOT_SIDE, _similarity(places, ARCFACE + ARCFACE_MARGIN).astype(np.float32), run)


def _read_latent(files: PackageFiles) -> FloatArray:
    """float32 [1, 512], of length 1, as the swappers were trained."""
    try:
        latent = np.load(io.BytesIO(files.read(LATENT)), allow_pickle=False)
    except (OSError, ValueError) as error:
        raise EngineFileRefused(LATENT, f"expected a NumPy file of {LATENT_NUMBERS} numbers ({error})") from error
    length = float(np.linalg.norm(latent)) if latent.dtype.kind == "f" else 0.0
    if latent.shape not in ((LATENT_NUMBERS,), (1, LATENT_NUMBERS)) or not np.isfinite(length) or length == 0:
        found = f"{latent.dtype} {list(latent.shape)}"
        raise EngineFileRefused(LATENT, f"expected {LATENT_NUMBERS} finite float numbers, not all 0, found {found}")
    return np.asarray(latent.reshape(1, -1) / length, np.float32)


def _shape(given: Sequence[object]) -> tuple[int, ...]:
    """A tensor's shape; a free first dimension is a batch of one, any other free one is 0."""
    return tuple(d if isinstance(d, int) else int(i == 0) for i, d in enumerate(given))


def _expect(source: str, what: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    # A file may leave free what its name already says: DFM outputs often come without shapes.
    if len(found) != len(wanted) or any(f not in (0, w) for f, w in zip(found, wanted, strict=True)):
        raise EngineFileRefused(source, f"{what} has the shape {list(found)}, expected {list(wanted)}")


def _similarity(
    places: npt.NDArray[np.floating[Any]], wanted: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.float64]:
    """The turn, scale and shift that takes `places` [n, 2] to `wanted` [n, 2] by least squares (Umeyama, 1991)."""
    a, b = (np.asarray(points, np.float64) @ [1, 1j] for points in (places, wanted))
    turn = np.vdot(a - a.mean(), b - b.mean()) / np.vdot(a - a.mean(), a - a.mean())
    shift = b.mean() - turn * a.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _after_scaling(matrix: Matrix, scale: float) -> Matrix:
    """`matrix` for points that are first multiplied by `scale`."""
    return np.hstack([matrix[:, :2] * scale, matrix[:, 2:]]).astype(np.float32)


def _then(second: Matrix, first: Matrix) -> Matrix:
    return np.hstack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2:] + second[:, 2:]]).astype(np.float32)


def _soft_square(side: int) -> FloatArray:
    """float32 [side, side]: 1, falling to 0 at the border."""
    away = np.minimum(np.arange(side), np.arange(side)[::-1]) / max(EDGE * side, 1)
    line = np.clip(away, 0, 1).astype(np.float32)
    return np.asarray(line[:, None] * line[None], np.float32)
