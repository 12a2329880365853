"""What the networks of one frame cost, ours beside those that desktop swappers run: same machine, same run, one thread's
processor time.

The peers' networks are built here in their published shapes with random weights, which cost what trained ones cost, and
run on ONNX Runtime. Ours run there too (float32, random weights: `ours_onnx`) and as they are served (`ours`: face mesh,
encoder and int8 decoder on LiteRT; the detector runs only when a face is lost).

| name | shape | read in |
|---|---|---|
| `detector_640` | SCRFD-10GF with key points, 640×640: ResNetV1e of 56-88-88-224 channels and 3-4-2-3 blocks, PAFPN of 56, heads of 3×80 | insightface, `detection/scrfd/configs/scrfd/scrfd_10g_bnkps.py` |
| `descriptor_112` | IResNet-50, 112×112, 512 numbers: 3-4-14-3 blocks of 64-128-256-512 channels | insightface, `recognition/arcface_torch/backbones/iresnet.py` |
| `swapper_128` | one-shot swapper, 128×128, 139 million parameters: convolutions 128-256-512-1024, six style blocks of 1024 at 32×32, and back | Deep-Live-Cam, `modules/mlx_inswapper.py` |
| `deep_live_cam` | the three together, as its live mode runs them on each frame | Deep-Live-Cam, `modules/face_analyser.py` |

Not counted against the peers: 106-point landmarks, enhancers, masks, compositing.
"""  # noqa: E501 - a table

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prediction_model.engines.autoencoder import SHARED_ENCODER, AutoencoderEngine
from prediction_model.engines.onnx import session
from prediction_model.faces.landmarks import FaceMesh
from prediction_model.identities.sealing import PackageFiles
from prediction_model.types import AlignedFace

SECONDS, FEWEST, MOST = 4.0, 3, 60
"""Each network runs for so long, at least and at most so many times."""
WIDTHS, HEAD, SIDE = (24, 48, 96, 160, 256), 32, 160
"""Our `live` preset, as in `prediction_model/training/networks.py`."""

Tensor = str


class Graph:
    """An ONNX graph under construction, random weights in NCHW. Needs the package `onnx`."""

    def __init__(self, **inputs: Sequence[int]) -> None:
        import onnx

        self._onnx: Any = onnx
        self._rng = np.random.default_rng(0)
        self._inputs = inputs
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self.parameters = 0
        self.channels: dict[Tensor, int] = {name: shape[1] for name, shape in inputs.items()}

    def add(self, kind: str, inputs: Sequence[Tensor], channels: int, **attributes: Any) -> Tensor:
        """A node; the name of its output, which has so many channels."""
        name = f"t{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), [name], **attributes))
        self.channels[name] = channels
        return name

    def constant(self, values: npt.NDArray[Any]) -> Tensor:
        name = f"w{len(self._weights)}"
        self._weights.append(self._onnx.numpy_helper.from_array(values, name))
        return name

    def weight(self, *shape: int) -> Tensor:
        """Random weights of that shape, small enough for deep networks to stay finite."""
        self.parameters += int(np.prod(shape))
        spread = (2 / max(int(np.prod(shape[1:])), 1)) ** 0.5
        return self.constant(self._rng.standard_normal(shape, np.float32) * np.float32(spread))

    def conv(self, x: Tensor, channels: int, kernel: int, stride: int = 1, act: str = "Relu") -> Tensor:
        """A convolution (its normalisation is folded into it, as exporters do) and its activation ("" for none)."""
        weights = [self.weight(channels, self.channels[x], kernel, kernel), self.weight(channels)]
        pads = [kernel // 2] * 4
        y = self.add("Conv", [x, *weights], channels, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads)
        if act == "PRelu":
            return self.add("PRelu", [y, self.weight(channels, 1, 1)], channels)
        return self.add(act, [y], channels) if act else y

    def sum(self, a: Tensor, b: Tensor) -> Tensor:
        return self.add("Add", [a, b], self.channels[a])

    def resize(self, x: Tensor, mode: str) -> Tensor:
        """Twice as large."""
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        return self.add("Resize", [x, "", scales], self.channels[x], mode=mode)

    def session(self, *outputs: Tensor) -> Any:
        """The graph, ready to run on one thread."""
        helper, floats = self._onnx.helper, self._onnx.TensorProto.FLOAT
        given = [helper.make_tensor_value_info(name, floats, list(shape)) for name, shape in self._inputs.items()]
        wanted = [helper.make_tensor_value_info(name, floats, None) for name in outputs]
        graph = helper.make_graph(self._nodes, "peer", given, wanted, self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return session(model.SerializeToString(), "peer.onnx")


def detector_640() -> tuple[Any, int]:
    """SCRFD-10GF; the session and its number of parameters."""
    g = Graph(image=(1, 3, 640, 640))
    x = g.conv(g.conv(g.conv("image", 28, 3, 2), 28, 3), 56, 3)
    x = g.add("MaxPool", [x], 56, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    levels = []
    for stage, (blocks, channels) in enumerate(zip((3, 4, 2, 3), (56, 88, 88, 224), strict=True)):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = g.conv(g.conv(x, channels, 3, stride), channels, 3, act="")
            if stride == 2:
                x = g.add("AveragePool", [x], g.channels[x], kernel_shape=[2, 2], strides=[2, 2])
            if g.channels[x] != channels:
                x = g.conv(x, channels, 1, act="")
            x = g.add("Relu", [g.sum(x, y)], channels)
        levels.append(x)
    lateral = [g.conv(level, 56, 1, act="") for level in levels[1:]]
    for i in (1, 0):
        lateral[i] = g.sum(lateral[i], g.resize(lateral[i + 1], "nearest"))
    merged = [g.conv(level, 56, 3, act="") for level in lateral]
    for i in (1, 2):
        merged[i] = g.sum(merged[i], g.conv(merged[i - 1], 56, 3, 2, act=""))
    merged = [merged[0], *(g.conv(level, 56, 3, act="") for level in merged[1:])]
    outputs = []
    for x in merged:
        for _ in range(3):
            x = g.conv(x, 80, 3)
        outputs += [g.conv(x, channels, 3, act="") for channels in (2, 8, 20)]
    return g.session(*outputs), g.parameters


def descriptor_112() -> tuple[Any, int]:
    """IResNet-50; the session and its number of parameters."""
    g = Graph(face=(1, 3, 112, 112))
    x = g.conv("face", 64, 3, act="PRelu")
    for blocks, channels in zip((3, 4, 14, 3), (64, 128, 256, 512), strict=True):
        for block in range(blocks):
            stride = 1 if block else 2
            # The block's first normalisation stands before its convolution and cannot be folded into one.
            scaled = g.add("Mul", [x, g.weight(1, g.channels[x], 1, 1)], g.channels[x])
            y = g.conv(g.conv(scaled, channels, 3, act="PRelu"), channels, 3, stride, act="")
            x = g.sum(y, x if block else g.conv(x, channels, 1, stride, act=""))
    flat = g.add("Flatten", [x], 512 * 7 * 7)
    number = g.add("Gemm", [flat, g.weight(512, 512 * 7 * 7), g.weight(512)], 512, transB=1)
    return g.session(number), g.parameters


def swapper_128() -> tuple[Any, int]:
    """The one-shot swapper; the session and its number of parameters."""
    g = Graph(target=(1, 3, 128, 128), source=(1, 512))
    x = "target"
    for channels, kernel, stride in ((128, 7, 1), (256, 3, 1), (512, 3, 2), (1024, 3, 2)):
        x = g.conv(x, channels, kernel, stride, act="LeakyRelu")
    ones, zeros = g.constant(np.ones(1024, np.float32)), g.constant(np.zeros(1024, np.float32))
    shape, first, second, last = (g.constant(np.array(v, np.int64)) for v in ([1, 2048, 1, 1], [0], [1024], [2048]))
    axis = g.constant(np.array([1], np.int64))
    for _ in range(6):
        y = x
        for activation in ("Relu", ""):
            y = g.add("InstanceNormalization", [g.conv(y, 1024, 3, act=""), ones, zeros], 1024)
            style = g.add("Gemm", ["source", g.weight(2048, 512), g.weight(2048)], 2048, transB=1)
            style = g.add("Reshape", [style, shape], 2048)
            scale = g.add("Slice", [style, first, second, axis], 1024)
            shift = g.add("Slice", [style, second, last, axis], 1024)
            y = g.sum(g.add("Mul", [y, scale], 1024), shift)
            y = g.add(activation, [y], 1024) if activation else y
        x = g.sum(x, y)
    x = g.conv(g.resize(x, "linear"), 512, 3, act="LeakyRelu")
    x = g.conv(g.resize(x, "linear"), 256, 3, act="LeakyRelu")
    x = g.conv(g.conv(x, 128, 3, act="LeakyRelu"), 3, 7, act="Tanh")
    return g.session(x), g.parameters


def ours_onnx() -> tuple[Any, int]:
    """Our `live` network, encoder and one identity's decoder; the session and its number of parameters."""
    g = Graph(crop=(1, 3, SIDE, SIDE))
    x = g.conv("crop", WIDTHS[0], 5, 2)
    skips = []
    for channels in WIDTHS[1:]:
        x = _residual(g, g.conv(x, channels, 3, 2))
        skips.append(x)
    x = _residual(g, x, SIDE // 32)
    for level, channels in zip((2, 1, 0), WIDTHS[3:0:-1], strict=True):
        x = g.resize(g.conv(x, channels, 1, act=""), "linear")
        x = g.add("Relu", [g.sum(x, g.conv(skips[level], channels, 1, act=""))], channels)
        x = _residual(g, x, SIDE // 4 >> level)
    x = g.add("Relu", [g.resize(g.conv(x, HEAD, 1, act=""), "linear")], HEAD)
    x = g.add("Relu", [g.sum(g.conv(x, HEAD, 3, act=""), g.weight(1, HEAD, SIDE // 2, SIDE // 2))], HEAD)
    x = g.add("DepthToSpace", [g.conv(x, 16, 3, act="")], 4, blocksize=2)
    return g.session(g.add("Sigmoid", [x], 4)), g.parameters


def _residual(g: Graph, x: Tensor, side: int = 0) -> Tensor:
    """A residual block; in the decoder (`side` pixels) with an identity's constant map."""
    channels = g.channels[x]
    y = g.conv(x, channels, 3, act="")
    if side:
        y = g.sum(y, g.weight(1, channels, side, side))
    y = g.conv(g.add("Relu", [y], channels), channels, 3, act="")
    return g.add("Relu", [g.sum(x, y)], channels)


def served(package: Path) -> Callable[[], object]:
    """Our networks of one tracked frame as they are served: the mesh, the encoder, the decoder."""
    engine, mesh = AutoencoderEngine(PackageFiles(package)), FaceMesh()
    rng = np.random.default_rng(0)
    crop = rng.random((engine.crop_size, engine.crop_size, 3), np.float32)
    frame = (rng.random((480, 640, 3)) * 255).astype(np.uint8)
    square = np.array([[1, 0, -200], [0, 1, -150]], np.float32)
    face = AlignedFace(crop, np.zeros((468, 3), np.float32), square)

    def run() -> object:
        return mesh.landmarks(frame, square), engine.swap([face])

    return run


def median_ms(run: Callable[[], object]) -> float:
    """The median processor time of a call, after a first one that is not counted.

    On one thread that is what it takes on an idle machine, and what others do meanwhile does not change it.
    """
    run()
    times: list[float] = []
    begun = time.process_time()
    while len(times) < FEWEST or (time.process_time() - begun < SECONDS and len(times) < MOST):
        started = time.process_time()
        run()
        times.append((time.process_time() - started) * 1e3)
    return float(np.median(times))


def run(data: Path | None, arguments: Sequence[str] = ()) -> Mapping[str, float]:
    """Measure; `data` is not used, because what is on a picture does not change a network's cost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers", description=__doc__)
    gallery = SHARED_ENCODER.parent.parent / "identities" / "gallery"
    parser.add_argument("--package", type=Path, default=gallery / "p1", help="ours, as served (default: %(default)s)")
    package: Path = parser.parse_args(arguments).package
    results: dict[str, float] = {}
    for build in (ours_onnx, detector_640, descriptor_112, swapper_128):
        name = build.__name__
        print(f"building {name}", file=sys.stderr)
        try:
            loaded, parameters = build()
        except ImportError as error:
            raise SystemExit(f"peers: needs the extra [onnx] and the package onnx ({error}).") from None
        feeds = {i.name: np.full(i.shape, 0.5, np.float32) for i in loaded.get_inputs()}
        results[f"{name}.frame_ms_p50"] = median_ms(lambda loaded=loaded, feeds=feeds: loaded.run(None, feeds))  # type: ignore[misc]
        results[f"{name}.parameters_m"] = parameters / 1e6
    parts = ("detector_640", "descriptor_112", "swapper_128")
    results["deep_live_cam.frame_ms_p50"] = sum(results[f"{part}.frame_ms_p50"] for part in parts)
    base = "ours_onnx"
    if (package / "decoder.tflite").is_file():
        results["ours.frame_ms_p50"] = median_ms(served(package))
        base = "ours"
    else:
        print(f"{package} holds no decoder.tflite: ratios are to ours_onnx", file=sys.stderr)
    for name in ("ours_onnx", *parts, "deep_live_cam"):
        results[f"{name}.ratio"] = results[f"{name}.frame_ms_p50"] / results[f"{base}.frame_ms_p50"]
    return results
