"""Training against a face descriptor: its file format is read, it steers, and is not itself trained.

dlib's weights are not in the repository; these are random ones of the same shapes, quantised to a byte as theirs are.
"""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from prediction_model.errors import TrainingDataRefused
from prediction_model.training.descriptor import CHIP, MANIFEST, Chip, chip_rows, descriptor, references
from prediction_model.training.networks import autoencoder
from prediction_model.training.objective import compile_described
from prediction_model.training.pairs import TRUTH_CHANNELS
from prediction_model.training.presets import PRESETS

STEPS = 12


def shapes() -> dict[str, tuple[int, ...]]:
    """Of every weight of dlib's network, by face-api's names."""
    found: dict[str, tuple[int, ...]] = {"fc": (256, 128)}

    def convolution(name: str, side: int, given: int, made: int) -> None:
        found[f"{name}/conv/filters"] = (side, side, given, made)
        found[f"{name}/conv/bias"] = found[f"{name}/scale/weights"] = found[f"{name}/scale/biases"] = (made,)

    convolution("conv32_down", 7, 3, 32)
    for width, blocks in ((32, 3), (64, 3), (128, 2), (256, 2)):
        downs = [f"conv{width}_down"] if width > 32 else []
        downs += ["conv256_down_out"] if width == 256 else []
        for name in downs:
            given = width // 2 if name != "conv256_down_out" else width
            convolution(f"{name}/conv1", 3, given, width)
            convolution(f"{name}/conv2", 3, width, width)
        for block in range(1, blocks + 1):
            for part in ("conv1", "conv2"):
                convolution(f"conv{width}_{block}/{part}", 3, width, width)
    return found


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("descriptor")
    rng = np.random.default_rng(0)
    listed, content = [], []
    for name, shape in shapes().items():
        spread = 1 / np.sqrt(np.prod(shape[:-1])) if len(shape) > 1 else 0.05
        middle = 1.0 if name.endswith("scale/weights") else 0.0
        coding = {"dtype": "uint8", "scale": float(4 * spread / 255), "min": float(middle - 2 * spread)}
        listed.append({"name": name, "shape": shape, "dtype": "float32", "quantization": coding})
        content.append(rng.integers(0, 256, int(np.prod(shape)), np.uint8).tobytes())
    (folder / "shard1").write_bytes(b"".join(content))
    (folder / MANIFEST).write_text(json.dumps([{"paths": ["shard1"], "weights": listed}]))
    return folder


def test_the_format_is_read(weights: Path) -> None:
    network = descriptor(weights)
    made = network(np.zeros((2, CHIP, CHIP, 3), np.float32))
    assert [part.shape[-1] for part in made] == [32, 64, 128, 128]
    coding = json.loads((weights / MANIFEST).read_text())[0]["weights"][0]["quantization"]
    first = np.frombuffer((weights / "shard1").read_bytes(), np.uint8, 256 * 128).reshape(256, 128)
    assert np.allclose(network.get_layer("fc").get_weights()[0], first * coding["scale"] + coding["min"], atol=1e-6)


@pytest.mark.parametrize("damage", ["no manifest", "cut short"])
def test_what_is_no_descriptor_is_a_sentence(weights: Path, tmp_path: Path, damage: str) -> None:
    if damage == "cut short":
        (tmp_path / MANIFEST).write_bytes((weights / MANIFEST).read_bytes())
        (tmp_path / "shard1").write_bytes((weights / "shard1").read_bytes()[:-1])
    with pytest.raises(TrainingDataRefused, match="holds no face descriptor"):
        descriptor(tmp_path)


def test_the_chip_is_cut_from_where_dlib_would_cut_it() -> None:
    ramp = np.broadcast_to(np.arange(160, dtype=np.float32)[None, None, :, None], (1, 160, 160, 3))
    chip = np.asarray(Chip()(ramp))[0, 75, :, 0]
    assert np.allclose(np.diff(chip), 0.8023 * 160 / CHIP, atol=1e-3)
    assert chip.mean() == pytest.approx(0.5064 * 160 - 0.5, abs=0.01)
    assert np.allclose(chip_rows(160, 0.5).sum(axis=1), 1, atol=1e-5), "brightness stays"


def test_it_steers_and_is_not_trained(weights: Path, tiny: str, eagerly: None) -> None:
    rng = np.random.default_rng(1)
    network = descriptor(weights)
    before = [np.array(w) for w in network.get_weights()]
    dark, light = np.full((2, 32, 32, 3), 0.1, np.float32), np.full((2, 32, 32, 3), 0.9, np.float32)
    wanted = references(network, [dark[0], light[0]], [[dark[1]], [light[1]]])
    assert wanted.shape == (2, 128)
    middle = wanted.mean(axis=0)
    wanted = (middle + 4 * (wanted - middle)).astype(np.float32)  # random weights tell two faces hardly apart
    model = autoencoder(PRESETS[tiny], 2)
    start = model.get_weights()
    crops, identities = rng.random((2, 32, 32, 3), np.float32), np.array([0, 1], np.int32)
    truths = np.zeros((2, 32, 32, TRUTH_CHANNELS), np.float32)
    truths[..., 3] = 1  # all face, of which the colours weigh nothing: there is only the descriptor to follow
    nothing = np.zeros((2, 1), np.float32)

    def distance_after(targets: np.ndarray) -> float:
        """To `wanted`, of a network that was trained to `targets`."""
        model.set_weights(start)
        trained = compile_described(model, keras.optimizers.Adam(1e-2), 0.5, network, targets)
        for _ in range(STEPS):
            trained.train_on_batch([crops, identities, truths], [truths, nothing, nothing])
        made = np.asarray(model([crops, identities], training=True))
        described = np.asarray(network(Chip()(made[..., :3]))[-1])
        return float(np.linalg.norm(described - wanted[identities], axis=1).mean())

    assert distance_after(wanted) < 0.9 * distance_after(wanted[::-1]), "whose face it is makes the difference"
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))
