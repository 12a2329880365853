"""The shared weights: small, the mean identity or all of them, and what a new identity may change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prediction_model.errors import RunRefused
from prediction_model.training.networks import autoencoder
from prediction_model.training.presets import PRESETS
from prediction_model.training.shared import freeze_shared, load_shared, save_shared


def test_the_new_identity_begins_as_the_mean_of_all(tmp_path: Path, tiny: str) -> None:
    rng = np.random.default_rng(0)
    model = autoencoder(PRESETS[tiny], 3)
    model.set_weights([w + rng.normal(0, 0.1, w.shape) for w in model.get_weights()])
    save_shared(tmp_path / "shared.npz", model, tiny)
    loaded = load_shared(tmp_path / "shared.npz", PRESETS[tiny])
    one = loaded.get_layer("decoder").get_layer("head_mod")
    three = model.get_layer("decoder").get_layer("head_mod")
    for name in ("scale", "shift", "map"):
        mean = np.asarray(getattr(three, name)).mean(axis=0, keepdims=True)
        assert np.allclose(np.asarray(getattr(one, name)), mean, atol=3e-3)
    crops = rng.random((2, 32, 32, 3), np.float32)
    before, after = (np.asarray(m.get_layer("encoder")(crops)[0]) for m in (model, loaded))
    assert np.allclose(before, after, atol=0.02)


def test_the_gallery_s_training_goes_on_from_it(tmp_path: Path, tiny: str) -> None:
    rng = np.random.default_rng(1)
    model = autoencoder(PRESETS[tiny], 3)
    model.set_weights([w + rng.normal(0, 0.1, w.shape) for w in model.get_weights()])
    save_shared(tmp_path / "shared.npz", model, tiny)
    loaded = load_shared(tmp_path / "shared.npz", PRESETS[tiny], 3)
    crops, identities = rng.random((3, 32, 32, 3), np.float32), np.arange(3, dtype=np.int32)
    before, after = (np.asarray(m([crops, identities], training=False)) for m in (model, loaded))
    assert np.abs(before - after).mean() < 0.02
    with pytest.raises(RunRefused, match="2 identities"):
        load_shared(tmp_path / "shared.npz", PRESETS[tiny], 2)


def test_the_encoder_and_the_normalisation_are_not_trained(tmp_path: Path, tiny: str) -> None:
    model = autoencoder(PRESETS[tiny], 1)
    freeze_shared(model)
    names = [variable.path for variable in model.trainable_variables]
    assert names and not any("encoder" in name.split("/")[0] or "_norm" in name for name in names)
    assert any("head_mod/map" in name for name in names) and any("pixels/kernel" in name for name in names)


@pytest.mark.parametrize("content", [None, b"", b"not an archive"])
def test_a_missing_or_damaged_file_is_refused(tmp_path: Path, tiny: str, content: bytes | None) -> None:
    path = tmp_path / "shared.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunRefused, match="--from-scratch"):
        load_shared(path, PRESETS[tiny])


def test_another_network_s_weights_are_refused(tmp_path: Path, tiny: str) -> None:
    save_shared(tmp_path / "shared.npz", autoencoder(PRESETS[tiny], 1), tiny)
    with pytest.raises(RunRefused, match="160 pixels"):
        load_shared(tmp_path / "shared.npz", PRESETS["live"])
