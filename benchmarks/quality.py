"""How good a swap is: identity, expression, light steadiness, seams, leaks, and the distance to the true swap.

Sets: `actors` (the sources and performances kept for measuring, with the true swap beside each), `clips` (real
people) and, without private material, `wearers` (the two committed ones). Metric names are
`<engine>.<set>.<metric>`:

nearer_persona_share    of the frames described, how many are nearer to the persona than to the wearer's own frame
persona_distance_mean   dlib descriptor, output to the persona's picture
wearer_distance_mean    the same, output to the wearer's frame
psnr_db, ssim           the engine's aligned face against the true swap, before the light is matched (actors)
mouth_correlation       of the mouth's opening over the frames, output against input; `blink_correlation`: of the lids',
                        by the iris network: the face mesh does not see a blink
mesh_error              mean distance of the output's mesh to the input's, in distances between the eyes
flicker_ratio           frame-to-frame change of the stabilised face, output against input
seam_ratio              gradient along the mask's border, output against input
leak_max                largest change outside the face's outline, before labelling and encoding, in grey levels
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.engines.autoencoder import DECODER, AutoencoderEngine
from prediction_model.engines.base import SwapEngine
from prediction_model.engines.photo import PhotoEngine
from prediction_model.faces.align import align
from prediction_model.faces.detect import BlazeFace
from prediction_model.faces.embed import Descriptor, describe, distance
from prediction_model.faces.eyes import EyeLids
from prediction_model.faces.finder import FaceFinder
from prediction_model.faces.landmarks import FaceMesh, roi_of_mesh
from prediction_model.identities.package import CARD, live_parts
from prediction_model.identities.sealing import PackageFiles
from prediction_model.options import parse_options
from prediction_model.pipeline import FrameRequest, Pipeline
from prediction_model.training.actors import (
    FIRST_MEASURED_PERFORMANCE,
    FIRST_MEASURED_SOURCE,
    GREY,
    Mesher,
    over,
    read_cutout,
)
from prediction_model.training.pairs import OVAL, polygon
from prediction_model.types import BgrFrame, Mesh

# Blurred bystanders are no leak.
OPTIONS = parse_options({"identity": "p1", "bystanders": "leave"})
GALLERY = Path(__file__).resolve().parent.parent / "prediction_model" / "identities" / "gallery"
WEARERS = Path(__file__).resolve().parent.parent / "tests" / "data" / "wearers"
DESCRIBE_EVERY = 6
"""Frames of a video: the descriptor takes 80 ms."""
LONGEST = 150
"""Frames of one video."""
STABILISED = 128
ACTOR_FRAME = 480
"""Actors are enlarged to this height on a 640-pixel frame."""
LEAST_MOTION = 0.02
"""Standard deviation (of the mouth: in distances between the eyes; of the lids: of 0 to 1) below which nothing moves
and nothing is correlated."""

_UPPER_LIP, _LOWER_LIP = 13, 14
_EYES = (33, 263)


@dataclass
class Take:
    """One wearer as one persona: what was measured, frame by frame."""

    persona: list[float] = field(default_factory=list)
    wearer: list[float] = field(default_factory=list)
    mouth: list[tuple[float, float]] = field(default_factory=list)
    lids: list[tuple[float, float]] = field(default_factory=list)
    mesh: list[float] = field(default_factory=list)
    change: list[tuple[float, float]] = field(default_factory=list)
    seam: list[tuple[float, float]] = field(default_factory=list)
    leak: list[float] = field(default_factory=list)
    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    missed: int = 0
    """Frames that were not swapped."""


class Studio:
    """Runs engines over frames and measures what comes out."""

    def __init__(self) -> None:
        self._shown: list[BgrFrame] = []
        self._pipeline = Pipeline(self._decode, self._keep)
        self._mesh = FaceMesh()
        self._lids = EyeLids()
        self.finder = FaceFinder(BlazeFace())
        self._frame: BgrFrame = np.zeros((1, 1, 3), np.uint8)

    def take(
        self, frames: Iterable[BgrFrame], engine: SwapEngine, reference: Descriptor, every: int, still: bool
    ) -> tuple[Take, list[tuple[BgrFrame, BgrFrame]]]:
        """Swap `frames` (one person; `still`: single pictures, not a video); return measures and some frames,
        live and swapped."""
        take, looks = Take(), []
        track: str | None = None
        before: tuple[BgrFrame, BgrFrame] | None = None
        for number, frame in enumerate(frames):
            self._frame = frame
            request = FrameRequest(b"", OPTIONS, track=None if still else track, captured_us=number * 33_333)
            answer = self._pipeline.run(request, engine)
            track = answer.track
            if not answer.swapped:
                take.missed += 1
                before = None
                continue
            shown, mesh = self._shown[-1], answer.faces[0].mesh
            live_mesh, _ = self._mesh.landmarks(frame, roi_of_mesh(mesh))
            made_mesh, _ = self._mesh.landmarks(shown, roi_of_mesh(mesh))
            eyes = float(np.hypot(*(live_mesh[_EYES[0], :2] - live_mesh[_EYES[1], :2])))
            take.mouth.append((_mouth(live_mesh) / eyes, _mouth(made_mesh) / eyes))
            take.lids.append((self._lids.eyes_open(frame, live_mesh), self._lids.eyes_open(shown, made_mesh)))
            take.mesh.append(float(np.hypot(*(live_mesh - made_mesh)[:, :2].T).mean()) / eyes)
            live_face, made_face = (_stabilised(picture, live_mesh) for picture in (frame, shown))
            if before is not None:
                take.change.append((_change(before[0], live_face), _change(before[1], made_face)))
            before = None if still else (live_face, made_face)
            outside = _outline(mesh, frame.shape[:2])
            take.leak.append(float(cv2.absdiff(frame, shown)[outside == 0].max(initial=0)))
            take.seam.append((_border_gradient(live_face), _border_gradient(made_face)))
            if number % every == 0:
                found = describe(shown, made_mesh)
                take.persona.append(distance(found, reference))
                take.wearer.append(distance(found, describe(frame, live_mesh)))
                looks.append((frame, shown))
        return take, looks

    def _decode(self, _: bytes) -> BgrFrame:
        return self._frame.copy()

    def _keep(self, frame: BgrFrame, _: int) -> BgrFrame:
        self._shown = [frame.copy()]
        return frame


def run(data: Path | None, arguments: Sequence[str] = ()) -> Mapping[str, float]:
    """Measure; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks quality")
    parser.add_argument(
        "--engine", action="append", choices=("autoencoder", "photo"), help="default: both, where packaged"
    )
    parser.add_argument("--identity", action="append", help="default: two of the gallery for each wearer")
    parser.add_argument("--clip", type=Path, help="measure this video instead of the sets")
    parser.add_argument("--set", action="append", dest="sets", choices=("actors", "clips", "wearers"))
    parser.add_argument("--model-dir", type=Path, default=GALLERY, help="identity packages (default: the gallery)")
    parser.add_argument("--sheet", type=Path, help="write live and swapped frames there, to look at (PNG or JPEG)")
    options = parser.parse_args(arguments)
    studio, mesher = Studio(), Mesher()
    identities = options.identity or sorted(path.parent.name for path in options.model_dir.glob("*/identity.json"))
    results: dict[str, float] = {}
    rows: list[BgrFrame] = []
    for name in options.engine or ("autoencoder", "photo"):
        for group, wearers in _sets(data, options.clip, options.sets).items():
            takes = []
            for index, wearer in enumerate(wearers):
                for identity in _cast(identities, index, options.identity is not None):
                    folder = options.model_dir / identity
                    engine = _engine(name, folder, studio.finder)
                    if engine is None:
                        continue
                    print(f"{name} {group}: {wearer.name} as {identity}", file=sys.stderr, flush=True)
                    still = group == "actors"
                    frames = list(_frames(wearer))
                    reference = _reference(folder, mesher)
                    take, looks = studio.take(frames, engine, reference, 3 if still else DESCRIBE_EVERY, still)
                    if still and data is not None:
                        _compare_with_truth(take, wearer, data / "actors" / identity, engine, mesher)
                    takes.append(take)
                    rows.append(_row(looks))
            if takes:
                results |= {f"{name}.{group}.{metric}": value for metric, value in _summary(takes).items()}
    if options.sheet and rows:
        width = max(row.shape[1] for row in rows)
        rows = [cv2.copyMakeBorder(r, 0, 0, 0, width - r.shape[1], cv2.BORDER_CONSTANT) for r in rows]
        cv2.imwrite(str(options.sheet), np.vstack(rows))
    return results


def _sets(data: Path | None, clip: Path | None, only: Sequence[str] | None) -> dict[str, list[Path]]:
    """Wearers by set: videos, or folders of an actor's cut-outs."""
    if clip is not None:
        return {clip.stem: [clip]}
    found: dict[str, list[Path]] = {"wearers": sorted(WEARERS.glob("*.mp4"))}
    if data is not None:
        found = {
            "actors": [data / "actors" / f"s{number:02d}" for number in range(FIRST_MEASURED_SOURCE, 60)],
            "clips": sorted(p for p in (data / "clips").glob("*") if p.suffix in (".mkv", ".gif", ".mp4")),
            **(found if only and "wearers" in only else {}),
        }
    return {name: wearers for name, wearers in found.items() if not only or name in only}


def _cast(identities: Sequence[str], index: int, all_of_them: bool) -> list[str]:
    """Who a wearer is swapped to: all that were asked for, or two that take turns."""
    if all_of_them or len(identities) < 3:
        return list(identities)
    return [identities[(2 * index) % len(identities)], identities[(2 * index + 3) % len(identities)]]


def _engine(name: str, folder: Path, finder: FaceFinder) -> SwapEngine | None:
    """The engine of an identity package; None where the package does not carry it."""
    if name == "autoencoder":
        if not (folder / DECODER).is_file():
            return None
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        return AutoencoderEngine(PackageFiles(folder), live_parts(folder.name, card))
    picture = cv2.imread(str(folder / "face.jpg"))
    return None if picture is None else PhotoEngine.from_picture(np.asarray(picture, np.uint8), finder)


def _reference(folder: Path, mesher: Mesher) -> Descriptor:
    """The descriptor of the persona's own picture."""
    picture = np.asarray(cv2.imread(str(folder / "face.jpg")), np.uint8)
    mesh = mesher.mesh(picture)
    if mesh is None:
        raise ValueError(f"Expected a face in {folder / 'face.jpg'}, found none: make the package again.")
    return describe(picture, mesh)


def _frames(wearer: Path) -> Iterator[BgrFrame]:
    """A video's frames, or an actor's cut-outs on a grey 640×480 frame."""
    if wearer.is_dir():
        for path in _measured(wearer):
            yield _on_frame(over(read_cutout(path), GREY))
        return
    video = cv2.VideoCapture(str(wearer))
    try:
        for _ in range(LONGEST):
            read, frame = video.read()
            if not read:
                return
            yield np.asarray(frame, np.uint8)
    finally:
        video.release()


def _measured(actor: Path) -> list[Path]:
    """The cut-outs that were never trained on: all of a kept source's, the kept performances of anybody else."""
    kept = actor.name.startswith("s") and int(actor.name[1:]) >= FIRST_MEASURED_SOURCE
    return [p for p in sorted(actor.glob("*.webp")) if kept or int(p.stem) >= FIRST_MEASURED_PERFORMANCE]


def _on_frame(picture: BgrFrame) -> BgrFrame:
    scale = ACTOR_FRAME / picture.shape[0]
    large = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    side = max((640 - large.shape[1]) // 2, 0)
    return cv2.copyMakeBorder(large, 0, 0, side, side, cv2.BORDER_CONSTANT, value=(GREY,) * 3)


def _compare_with_truth(take: Take, wearer: Path, persona: Path, engine: SwapEngine, mesher: Mesher) -> None:
    """PSNR and SSIM of the engine's aligned face against the persona's frame of the same performance."""
    for path in _measured(wearer):
        truth_file = persona / path.name
        if not truth_file.is_file():
            continue
        live, truth = (over(read_cutout(p), GREY) for p in (path, truth_file))
        live_mesh, truth_mesh = mesher.mesh(live), mesher.mesh(truth)
        if live_mesh is None or truth_mesh is None:
            continue
        made = engine.swap([align(live, live_mesh, engine.crop_size)])[0].face
        wanted = align(truth, truth_mesh, engine.crop_size)
        inside = polygon(wanted.mesh[list(OVAL), :2], engine.crop_size) > 0.5
        error = float(((made - wanted.crop)[inside] ** 2).mean())
        take.psnr.append(-10 * float(np.log10(max(error, 1e-10))))
        take.ssim.append(float(_similarity(made, wanted.crop)[inside].mean()))


def _similarity(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """SSIM per pixel of the luma (Wang et al., 2004)."""
    grey_a, grey_b = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (a, b))

    def blur(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.asarray(cv2.GaussianBlur(x, (11, 11), 1.5), np.float32)

    mean_a, mean_b = blur(grey_a), blur(grey_b)
    spread_a, spread_b = blur(grey_a**2) - mean_a**2, blur(grey_b**2) - mean_b**2
    both = blur(grey_a * grey_b) - mean_a * mean_b
    top = (2 * mean_a * mean_b + 0.01**2) * (2 * both + 0.03**2)
    return np.asarray(top / ((mean_a**2 + mean_b**2 + 0.01**2) * (spread_a + spread_b + 0.03**2)), np.float32)


def _mouth(mesh: Mesh) -> float:
    return float(np.hypot(*(mesh[_UPPER_LIP, :2] - mesh[_LOWER_LIP, :2])))


def _stabilised(picture: BgrFrame, mesh: Mesh) -> BgrFrame:
    """The aligned face, uint8 [128, 128, 3]."""
    return np.asarray(cv2.convertScaleAbs(align(picture, mesh, STABILISED).crop, alpha=255.0), np.uint8)


def _inner() -> npt.NDArray[np.bool_]:
    y, x = np.mgrid[0:STABILISED, 0:STABILISED] / STABILISED
    return np.asarray(((x - 0.5) / 0.26) ** 2 + ((y - 0.48) / 0.32) ** 2 < 1)


def _change(before: BgrFrame, now: BgrFrame) -> float:
    return float(cv2.absdiff(before, now)[_inner()].mean())


def _border_gradient(face: BgrFrame) -> float:
    """Mean gradient in the ring where swaps end, of the stabilised face."""
    grey = cv2.cvtColor(face, cv2.COLOR_BGR2GRAY).astype(np.float32)
    slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    y, x = np.mgrid[0:STABILISED, 0:STABILISED] / STABILISED
    radius = np.sqrt(((x - 0.5) / 0.3) ** 2 + ((y - 0.46) / 0.38) ** 2)
    return float(slope[(radius > 0.85) & (radius < 1.05)].mean())


def _outline(mesh: Mesh, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """uint8 [H, W]: 255 inside the mesh's convex hull, two pixels wider."""
    drawn = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(drawn, cv2.convexHull(np.round(mesh[:, :2]).astype(np.int32)), 255)
    return np.asarray(cv2.dilate(drawn, np.ones((5, 5), np.uint8)), np.uint8)


def _row(looks: Sequence[tuple[BgrFrame, BgrFrame]]) -> BgrFrame:
    """Up to five frames, live over swapped."""
    chosen = [looks[i] for i in np.linspace(0, len(looks) - 1, min(5, len(looks))).astype(int)] if looks else []
    tiles = [np.vstack([cv2.resize(p, (320, 240), interpolation=cv2.INTER_AREA) for p in pair]) for pair in chosen]
    return np.hstack(tiles) if tiles else np.zeros((1, 1, 3), np.uint8)


def _correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    live, made = np.array(pairs).T if len(pairs) > 4 else (np.zeros(1), np.zeros(1))
    if live.std() < LEAST_MOTION or made.std() == 0:
        return None
    return float(np.corrcoef(live, made)[0, 1])


def _summary(takes: Sequence[Take]) -> dict[str, float]:
    """Frames count equally; correlations are per take, then averaged."""
    persona, wearer = (np.concatenate([getattr(t, name) for t in takes]) for name in ("persona", "wearer"))
    results = {
        "nearer_persona_share": float((persona < wearer).mean()),
        "persona_distance_mean": float(persona.mean()),
        "wearer_distance_mean": float(wearer.mean()),
        "mesh_error": float(np.concatenate([t.mesh for t in takes]).mean()),
        "leak_max": float(max(max(t.leak) for t in takes if t.leak)),
        "unswapped_share": sum(t.missed for t in takes) / sum(t.missed + len(t.mesh) for t in takes),
    }
    for metric, name in (("mouth_correlation", "mouth"), ("blink_correlation", "lids")):
        known = [c for t in takes if (c := _correlation(getattr(t, name))) is not None]
        if known:
            results[metric] = float(np.mean(known))
    for metric, name in (("flicker_ratio", "change"), ("seam_ratio", "seam")):
        ratios = [
            np.mean([m for _, m in pairs]) / np.mean([v for v, _ in pairs])
            for t in takes
            if (pairs := getattr(t, name))
        ]
        if ratios:
            results[metric] = float(np.mean(ratios))
    for metric, name in (("psnr_db", "psnr"), ("ssim", "ssim")):
        values = [v for t in takes for v in getattr(t, name)]
        if values:
            results[metric] = float(np.mean(values))
    return results
