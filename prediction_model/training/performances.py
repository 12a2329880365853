"""Performances that come with the project: the eight personas' faces in forty-eight expressions, poses and lights each.

Whoever trains an identity from one photograph has nobody else's face at hand to learn from; these synthetic ones are
enough, because the shared encoder already knows many more. `python -m prediction_model.training.performances ACTORS`
makes the file again from the actors' folder.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.training.actors import FIRST_MEASURED_PERFORMANCE, Performance, performances
from prediction_model.training.blend import ALIGNED, SIDE, centred

BUNDLE = Path(__file__).with_name("performances.zip")
PERSONAS = tuple(f"p{number}" for number in range(1, 9))
COUNT = 48
HELD_OUT_SHARE = 8
"""One performance in so many is kept for previews and scores, where there is no other set for them."""
BUNDLED_ALIGNED, BUNDLED_SIDE = 176, 232
"""Pixels: the face's crop, and the picture in whose middle it is."""
WEBP_QUALITY = 75
NEUTRAL_SHARE = 1.5
"""How much the head's pose counts against the expression when varied performances are chosen."""


def bundled(file: Path = BUNDLE) -> tuple[list[Performance], int]:
    """Every performance in the file, and the index of the most neutral one, which every actor gives."""
    found = []
    with zipfile.ZipFile(file) as archive:
        about = json.loads(archive.read("about.json"))
        for actor in about["actors"]:
            meshes = np.load(io.BytesIO(archive.read(f"{actor}/meshes.npy")), allow_pickle=False).astype(np.float32)
            for index, mesh in zip(about["indices"], meshes, strict=True):
                content = np.frombuffer(archive.read(f"{actor}/{index:04d}.webp"), np.uint8)
                picture = np.asarray(cv2.imdecode(content, cv2.IMREAD_UNCHANGED), np.uint8)
                picture[picture[..., 3] == 0] = 0
                found.append(Performance(actor, index, picture, mesh))
    return found, int(about["neutral"])


def held_out(indices: Iterable[int]) -> set[int]:
    """Those of the performances `indices` that are not trained on."""
    return set(sorted(set(indices))[HELD_OUT_SHARE - 1 :: HELD_OUT_SHARE])


def bundle(folder: Path, file: Path, actors: Sequence[str] = PERSONAS, count: int = COUNT) -> None:
    """Write `count` performances of each of `actors`, as different from each other as they can be."""
    with np.load(folder / "actors.npz", allow_pickle=False) as known:
        expression, pose = known["expression"], known["pose"]
    given = {actor: {p.index: p for p in performances(folder, [actor])} for actor in actors}
    common = sorted(set.intersection(*(set(by_index) for by_index in given.values())))
    common = [index for index in common if index < FIRST_MEASURED_PERFORMANCE]
    indices = varied(expression[common], pose[common] / pose.std(axis=0), count)
    chosen = [common[i] for i in indices]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for actor, by_index in given.items():
            meshes = []
            for index in chosen:
                picture, mesh = _reduced(by_index[index])
                code = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])[1]
                archive.writestr(f"{actor}/{index:04d}.webp", code.tobytes())
                meshes.append(mesh)
            buffer = io.BytesIO()
            np.save(buffer, np.array(meshes, np.float16))
            archive.writestr(f"{actor}/meshes.npy", buffer.getvalue())
        about = {"actors": list(actors), "indices": chosen, "neutral": chosen[0]}
        archive.writestr("about.json", json.dumps(about))


def varied(expression: npt.NDArray[np.float32], pose: npt.NDArray[np.float32], count: int) -> list[int]:
    """Rows to take: the most neutral first, then always the one furthest from all taken (farthest-point sampling).

    Args:
        expression: float32 [n, weights], 0 at rest.
        pose: float32 [n, 3]: yaw, pitch and roll in degrees.
        count: at most so many.
    """
    places = np.hstack([expression / expression.std(), NEUTRAL_SHARE * pose])
    taken = [int(np.argmin((places**2).sum(axis=1)))]
    distance = np.full(len(places), np.inf)
    while len(taken) < min(count, len(places)):
        distance = np.minimum(distance, ((places - places[taken[-1]]) ** 2).sum(axis=1))
        taken.append(int(np.argmax(distance)))
    return taken


def _reduced(performance: Performance) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """The picture aligned in the middle of a square of `BUNDLED_SIDE`, and its mesh there."""
    picture, mesh = centred(performance)
    alpha = picture[..., 3:]
    picture = np.dstack([picture[..., :3] / np.maximum(alpha / 255, 1e-3), alpha]) * (alpha > 0)
    scale = BUNDLED_ALIGNED / ALIGNED
    shift = BUNDLED_SIDE / 2 - scale * SIDE / 2
    matrix = np.array([[scale, 0, shift], [0, scale, shift]], np.float32)
    small = cv2.warpAffine(np.clip(picture, 0, 255), matrix, (BUNDLED_SIDE, BUNDLED_SIDE), flags=cv2.INTER_AREA)
    mesh = mesh * np.float32(scale)
    mesh[:, :2] += shift
    return np.asarray(np.round(small), np.uint8), mesh


if __name__ == "__main__":
    bundle(Path(sys.argv[1]), BUNDLE)
