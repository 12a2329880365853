"""From a run to identity packages: its networks as LiteRT, checked as they are served, and a card."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from prediction_model.engines.autoencoder import DECODER, ENCODER, MAPS, SHARED_ENCODER, AutoencoderEngine
from prediction_model.errors import RunRefused
from prediction_model.faces.align import align
from prediction_model.identities.package import CARD, FACE, LICENCES, PORTRAIT, write_card
from prediction_model.identities.sealing import PackageFiles
from prediction_model.training import original
from prediction_model.training.actors import GREY, over
from prediction_model.training.export import check, convert, export_encoder, export_identity, pack_maps
from prediction_model.training.identity import Identity
from prediction_model.training.onnx_export import write_onnx
from prediction_model.training.performances import bundled
from prediction_model.training.presets import ORIGINAL, PRESETS
from prediction_model.training.runs import Run
from prediction_model.training.shared import save_shared
from prediction_model.training.trainer import read_weights, swap_in_parts
from prediction_model.types import AlignedFace, JsonObject

CHECKED_FACES = 32


@dataclass(frozen=True)
class Exported:
    """One package that was written."""

    folder: Path
    difference: float
    """Mean absolute difference of what is served and what was trained, 0 to 1."""
    bytes: int


def export_run(
    folder: Path,
    out: Path,
    say: Callable[[str], None],
    run: Run | None = None,
    shared_encoder: Path | None = None,
) -> list[Exported]:
    """Write a package for every exported identity of the run in `folder` to `out/ID`.

    Args:
        run: what the run trains, where its folder does not say.
        shared_encoder: write the encoder there instead of into each package: how the shipped ones are made.

    Raises:
        ExportRefused: what would be served differs too much from what was trained; it was not written.
        RunRefused: the folder holds no trained run, or `out` not the package that it retouches.
    """
    run = Run.read(folder) if run is None else run
    for index in run.exported:
        if run.form == "retouch" and "training" not in _read_json(out / run.identities[index].id / CARD):
            raise RunRefused(
                f"{out} holds no package {run.identities[index].id} to retouch: export into the folder that does."
            )
    model = trained(folder, run)
    files: dict[str, bytes] = {}
    if shared_encoder is not None or not run.shared_encoder:
        say("converting the encoder")
        content = _encoder(model, run)
        if shared_encoder is not None:
            shared_encoder.write_bytes(content)
        else:
            files[ENCODER] = content
    elif not SHARED_ENCODER.is_file():
        raise RunRefused(
            f"{SHARED_ENCODER.name} is missing, with which the run was trained: install the project again."
        )
    faces = checked_faces(run.size)
    written = []
    for index in run.exported:
        identity = run.identities[index]
        say(f"converting {identity.id}")
        written.append(_export(model, run, index, files, faces, folder, out / identity.id))
    return written


def trained(folder: Path, run: Run) -> keras.Model:
    """The run's network with the running mean as its weights.

    Raises:
        RunRefused: its weights are missing or of another network.
    """
    model, _ = run.network()
    _, mean = read_weights(folder / "weights.npz")
    if [w.shape for w in mean] != [w.shape for w in model.get_weights()]:
        raise RunRefused(
            f"{folder / 'weights.npz'} is not of the preset {run.preset} with {len(run.identities)} identities: name "
            "those that it was trained with."
        )
    model.set_weights(mean)
    return model


def write_shared(folder: Path, path: Path, run: Run) -> None:
    """Write the shared weights of the run in `folder`, from which new identities begin."""
    save_shared(path, trained(folder, run), run.preset)


def write_onnx_files(folder: Path, run: Run) -> list[Path]:
    """Write `ID.onnx` beside the run's weights for every exported identity."""
    model = trained(folder, run)
    paths = [folder / f"{run.identities[index].id}.onnx" for index in run.exported]
    for index, path in zip(run.exported, paths, strict=True):
        write_onnx(model, run, index, path)
    return paths


def checked_faces(size: int) -> list[AlignedFace]:
    """Faces as a camera would give them, for the check: the bundled performances."""
    given, _ = bundled()
    chosen = given[:: max(1, len(given) // CHECKED_FACES)][:CHECKED_FACES]
    return [align(over(face.picture, GREY), face.mesh, size) for face in chosen]


def served_and_trained(
    engine: AutoencoderEngine, model: keras.Model, identity: int, faces: list[AlignedFace]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """What the engine's network and what the model make of `faces`: float32 [n, S, S, 3 or 4], twice."""
    crops = np.stack([face.crop for face in faces])
    wanted = swap_in_parts(model, crops, np.full(len(faces), identity, np.int32))
    served = [engine.network(face) for face in faces]
    return np.stack(served)[..., : wanted.shape[-1]], wanted


def _encoder(model: keras.Model, run: Run) -> bytes:
    if run.preset == ORIGINAL:
        plain = original.encoder()
        plain.set_weights(model.get_layer("encoder").get_weights())
        return convert(plain)
    return export_encoder(model, PRESETS[run.preset])


def _export(
    model: keras.Model,
    run: Run,
    index: int,
    files: Mapping[str, bytes],
    faces: list[AlignedFace],
    folder: Path,
    target: Path,
) -> Exported:
    identity = run.identities[index]
    made = dict(files)
    if run.preset == ORIGINAL:
        made[DECODER], made[MAPS] = convert(original.served_decoder(model, index)), pack_maps({})
    else:
        exported = export_identity(model, PRESETS[run.preset], index)
        made[DECODER], made[MAPS] = exported.decoder, exported.maps
    with tempfile.TemporaryDirectory() as temporary:
        trial = Path(temporary)
        for name, content in made.items():
            (trial / name).write_bytes(content)
        difference = check(*served_and_trained(AutoencoderEngine(PackageFiles(trial)), model, index, faces))
        target.mkdir(parents=True, exist_ok=True)
        (target / ENCODER).unlink(missing_ok=True)
        for name in made:
            shutil.copyfile(trial / name, target / name)
    for name in (PORTRAIT, FACE):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
    write_card(target, _card(run, identity, folder, target, difference))
    return Exported(target, difference, sum(len(content) for content in made.values()))


def _card(run: Run, identity: Identity, folder: Path, target: Path, difference: float) -> JsonObject:
    """The card: what an existing one says of the person stays, what is said of the network is new."""
    before = _read_json(target / CARD)
    if run.form == "retouch":
        retouch = {**run.data, "seed": run.seed, **_progress(folder)}
        metrics = {**before.get("metrics", {}), "int8_difference_of_255": round(difference * 255, 3)}
        return {**before, "metrics": metrics, "training": {**before["training"], "retouch": retouch}}
    training = {
        "form": run.form,
        "preset": run.preset,
        "data": dict(run.data),
        "seed": run.seed,
        "backend": run.backend,
        **_progress(folder),
    }
    metrics = {"int8_difference_of_255": round(difference * 255, 3), "held_out_psnr_db": training.pop("psnr_db", None)}
    engines = ["autoencoder", *(["photo"] if (target / FACE).is_file() else [])]
    # The gallery's personas are described by who made them.
    told = before if run.form == "actors" else {}
    known = before.get("metrics")
    chosen = {field: value for field, value in told.items() if field in ("engine", "live_parts")}
    return {
        "id": identity.id,
        "name": told.get("name", identity.name),
        "kind": identity.kind,
        "engine": "autoencoder",
        "engines": engines,
        **chosen,
        "licence": told.get("licence", LICENCES[identity.kind]),
        "provenance": told.get("provenance", _provenance(run)),
        "consent": identity.consent,
        "consent_hash": hashlib.sha256(identity.consent.encode()).hexdigest() if identity.consent else "",
        "metrics": {**(known if isinstance(known, dict) else {}), **metrics},
        "training": training,
    }


def _provenance(run: Run) -> str:
    source = {
        "photo": "one photograph, performed by this project's photo engine on synthetic actors",
        "footage": f"{run.data.get('faces', 0)} faces from footage",
        "actors": "synthetic actors giving the same performances as the persona",
    }[run.form]
    return f"Trained by this project from {source}."


def _progress(folder: Path) -> dict[str, Any]:
    state = _read_json(folder / "state.json")
    progress, plan = state.get("progress", {}), state.get("plan", {})
    known = {name: progress[name] for name in ("step", "samples", "psnr_db", "loss") if name in progress}
    rounded = {name: round(v, 4) if isinstance(v, float) and np.isfinite(v) else v for name, v in known.items()}
    clean = {name: v for name, v in rounded.items() if not isinstance(v, float) or np.isfinite(v)}
    minutes = {"minutes": round(progress.get("seconds", 0) / 60, 1)}
    return {**clean, **minutes, **{k: plan[k] for k in ("batch_size", "learning_rate") if k in plan}}


def _read_json(path: Path) -> JsonObject:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
