"""`train`: on actors' paired performances, on one photograph, on footage; or retouch a shipped face."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prediction_model.commands import number, whole
from prediction_model.errors import TrainingDataRefused
from prediction_model.identities.package import IDENTITY_ID, KINDS
from prediction_model.training.backend import PRECISIONS, check_tensorflow, prepare
from prediction_model.training.identity import Identity
from prediction_model.training.presets import NAMES, ORIGINAL

if TYPE_CHECKING:
    from prediction_model.training.recipes import Setup
    from prediction_model.training.runs import Run
    from prediction_model.training.trainer import Progress

HELP = "train identities: the shipped ones, one photograph's, or footage's; retouch a shipped one"
SIDES = ("right", "left")
BATCH_SIZE = 16
MINUTES = {"actors": 240.0, "photo": 12.0, "footage": 60.0, "retouch": 20.0}
LEARNING_RATE = {"actors": 1e-3, "photo": 5e-4, "footage": 5e-4, "retouch": 2e-3}
"""With the shared weights; from the beginning it is the first."""
STORE = Path("var/identities")
MOST_MINUTES, MOST_STEPS, MOST_BATCH, MOST_THREADS = 100_000, 1_000_000, 4_096, 1_024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options: four forms, each with its data."""
    forms = parser.add_subparsers(dest="form", required=True, metavar="FORM")
    actors = forms.add_parser("actors", help="the eight personas, on the actors' paired performances")
    actors.add_argument("data", type=Path, metavar="ACTORS", help="folder with p1 to p8 and s00 to s59")
    actors.add_argument("--descriptor", type=Path, metavar="FOLDER", help="train against a face descriptor as well")
    photo = forms.add_parser("photo", help="one person, on one photograph: minutes")
    photo.add_argument("data", type=Path, metavar="PICTURE", help="one frontal, well-lit face")
    footage = forms.add_parser("footage", help="one person, on extracted footage: an hour or more")
    footage.add_argument("data", type=Path, metavar="FACES", help="folder that `extract` wrote, of whom to learn")
    footage.add_argument("--wearer", type=Path, metavar="FACES", help="the other's faces (needed by `original`)")
    retouch = forms.add_parser("retouch", help="one shipped face, a brow and the forehead of which has an accident")
    retouch.add_argument("persona", metavar="ID", help="p1 to p8")
    retouch.add_argument("--side", choices=SIDES, required=True, help="the face's own, where the accident is")
    for name, form in (("actors", actors), ("photo", photo), ("footage", footage), ("retouch", retouch)):
        form.add_argument("run", type=Path, metavar="RUN", help="folder of the run; one begun before is continued")
        _add_plan(form, MINUTES[name])
        if name in ("photo", "footage"):
            _add_identity(form)


def _add_plan(form: argparse.ArgumentParser, minutes: float) -> None:
    form.add_argument("--preset", choices=NAMES, default="live", help="default: %(default)s")
    form.add_argument(
        "--minutes", type=number(0, MOST_MINUTES), default=minutes, help="of training (default: %(default)s)"
    )
    form.add_argument("--steps", type=whole(1, MOST_STEPS), default=MOST_STEPS, help="at most so many steps")
    form.add_argument("--batch-size", type=whole(1, MOST_BATCH), help="default: 16; 64 for original")
    form.add_argument("--learning-rate", type=number(1e-9, 1), help="default: by form and preset")
    form.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="default: %(default)s")
    form.add_argument("--backgrounds", type=Path, metavar="FOLDER", help="pictures (.jpg) for behind the head")
    form.add_argument("--from-scratch", action="store_true", help="do not begin with the shipped weights: hours")
    form.add_argument("--precision", choices=PRECISIONS, default="auto", help="default: auto")
    form.add_argument("--threads", type=whole(1, MOST_THREADS), help="at most so many processor threads")
    form.add_argument(
        "--save-minutes", type=number(0, MOST_MINUTES), default=10.0, help="between saves (default: %(default)s)"
    )
    form.add_argument(
        "--preview-steps", type=whole(1, MOST_STEPS), default=500, help="between previews (default: %(default)s)"
    )


def _add_identity(form: argparse.ArgumentParser) -> None:
    form.add_argument("--id", required=True, help="of the package: lower-case letters, digits and hyphens")
    form.add_argument("--name", help="to show (default: the id)")
    form.add_argument("--kind", choices=KINDS, required=True, help="whose face: nobody's, your own, by a release")
    form.add_argument("--consent", type=Path, metavar="FILE", help="from `identities consent`; for self and release")
    form.add_argument("--store", type=Path, default=STORE, help="where the package goes (default: %(default)s)")
    form.add_argument("--no-package", action="store_true", help="train only; `export` makes the package later")


def run(arguments: argparse.Namespace) -> int:
    """Train and, for a new identity, write the package."""
    # What is wrong with the call is said before anything slow is imported.
    identity = identity_of(arguments) if arguments.form in ("photo", "footage") else None
    if arguments.form != "retouch" and not arguments.data.exists():
        raise TrainingDataRefused(f"There is no {arguments.data}: name what to train on.")
    if identity is not None and not arguments.no_package:
        check_tensorflow("The package that `train` ends with (--no-package: without one)")
    backend = prepare(arguments.precision, arguments.seed, arguments.threads)
    from prediction_model.training import original
    from prediction_model.training.recipes import Setup, shared_weights
    from prediction_model.training.trainer import Plan

    shared = shared_weights(arguments.preset, arguments.from_scratch)
    batch_size = BATCH_SIZE
    rate = LEARNING_RATE[arguments.form] if shared else LEARNING_RATE["actors"]
    if arguments.preset == ORIGINAL:
        batch_size, rate = original.BATCH_SIZE, original.LEARNING_RATE
    plan = Plan(
        preset=arguments.preset,
        batch_size=arguments.batch_size or batch_size,
        learning_rate=arguments.learning_rate or rate,
        minutes=arguments.minutes,
        steps=arguments.steps,
        save_minutes=arguments.save_minutes,
        preview_steps=arguments.preview_steps,
        seed=arguments.seed,
    )
    line = ProgressLine()
    setup = Setup(arguments.run, plan, backend, arguments.backgrounds, shared, line.show, line.say)
    if arguments.form == "actors":
        setup = replace(setup, descriptor=arguments.descriptor)
    if shared is None and arguments.form != "actors":
        line.say("no shared weights: this trains from the beginning, which takes hours")
    trained, ended = _train(arguments, setup, identity)
    line.say(f"saved in {arguments.run}; its preview.jpg shows input, truth, swap and swap pasted")
    if not ended:
        line.say("the same command goes on from here")
    elif identity is not None and not arguments.no_package:
        _package(arguments, trained, line)
    return 0


def _train(arguments: argparse.Namespace, setup: Setup, identity: Identity | None) -> tuple[Run, bool]:
    """The run, and whether its plan came to its end."""
    from prediction_model.training import recipes

    if arguments.form == "retouch":
        return recipes.train_retouch(setup, arguments.persona, arguments.side)
    if identity is None:
        return recipes.train_actors(setup, arguments.data)
    if arguments.form == "footage":
        return recipes.train_footage(setup, arguments.data, arguments.wearer, identity)
    from prediction_model.training.footage import frames

    picture = next(frames(arguments.data, 1.0)).picture
    return recipes.train_photo(setup, picture, arguments.data.name, identity)


def identity_of(arguments: argparse.Namespace) -> Identity:
    """Whose face is learnt, as the call says it.

    Raises:
        TrainingDataRefused: the id is none, or a real person's consent is missing.
    """
    if not IDENTITY_ID.fullmatch(arguments.id):
        raise TrainingDataRefused(
            f"--id: expected lower-case letters, digits and hyphens, at most 64; received {arguments.id[:64]!r}."
        )
    identity = Identity(arguments.id, arguments.name or arguments.id, arguments.kind)
    if arguments.kind == "synthetic":
        if arguments.consent is not None:
            raise TrainingDataRefused("--consent: nobody can consent for a synthetic face; leave it out.")
        return identity
    if arguments.consent is None:
        raise TrainingDataRefused(
            f"A face of kind {arguments.kind} needs a consent: run `python -m prediction_model identities consent` and "
            "give its file with --consent."
        )
    try:
        consent = arguments.consent.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise TrainingDataRefused(f"--consent: {arguments.consent} cannot be read ({error}).") from error
    return replace(identity, consent=consent)


def _package(arguments: argparse.Namespace, trained: Run, line: ProgressLine) -> None:
    import keras

    from prediction_model.training.packaging import export_run

    keras.config.set_dtype_policy("float32")
    (made,) = export_run(arguments.run, arguments.store, line.say, trained)
    line.say(f"{made.folder}: {made.bytes / 1e6:.1f} MB, {made.difference * 255:.2f} of 255 from what was trained")


class ProgressLine:
    """One line on standard error that is written over; where that is no terminal, a line each time."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._drawn = False

    def show(self, progress: Progress, samples_per_second: float) -> None:
        """Step, loss, speed and the time left."""
        left = time.strftime("%H:%M:%S", time.gmtime(max(0, progress.seconds_left)))
        score = f"{progress.psnr_db:5.2f} dB" if progress.psnr_db == progress.psnr_db else "   -   "
        speed = f"{samples_per_second:.1f} samples/s"
        line = f"step {progress.step:>7}  loss {progress.loss:.4f}  {score}  {speed}  {left} left"
        print(f"\r{line:<79}" if self._live else line, end="" if self._live else "\n", file=sys.stderr, flush=True)
        self._drawn = self._live

    def say(self, text: str) -> None:
        """A line of its own."""
        print(("\n" if self._drawn else "") + text, file=sys.stderr, flush=True)
        self._drawn = False
