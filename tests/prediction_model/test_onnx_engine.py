"""The onnx engine on small networks of the same signature as the files that users bring."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from prediction_model.engines.onnx import LATENT_NUMBERS, OnnxEngine
from prediction_model.errors import EngineFileRefused
from prediction_model.faces.align import align, template
from prediction_model.identities.sealing import PackageFiles
from prediction_model.types import AlignedFace, Mesh

onnx = pytest.importorskip("onnx", reason="the networks of this test are built with `onnx`")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is the extra [onnx]")
helper = onnx.helper
FLOAT = onnx.TensorProto.FLOAT

SIDE = 96


def save(
    path: Path, nodes: list[object], inputs: dict[str, object], outputs: dict[str, object], **constants: object
) -> None:
    values = [
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in group.items()]
        for group in (inputs, outputs)
    ]
    initializers = [onnx.numpy_helper.from_array(np.asarray(v, np.float32), n) for n, v in constants.items()]
    graph = helper.make_graph(nodes, "test", *values, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def card(folder: Path, **fields: object) -> PackageFiles:
    consent = {"kind": "release", "consent": "header.claims.signature", **fields}
    (folder / "identity.json").write_text(json.dumps(consent))
    return PackageFiles(folder)


def dfm(
    folder: Path,
    side: int = SIDE,
    morph: bool = False,
    channels: int = 3,
    declared: bool = True,
    brightest: bool = False,
) -> Path:
    """A DFM that gives the face back, darker by half, with a mask of 0.75.

    Where it morphs, its value is added to the red channel; with `brightest` the face is its brightest value everywhere.
    """
    face = (1, side, side, channels)
    mask = (1, side, side, 1)
    nodes = [
        helper.make_node("Mul", ["in_face:0", "half"], ["dark"]),
        helper.make_node("Add", ["dark", "tint"], ["out_celeb_face:0"]),
        helper.make_node("Slice", ["in_face:0", "zero", "one", "last"], ["channel"]),
        helper.make_node("Mul", ["channel", "none"], ["empty"]),
        helper.make_node("Add", ["empty", "share"], ["out_face_mask:0"]),
        helper.make_node("Add", ["empty", "more"], ["out_celeb_face_mask:0"]),
    ]
    if morph:
        nodes[1] = helper.make_node("Mul", ["morph_value:0", "red"], ["tint_of_morph"])
        nodes.insert(2, helper.make_node("Add", ["dark", "tint_of_morph"], ["out_celeb_face:0"]))
    if brightest:
        nodes[0] = helper.make_node("ReduceMax", ["in_face:0"], ["brightest"])
        nodes.insert(1, helper.make_node("Mul", ["brightest", "half"], ["flat"]))
        nodes.insert(2, helper.make_node("Mul", ["in_face:0", "none"], ["black"]))
        nodes.insert(3, helper.make_node("Add", ["black", "flat"], ["dark"]))
    red = np.zeros(channels)
    red[-1] = 1
    inputs: dict[str, object] = {"in_face:0": face} | ({"morph_value:0": (1,)} if morph else {})
    outputs: dict[str, object] = {"out_face_mask:0": mask, "out_celeb_face:0": face, "out_celeb_face_mask:0": mask}
    if not declared:
        outputs = {name: (None, None, None, None) for name in outputs}
    constants = {"half": 0.5, "tint": np.zeros(channels), "none": 0, "share": 0.75, "more": 0.9, "red": red}
    path = folder / "model.dfm"
    save(path, nodes, inputs, outputs, **constants)
    model = onnx.load(path)
    for name, value in (("zero", 0), ("one", 1), ("last", 3)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([value], np.int64), name))
    path.write_bytes(model.SerializeToString())
    return folder


def one_shot(folder: Path, side: int = 128, numbers: int = LATENT_NUMBERS, latent: object = None) -> Path:
    """A one-shot swapper that adds a tenth of its latent's sum to the picture."""
    nodes = [
        helper.make_node("MatMul", ["source", "sum"], ["level"]),
        helper.make_node("Reshape", ["level", "scalar"], ["flat"]),
        helper.make_node("Add", ["target", "flat"], ["output"]),
    ]
    picture = (1, 3, side, side)
    path = folder / "model.onnx"
    weights = np.full((numbers, 1), 0.1 / np.sqrt(numbers))
    save(path, nodes, {"target": picture, "source": (1, numbers)}, {"output": picture}, sum=weights)
    model = onnx.load(path)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "scalar"))
    path.write_bytes(model.SerializeToString())
    np.save(folder / "latent.npy", np.ones(numbers, np.float32) if latent is None else np.asarray(latent))
    return folder


def face_in_frame() -> tuple[npt.NDArray[np.uint8], Mesh]:
    """A frame that fades from dark blue at the left to bright orange at the right, and where its face is."""
    ramp = np.linspace(0, 1, 320, dtype=np.float32)[None, :, None]
    frame = np.broadcast_to(
        255 * (np.array([0.4, 0.1, 0.1]) * (1 - ramp) + np.array([0.2, 0.5, 0.9]) * ramp), (240, 320, 3)
    )
    mesh = np.zeros((468, 3), np.float32)
    mesh[:, :2] = template() * 130 + [90, 50]
    return np.ascontiguousarray(frame, np.uint8), mesh


def aligned(engine: OnnxEngine) -> AlignedFace:
    frame, mesh = face_in_frame()
    return align(frame, mesh, engine.crop_size)


def middle(side: int) -> tuple[slice, slice]:
    return slice(side // 4, -side // 4), slice(side // 4, -side // 4)


def test_dfm_swaps_in_rgb_and_in_the_crop_s_own_place(tmp_path: Path) -> None:
    engine = OnnxEngine(card(dfm(tmp_path)))
    live = aligned(engine)
    (swapped,) = engine.swap([live])
    assert swapped.face.shape == (SIDE, SIDE, 3) and swapped.mask.shape == (SIDE, SIDE)
    inside = middle(SIDE)
    assert np.abs(swapped.face[inside] - live.crop[inside] / 2).max() < 0.01
    assert np.allclose(swapped.mask[inside], 0.75)


def test_dfm_s_smaller_mask_counts(tmp_path: Path) -> None:
    engine = OnnxEngine(card(dfm(tmp_path)))
    (swapped,) = engine.swap([aligned(engine)])
    assert swapped.mask.max() <= 0.75 + 1e-6


def test_dfm_with_a_morph_value_gets_it(tmp_path: Path) -> None:
    engine = OnnxEngine(card(dfm(tmp_path, morph=True)))
    live = aligned(engine)
    (swapped,) = engine.swap([live])
    inside = middle(SIDE)
    expected = np.clip(live.crop / 2 + np.array([0.75, 0, 0]), 0, 1)
    assert np.abs(swapped.face[inside] - expected[inside]).max() < 0.01


def test_dfm_may_leave_its_outputs_shapes_open(tmp_path: Path) -> None:
    assert OnnxEngine(card(dfm(tmp_path, declared=False))).crop_size == SIDE


def test_dfm_sees_what_lies_beyond_the_crop(tmp_path: Path) -> None:
    engine = OnnxEngine(card(dfm(tmp_path, brightest=True)))
    live = aligned(engine)
    (swapped,) = engine.swap([live])
    # The frame grows brighter to the right, beyond the crop's own border.
    assert swapped.face[middle(SIDE)].max() > live.crop.max() / 2 + 0.01
    (without,) = engine.swap([AlignedFace(live.crop, live.mesh, live.matrix)])
    assert without.face[middle(SIDE)].max() <= live.crop.max() / 2 + 1e-3


def test_one_shot_gets_a_latent_of_length_one(tmp_path: Path) -> None:
    engine = OnnxEngine(card(one_shot(tmp_path, latent=np.full(LATENT_NUMBERS, 7.0, np.float32))))
    live = aligned(engine)
    (swapped,) = engine.swap([live])
    inside = middle(128)
    assert np.abs(swapped.face[inside] - (live.crop[inside] + 0.1)).max() < 0.01
    assert np.allclose(swapped.mask[inside], 1)


def test_several_faces_come_back_in_order(tmp_path: Path) -> None:
    engine = OnnxEngine(card(dfm(tmp_path)))
    live = aligned(engine)
    other = AlignedFace(np.zeros_like(live.crop), live.mesh, live.matrix)
    first, second = engine.swap([live, other])
    assert first.face.mean() > 0.05 and second.face.max() == 0


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda folder: dfm(folder, side=32), "32 pixels"),
        (lambda folder: dfm(folder, channels=4), r"\[1, 96, 96, 4\]"),
        (lambda folder: one_shot(folder, side=64), r"\[1, 3, 64, 64\]"),
        (lambda folder: one_shot(folder, numbers=256), r"\[1, 256\]"),
        (lambda folder: one_shot(folder, latent=np.ones(3, np.float32)), r"float32 \[3\]"),
        (lambda folder: one_shot(folder, latent=np.zeros(512, np.float32)), "not all 0"),
        (lambda folder: one_shot(folder, latent=np.full(512, np.nan, np.float32)), "finite"),
    ],
)
def test_wrong_shapes_are_refused_with_the_shape_found(tmp_path: Path, make: object, found: str) -> None:
    assert callable(make)
    make(tmp_path)
    with pytest.raises(EngineFileRefused, match=found):
        OnnxEngine(card(tmp_path))


def test_a_network_of_another_kind_is_refused_with_its_inputs(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["picture"], ["same"])]
    save(tmp_path / "model.onnx", nodes, {"picture": (1, 3, 8, 8)}, {"same": (1, 3, 8, 8)})
    with pytest.raises(EngineFileRefused, match="picture"):
        OnnxEngine(card(tmp_path))


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.dfm").write_bytes(b"not a network")
    with pytest.raises(EngineFileRefused, match="cannot read it"):
        OnnxEngine(card(tmp_path))


def test_an_empty_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineFileRefused, match=r"model\.dfm or model\.onnx"):
        OnnxEngine(card(tmp_path))


@pytest.mark.parametrize("fields", [{"kind": "synthetic"}, {"consent": None}, {"consent": ""}])
def test_nothing_is_loaded_without_a_consent_record(tmp_path: Path, fields: dict[str, object]) -> None:
    with pytest.raises(EngineFileRefused, match="no consent record"):
        OnnxEngine(card(dfm(tmp_path), **fields))


def test_nothing_is_loaded_without_a_card(tmp_path: Path) -> None:
    with pytest.raises(EngineFileRefused, match=r"identity\.json"):
        OnnxEngine(PackageFiles(dfm(tmp_path)))
