"""Is the trained model better than the photograph? Both engines swap the same faces, which the training never saw.

`python -m prediction_model.studio.comparison FOLDER` measures the package in FOLDER and prints one line of JSON. It is
run as a process, so that the service keeps nothing of what it loads. The faces are the bundled performances that
`train photo` holds out (one in eight, by every persona), swapped by the pipeline as a frame is, but not labelled.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.engines.autoencoder import AutoencoderEngine
from prediction_model.engines.base import SwapEngine
from prediction_model.engines.photo import PhotoEngine
from prediction_model.errors import PredictionError, TrainingDataRefused
from prediction_model.faces.embed import Descriptor, describe, distance
from prediction_model.faces.eyes import EyeLids, lid_gap
from prediction_model.faces.landmarks import FaceMesh, roi_of_mesh
from prediction_model.identities.package import FACE
from prediction_model.identities.sealing import PackageFiles
from prediction_model.pipeline import FrameRequest, Pipeline
from prediction_model.training.actors import GREY, Mesher, over
from prediction_model.training.performances import bundled, held_out
from prediction_model.types import PARTS, BgrFrame, Mesh, Part

FRAME_HEIGHT, FRAME_WIDTH = 480, 640
FEWEST_PAIRS = 24
"""Faces that both engines must have swapped: fewer say nothing."""
CONFIDENCE = 0.9875
"""One-sided, and halved for the two `CHOICES` that are looked at: 97.5 % for both together."""
DRAWS = 4000
EXPRESSION_TOLERANCE = 0.02
"""A model whose expression error may be larger than the photograph's by this, which is a fifth of it, is worse."""
UPPER_LIP, LOWER_LIP, EYES = 13, 14, (33, 263)
SMALLEST_GAP = 0.03
"""Of lids: eyes whose usual gap seems smaller were not seen well enough to divide by it."""

CHOICES: tuple[tuple[Part, ...], ...] = (("mouth",), PARTS)
"""What the autoencoder may leave the wearer's own, the nearest to the identity first: the first that is better than the
photograph is used."""

Numbers = npt.NDArray[np.float64]
Expression = tuple[float, float]
"""Mouth opening, in distances between the eyes, and the gap between the lids, in widths of the eye."""


@dataclass(frozen=True)
class Measured:
    """What one engine does, on average."""

    identity_distance: float
    """dlib's descriptor, output to the photograph: lower is nearer."""
    expression_error: float
    """How far the output's mouth opening (in distances between the eyes) and its lids are from the input's, together.
    Lids are measured against how far that person's are open most of the time: who has narrow eyes keeps them."""


@dataclass(frozen=True)
class Comparison:
    """Both engines on the same pairs."""

    pairs: int
    live_parts: tuple[Part, ...]
    """What the autoencoder left the wearer's own when it was measured."""
    photo: Measured
    autoencoder: Measured
    nearer: bool
    """The autoencoder is surely nearer to the photographed person."""
    keeps_expression: bool
    """Its expressions are surely as near to the input's as the photo engine's, but for `EXPRESSION_TOLERANCE`."""

    @property
    def better(self) -> bool:
        """Whether the autoencoder takes the photo engine's place."""
        return self.nearer and self.keeps_expression


@dataclass(frozen=True)
class Swapped:
    """One face that an engine swapped."""

    identity_distance: float
    live: Expression
    made: Expression


class Ruler:
    """Swaps faces and measures what comes out."""

    def __init__(self) -> None:
        self._frame: BgrFrame = np.zeros((1, 1, 3), np.uint8)
        self._shown: BgrFrame | None = None
        self._pipeline = Pipeline(lambda _: self._frame.copy(), self._keep)
        self._mesh, self._lids = FaceMesh(), EyeLids()

    def measure(self, frame: BgrFrame, engine: SwapEngine, reference: Descriptor) -> Swapped | None:
        """`frame` [H, W, 3] BGR swapped, and measured before and after; None where no face was found."""
        self._frame, self._shown = frame, None
        answer = self._pipeline.run(FrameRequest(b""), engine)
        if not answer.swapped or self._shown is None:
            return None
        region = roi_of_mesh(answer.faces[0].mesh)
        (live, _), (made, _) = (self._mesh.landmarks(picture, region) for picture in (frame, self._shown))
        nearness = distance(describe(self._shown, made), reference)
        return Swapped(nearness, self._expression(frame, live), self._expression(self._shown, made))

    def _keep(self, frame: BgrFrame, _: int) -> BgrFrame:
        """In the place of the labels."""
        self._shown = frame.copy()
        return frame

    def _expression(self, frame: BgrFrame, mesh: Mesh) -> Expression:
        eyes = max(float(np.hypot(*(mesh[EYES[0], :2] - mesh[EYES[1], :2]))), 1e-3)
        mouth = float(np.hypot(*(mesh[UPPER_LIP, :2] - mesh[LOWER_LIP, :2])))
        return mouth / eyes, float(np.mean([lid_gap(lids) for lids in self._lids.contours(frame, mesh)]))


def compare(folder: Path) -> Comparison:
    """Measure the package in `folder`: its autoencoder, with the first of `CHOICES` that is better or else with the
    last, and the photo engine on its picture.

    Raises:
        EngineFileRefused: its files cannot be used.
        FaceModelMissing: the descriptor is not installed.
        TrainingDataRefused: its picture shows no face, or too few faces could be swapped.
    """
    picture = cv2.imread(str(folder / FACE))
    mesh = None if picture is None else Mesher().mesh(np.asarray(picture, np.uint8))
    if picture is None or mesh is None:
        raise TrainingDataRefused(f"The package's {FACE} shows no face: enrol the person again.")
    ruler = Ruler()
    face = np.asarray(picture, np.uint8)
    reference = describe(face, mesh)
    files = PackageFiles(folder)
    engines: list[SwapEngine] = [PhotoEngine(face, mesh), *(AutoencoderEngine(files, parts) for parts in CHOICES)]
    given, _ = bundled()
    kept = held_out(performance.index for performance in given)
    actors: list[str] = []
    swapped: list[list[Swapped]] = []
    for performance in given:
        if performance.index in kept:
            frame = _frame(performance.picture)
            each = [found for engine in engines if (found := ruler.measure(frame, engine, reference)) is not None]
            if len(each) == len(engines):
                actors.append(performance.actor)
                swapped.append(each)
    if len(swapped) < FEWEST_PAIRS:
        raise TrainingDataRefused(
            f"Only {len(swapped)} faces could be compared, expected {FEWEST_PAIRS}: train longer."
        )
    identity = [[found.identity_distance for found in each] for each in swapped]
    errors = [expression_errors(actors, found) for found in zip(*swapped, strict=True)]
    measured = np.stack([np.array(identity), np.stack(errors, axis=1)], axis=-1)
    judged = [judge(measured[:, [0, place]], actors, parts) for place, parts in enumerate(CHOICES, start=1)]
    return next((found for found in judged if found.better), judged[-1])


def expression_errors(actors: Sequence[str], swapped: Sequence[Swapped]) -> Numbers:
    """By face, how far its expression is from the live one's.

    Args:
        actors: whose each live face is.
        swapped: the faces, all by one engine and so of one identity.

    Returns:
        float64 [n]; see `Measured.expression_error`.
    """
    live, made = (np.array([getattr(face, which) for face in swapped]) for which in ("live", "made"))
    whose = np.array(actors)
    usual = np.array([np.median(live[whose == actor, 1]) for actor in actors])
    live_lids = live[:, 1] / np.maximum(usual, SMALLEST_GAP)
    made_lids = made[:, 1] / max(float(np.median(made[:, 1])), SMALLEST_GAP)
    return np.asarray(np.abs(live[:, 0] - made[:, 0]) + np.abs(live_lids - made_lids), np.float64)


def judge(pairs: Numbers, actors: Sequence[str], live_parts: tuple[Part, ...]) -> Comparison:
    """Which engine is better, and whether that is more than chance.

    Args:
        pairs: float64 [n, 2, 2]: by pair, by engine (photo, autoencoder): identity distance and expression error.
        actors: whose each live face is. One actor's faces are alike, so chance is that of drawing actors: the mean
            change over actors, drawn again and again (Efron's bootstrap, by clusters).
        live_parts: what the autoencoder left the wearer's own.
    """
    photo, autoencoder = (Measured(*map(float, engine)) for engine in pairs.mean(axis=0))
    change, whose = pairs[:, 1] - pairs[:, 0], np.array(actors)
    by_actor = np.array([change[whose == actor].mean(axis=0) for actor in sorted(set(actors))])
    draws = np.random.default_rng(0).integers(len(by_actor), size=(DRAWS, len(by_actor)))
    worst = np.quantile(by_actor[draws].mean(axis=1), CONFIDENCE, axis=0)
    return Comparison(
        len(pairs), live_parts, photo, autoencoder, bool(worst[0] < 0), bool(worst[1] < EXPRESSION_TOLERANCE)
    )


def _frame(picture: npt.NDArray[np.uint8]) -> BgrFrame:
    """A performance as a camera would give it, uint8 [480, 640, 3]."""
    scale = FRAME_HEIGHT / picture.shape[0]
    large = cv2.resize(over(picture, GREY), None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)[:, :FRAME_WIDTH]
    side = FRAME_WIDTH - large.shape[1]
    grey = (GREY,) * 3
    framed = cv2.copyMakeBorder(large, 0, 0, side // 2, side - side // 2, cv2.BORDER_CONSTANT, value=grey)
    return np.asarray(framed, np.uint8)


def main(arguments: Sequence[str]) -> int:
    """One line on standard output; a sentence on standard error and 1 where it cannot be measured."""
    try:
        found = compare(Path(arguments[0]))
    except PredictionError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({**asdict(found), "better": found.better}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
