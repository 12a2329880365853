"""The ways to train: on actors' paired performances, on one photograph, on footage, and a shipped one's retouch.

Each returns the run, and whether its plan came to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import keras
import numpy as np
import numpy.typing as npt

from prediction_model.errors import RunRefused, TrainingDataRefused
from prediction_model.faces.align import align
from prediction_model.identities.package import FACE
from prediction_model.identities.portrait import write_pictures
from prediction_model.training import original
from prediction_model.training.actors import (
    FIRST_MEASURED_PERFORMANCE,
    FIRST_MEASURED_SOURCE,
    GREY,
    Mesher,
    Performance,
    over,
    performances,
    with_lids,
)
from prediction_model.training.backgrounds import made_up
from prediction_model.training.blend import blends
from prediction_model.training.classical import Disguises, Unpaired, disguised
from prediction_model.training.descriptor import descriptor, references
from prediction_model.training.face_folder import FaceFolder, yaw
from prediction_model.training.hair import without_strands
from prediction_model.training.identity import Identity
from prediction_model.training.pairs import Batch, Pairs, load_backgrounds
from prediction_model.training.performances import HELD_OUT_SHARE, PERSONAS, bundled, held_out
from prediction_model.training.photo_pairs import read_photograph, truths
from prediction_model.training.presets import ORIGINAL
from prediction_model.training.retouch import Mirrored
from prediction_model.training.runs import RUN, Run
from prediction_model.training.shared import SHARED
from prediction_model.training.trainer import Plan, Progress, Trainer
from prediction_model.types import BgrFrame

HELD_OUT_SEED, HELD_OUT = 7, 64
"""The batch for previews and scores is the same in every run."""
SOURCES = tuple(f"s{number:02d}" for number in range(60))
BLENDS, BLEND_SEED = 3200, 5
DISGUISED_FACES, SMALLEST_DISGUISED = 3000, 600
"""Frames that wear strangers' faces, made before the training: five each, within these bounds."""

GALLERY = Path(__file__).parent.parent / "identities" / "gallery"
CALM_PERFORMANCES = 10

Item = TypeVar("Item")
Described = tuple[keras.Model, npt.NDArray[np.float32]]
"""The descriptor, and each identity's reference."""


@dataclass(frozen=True)
class Setup:
    """What they have in common."""

    folder: Path
    """The run's."""
    plan: Plan
    backend: str
    backgrounds: Path | None
    """Pictures (.jpg) for behind the head; None: made-up ones."""
    shared: Path | None
    """The shared weights to begin with; None: from the beginning, which takes hours."""
    report: Callable[[Progress, float], None]
    """Gets the progress and the samples per second: soon for the first time, then about twice a minute."""
    say: Callable[[str], None]
    """Gets what is being prepared."""
    descriptor: Path | None = None
    """Weights of the face descriptor to train actors against (see `descriptor`); None: without."""

    def behind(self, size: int) -> list[BgrFrame]:
        """Backgrounds of at least `size` pixels a side."""
        if self.backgrounds is None:
            return made_up(max(256, size + 16), self.plan.seed)
        found = load_backgrounds(self.backgrounds, size)
        if not found:
            raise TrainingDataRefused(
                f"{self.backgrounds} holds no .jpg pictures for backgrounds: give another folder, or leave it out."
            )
        return found

    @property
    def seed(self) -> int:
        """Of the samples: another one for a run that goes on, so that it does not see the same ones again."""
        state = self.folder / "state.json"
        return self.plan.seed if not state.is_file() else self.plan.seed + state.stat().st_mtime_ns % 1_000_003

    def run(
        self, form: str, identities: Sequence[Identity], data: Mapping[str, int | str], exported: Sequence[int] = ()
    ) -> Run:
        """The run's description. Exported are, unless said otherwise, the actors' eight, else the last one.

        Raises:
            RunRefused: the folder holds a run of others, of which nothing has been changed yet.
        """
        if not exported:
            exported = range(len(identities)) if form == "actors" else (len(identities) - 1,)
        shared = self.shared is not None and form != "actors"
        preset, people, chosen = self.plan.preset, tuple(identities), tuple(exported)
        if (self.folder / RUN).is_file():
            before = Run.read(self.folder)
            told = (before.form, before.preset, before.identities, before.exported, before.data.get("side"))
            if told != (form, preset, people, chosen, data.get("side")):
                ids = ", ".join(before.identities[index].id for index in before.exported)
                raise RunRefused(
                    f"{self.folder} trains {ids} from {before.form} with the preset {before.preset}: name another."
                )
        return Run(form, preset, people, chosen, shared, self.plan.seed, self.backend, data)


def train_actors(setup: Setup, data: Path) -> tuple[Run, bool]:
    """Train the eight personas on the actors' paired performances: the recipe of the shipped weights.

    Inputs are the sources `s00` to `s51` (twice), blends of two of them, and the personas themselves, giving
    performances below 240; the truths are the personas giving the same ones. Sources from `s52` on are measured.
    Training goes on from the shipped weights where there are any.
    """
    if setup.plan.preset == ORIGINAL:
        raise RunRefused("The preset original learns unpaired: use `train footage`, or the presets live or large.")
    identities = tuple(Identity(name, name, "synthetic") for name in PERSONAS)
    setup.say(f"reading {data}")
    own = [list(with_lids(performances(data, [name]))) for name in PERSONAS]
    personas = [{p.index: p for p in with_lids(map(without_strands, persona))} for persona in own]
    sources = list(with_lids(performances(data, SOURCES)))
    if not all(personas) or not sources:
        raise TrainingDataRefused(
            f"{data} is not the actors' folder: expected folders p1 to p8 and s00 to s59 of cut-outs."
        )
    learnt = [p for p in sources if _number(p) < FIRST_MEASURED_SOURCE and p.index < FIRST_MEASURED_PERFORMANCE]
    measured = [p for p in sources if _number(p) >= FIRST_MEASURED_SOURCE]
    setup.say("blending sources")
    mixed = list(with_lids(blends(learnt, BLENDS, BLEND_SEED)))
    truth = [{i: p for i, p in persona.items() if i < FIRST_MEASURED_PERFORMANCE} for persona in personas]
    faces = {"sources": len(learnt), "blends": len(mixed), "personas": sum(map(len, truth))}
    run = setup.run("actors", identities, faces)
    behind = setup.behind(run.size)
    drawn = [*learnt, *learnt, *mixed, *(p for persona in own for p in persona if p.index < FIRST_MEASURED_PERFORMANCE)]
    pairs = Pairs(drawn, truth, behind, run.size, setup.seed)
    held_out = Pairs(measured or learnt, personas, behind, run.size, HELD_OUT_SEED).batch(HELD_OUT)
    described = None if setup.descriptor is None else _described(setup.descriptor, personas, run.size)
    return run, _train(run, setup, pairs.batch, held_out, described)


def train_photo(setup: Setup, picture: BgrFrame, name: str, identity: Identity) -> tuple[Run, bool]:
    """Train one identity on one photograph, uint8 [H, W, 3] BGR: the photo engine makes the truths.

    `name` is what to call the picture in an error.
    """
    if setup.plan.preset == ORIGINAL:
        raise RunRefused("The preset original learns from footage: use `train footage`, or the presets live or large.")
    photograph = read_photograph(picture, name)
    setup.say("making the face's performances")
    given, neutral = bundled()
    made = {p.index: p for p in with_lids(truths(photograph, given, neutral).values())}
    given = list(with_lids(given))
    kept = held_out(made)
    faces = {"photographs": 1, "performances": len(made), "actors": len({p.actor for p in given})}
    run = setup.run("photo", [identity], faces)
    behind = setup.behind(run.size)
    learnt = {index: truth for index, truth in made.items() if index not in kept}
    pairs = Pairs([p for p in given if p.index in learnt], [learnt], behind, run.size, setup.seed)
    measured = {index: made[index] for index in kept}
    held = Pairs([p for p in given if p.index in kept], [measured], behind, run.size, HELD_OUT_SEED).batch(HELD_OUT)
    write_pictures(setup.folder, photograph.picture, photograph.mesh)
    return run, _train(run, setup, pairs.batch, held)


def train_footage(setup: Setup, faces: Path, wearer: Path | None, identity: Identity) -> tuple[Run, bool]:
    """Train one identity on extracted faces.

    Args:
        faces: whom to learn.
        wearer: the other's extracted faces; `original` cannot do without, for the others they are one more stranger.
    """
    people = [FaceFolder(faces).performances()]
    if wearer is not None:
        people.insert(0, FaceFolder(wearer).performances())
    data = {"faces": len(people[-1]), "wearer_faces": len(people[0]) if wearer else 0}
    best = _most_frontal(people[-1])
    picture = over(best.picture, GREY)
    if setup.plan.preset == ORIGINAL:
        if wearer is None:
            raise TrainingDataRefused("The preset original swaps between two people: add the other's with --wearer.")
        run = setup.run("footage", [Identity("wearer", "the wearer", "synthetic"), identity], data)
        setup = replace(setup, plan=replace(setup.plan, final_share=1.0, clip_norm=None, beta_1=original.BETA_1))
        write_pictures(setup.folder, picture, best.mesh)
        learnt, held = zip(*(_split(p) for p in people), strict=True)
        unpaired = Unpaired(learnt, run.size, setup.seed)
        held_out = Unpaired(held, run.size, HELD_OUT_SEED).batch(HELD_OUT, done=1.0)
        return run, _train(run, setup, unpaired.batch, held_out)
    setup.say("putting strangers' faces on the footage")
    given, neutral = bundled()
    strangers = [p for p in given if p.index == neutral]
    if wearer is not None:
        strangers.append(_most_frontal(people[0]))
    count = int(np.clip(5 * len(people[-1]), SMALLEST_DISGUISED, DISGUISED_FACES))
    pairs = disguised(people[-1], Disguises(strangers), count, setup.plan.seed)
    learnt_pairs, held_pairs = _split(pairs)
    run = setup.run("footage", [identity], data)
    behind = setup.behind(run.size)
    draws = [
        Pairs([worn for worn, _ in part], [{truth.index: truth for _, truth in part}], behind, run.size, seed)
        for part, seed in ((learnt_pairs, setup.seed), (held_pairs, HELD_OUT_SEED))
    ]
    write_pictures(setup.folder, picture, best.mesh)
    return run, _train(run, setup, draws[0].batch, draws[1].batch(HELD_OUT))


def train_retouch(setup: Setup, persona: str, side: str) -> tuple[Run, bool]:
    """Retouch the brow and the forehead at one `side` of a shipped persona: see `training.retouch`.

    Inputs are the bundled performances of all eight. Nothing is trained but the persona's own maps.
    """
    if persona not in PERSONAS:
        raise RunRefused(f"Only a shipped face can be retouched: expected one of {', '.join(PERSONAS)}.")
    if setup.shared is None:
        raise RunRefused("A retouch begins with the shipped weights: leave out --from-scratch and --preset.")
    index = PERSONAS.index(persona)
    identities = tuple(Identity(name, name, "synthetic") for name in PERSONAS)
    given = list(with_lids(bundled()[0]))
    kept = held_out(p.index for p in given)
    data: dict[str, int | str] = {"side": side, "inputs": len(given)}
    run = setup.run("retouch", identities, data, [index])
    behind = setup.behind(run.size)
    teacher, _ = run.network(setup.shared)
    draws = []
    for wanted, seed in ((False, setup.seed), (True, HELD_OUT_SEED)):
        part = [p for p in given if (p.index in kept) is wanted]
        pairs = Pairs(part, [{p.index: p for p in part if p.actor == persona}], behind, run.size, seed)
        draws.append(Mirrored(teacher, index, side, pairs.batch, run.size).batch)
    return run, _train(run, setup, draws[0], draws[1](HELD_OUT))


def shared_weights(preset: str, from_scratch: bool) -> Path | None:
    """The shipped shared weights, where the preset has them and they are wanted."""
    return SHARED if preset == "live" and not from_scratch and SHARED.is_file() else None


def _described(weights: Path, personas: Sequence[dict[int, Performance]], size: int) -> Described:
    """The descriptor, and what each persona's should be: of its portrait and of its calmest performances."""
    network = descriptor(weights)
    portraits, calm = [], []
    for name, persona in zip(PERSONAS, personas, strict=True):
        path = GALLERY / name / FACE
        picture = cv2.imread(str(path))
        mesh = None if picture is None else Mesher().mesh(picture)
        if picture is None or mesh is None:
            raise TrainingDataRefused(f"{path} shows no face: make the gallery first.")
        portraits.append(align(picture, mesh, size).crop)
        # In the template's own proportions an expression or a turn is a distance from the mesh at rest.
        known = [p for p in persona.values() if p.index < FIRST_MEASURED_PERFORMANCE]
        rest = np.median([align(over(p.picture, GREY), p.mesh, size).mesh for p in known], axis=0)
        known.sort(key=lambda p: float(np.abs(align(over(p.picture, GREY), p.mesh, size).mesh - rest).mean()))
        calm.append([align(over(p.picture, GREY), p.mesh, size).crop for p in known[:CALM_PERFORMANCES]])
    return network, references(network, portraits, calm)


def _train(
    run: Run, setup: Setup, draw: Callable[..., Batch], held_out: Batch, described: Described | None = None
) -> bool:
    """Train, writing `run` first; whether the plan came to its end. `original` draws by how far it is."""
    folder, trainers = setup.folder, list[Trainer]()
    run.write(folder)
    model, loss = run.network(setup.shared)
    if run.preset == ORIGINAL:
        draw = partial(_scheduled, draw, trainers)
    trainers.append(Trainer(folder, len(run.identities), draw, held_out, setup.plan, described, model=model, loss=loss))
    trainers[0].run(setup.report)
    return trainers[0].done >= 1


def _scheduled(draw: Callable[[int, float], Batch], trainers: Sequence[Trainer], count: int) -> Batch:
    return draw(count, trainers[0].done)


def _number(performance: Performance) -> int:
    return int(performance.actor[1:])


def _split(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """What is learnt, and one in `HELD_OUT_SHARE` that is measured."""
    measured = list(items[HELD_OUT_SHARE - 1 :: HELD_OUT_SHARE])
    return [item for place, item in enumerate(items) if place % HELD_OUT_SHARE != HELD_OUT_SHARE - 1], measured


def _most_frontal(faces: Sequence[Performance]) -> Performance:
    return min(faces, key=lambda face: abs(yaw(face.mesh)))
