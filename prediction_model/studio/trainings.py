"""`trainings`: a model trained on an enrolled photograph, in the background, one at a time on this machine.

A training is a folder: `training.json` (what is told of it), `run` (the trainer's own) and `made` (the package it
writes); when it has ended only its last preview is left of them. Who watches over it holds a lock on the folder, which
goes with the process however it ends. While it runs the folder holds the face and what is made of it as they are; what
stays, the preview, is sealed. The work is done by `python -m prediction_model train photo`, a process of its own that a
thread of the service watches (`background`), and then by `comparison`, which measures whether what was trained is
better than the photograph: only then it is used. The folder is the only state, so that every worker of the service
tells the same.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import secrets
import shutil
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from prediction_model.engines.autoencoder import DECODER
from prediction_model.errors import (
    BadInstance,
    PredictionError,
    StoreUnreachable,
    TooManyTrainings,
    UnknownTraining,
)
from prediction_model.identities.package import CARD, FACE, IdentityPackage, sha256
from prediction_model.identities.sealing import is_sealed
from prediction_model.studio import background
from prediction_model.studio.enrolment import Enrolment
from prediction_model.training.backend import check_tensorflow
from prediction_model.types import JsonObject

LOG = logging.getLogger(__name__)

STATE, PREVIEW = "training.json", "preview.jpg"
PREVIEW_PLACES = ("run", ".")
"""Where it is while a training runs, and afterwards, sealed."""
TRAINING_ID = re.compile(r"[0-9a-f]{16}")
MOST_WAITING = 8
"""Trainings queued or running."""
PREVIEW_STEPS = 100
"""Between previews: a minute or two."""
POLL_SECONDS = 0.5
MAX_PREVIEW_BYTES = 4 << 20
_TOLD = re.compile(r"step +(\d+) .* (\d+):(\d\d):(\d\d) left")
"""As the `train` command reports it: the step, and hours, minutes and seconds."""


@dataclass(frozen=True)
class Training:
    """What is told of one training."""

    training: str
    identity: str
    state: str = "queued"
    """`queued`, `running`, `done` or `failed`."""
    progress: float = 0.0
    """0 to 1."""
    step: int = 0
    """Of the training, as it was last told."""
    seconds_left: int | None = None
    """None: not known, before the first step and after the last."""
    reason: str | None = None
    """Why it failed, or why what it made is not used: one sentence."""
    better: bool | None = None
    """Whether what it made is used, because it was measured to be better; None: not measured."""
    measured: JsonObject | None = None
    """The comparison's numbers."""
    engines: list[str] | None = None
    """The identity's, the one in use first, where the training changed them."""
    model: str | None = None
    """SHA-256 of the decoder that came into use."""


class Trainings:
    """Starts, watches and deletes trainings in `folder`; what comes out goes to `enrolment`. Thread-safe."""

    def __init__(self, folder: Path, enrolment: Enrolment, seconds: int) -> None:
        """`seconds` of training for each, beside what preparing, exporting and comparing take."""
        self._folder = folder.resolve()
        self._enrolment = enrolment
        self._seconds = seconds
        self._sweep()

    def check(self) -> None:
        """Raises ExtraMissing where what trains, and writes the package, is not installed, and StoreKeyMissing."""
        check_tensorflow("Training a model")
        self._enrolment.require_key()

    def start(self, package: IdentityPackage) -> Training:
        """Queue a training of an enrolled identity's photograph.

        Raises:
            BadInstance: it has no photograph, or is one of the shipped ones.
            ExtraMissing: what trains is not installed.
            StoreKeyMissing: what it makes could not be sealed.
            StoreUnreachable: the folder cannot be written.
            TooManyTrainings: more wait than are kept.
        """
        if package.kind == "synthetic" or FACE not in package.files:
            raise BadInstance(f"{package.id} has no enrolled photograph to train on: enrol one first.")
        self.check()
        others = [self._read(folder) for folder in self._folders()]
        waiting = [other for other in others if other and other.state in ("queued", "running")]
        for other in waiting:
            if other.identity == package.id:
                return other
        if len(waiting) >= MOST_WAITING:
            raise TooManyTrainings(f"{len(waiting)} trainings wait already: try again when one is done.")
        self.forget(package.id)
        training, face = Training(secrets.token_hex(8), package.id), package.files.read(FACE)
        folder = self._folder / training.training
        watch = None
        try:
            folder.mkdir(parents=True, mode=0o700)
            watch = os.open(folder, os.O_RDONLY)
            fcntl.flock(watch, fcntl.LOCK_EX)
            (folder / FACE).write_bytes(face)
            self._write(folder, training)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            if watch is not None:
                os.close(watch)
            raise StoreUnreachable(str(self._folder), error) from error
        todo = (folder, training, package, watch)
        threading.Thread(target=self._watch, args=todo, name="training", daemon=True).start()
        return training

    def get(self, training: str) -> JsonObject:
        """What is told of `training`, and whether it has a preview. Raises UnknownTraining."""
        folder = self._folder / training
        found = self._read(folder) if TRAINING_ID.fullmatch(training) else None
        if found is None:
            raise UnknownTraining(f"No training {training[:32]!r} is known here.")
        return {**asdict(found), "preview": any((folder / place / PREVIEW).is_file() for place in PREVIEW_PLACES)}

    def preview(self, training: str) -> bytes:
        """The last sheet of `training`, JPEG. Raises UnknownTraining where there is none."""
        folder = self._folder / training
        told = self._read(folder) if TRAINING_ID.fullmatch(training) else None
        if told is not None:
            for place in PREVIEW_PLACES:
                with suppress(OSError, PredictionError):
                    return self._preview_in(folder / place, told.identity)
        raise UnknownTraining(f"No preview of a training {training[:32]!r} is known here.")

    def cancel(self, training: str) -> None:
        """Stop `training` and delete what there is of it; nothing happens where there is none."""
        if TRAINING_ID.fullmatch(training):
            _delete(self._folder / training)

    def forget(self, identity: str) -> None:
        """Delete every training of `identity`; one that runs is stopped."""
        for folder in self._folders():
            found = self._read(folder)
            if found is not None and found.identity == identity:
                _delete(folder)

    def _sweep(self) -> None:
        """Leave nothing of trainings that ended with the service that watched them, but what is told of them."""
        for folder in self._folder.glob("*/"):
            if _watched(folder):
                continue
            found = self._read(folder)
            if found is None or not TRAINING_ID.fullmatch(folder.name):
                # Not begun to its end, or not deleted to its end.
                shutil.rmtree(folder, ignore_errors=True)
            else:
                self._tidy(folder, found.identity)
                self._write(folder, found)

    def _folders(self) -> list[Path]:
        return sorted(path.parent for path in self._folder.glob(f"*/{STATE}"))

    def _read(self, folder: Path) -> Training | None:
        watched = _watched(folder)  # before it is read: who watches over it writes how it ended, and then lets go
        try:
            found = Training(**json.loads((folder / STATE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        if found.state in ("queued", "running") and not watched:
            return replace(found, state="failed", reason="The service was stopped meanwhile: start the training again.")
        return found

    def _write(self, folder: Path, training: Training) -> None:
        partial = folder / f".{STATE}.partial"
        partial.write_text(json.dumps(asdict(training)), encoding="utf-8")
        os.replace(partial, folder / STATE)

    def _watch(self, folder: Path, training: Training, package: IdentityPackage, watch: int) -> None:
        """In a thread: wait for the turn, run the training, put what it made in place; then close `watch`, which holds
        the folder's lock."""
        try:
            with (self._folder / ".turn").open("w") as turn:
                while not _lock(turn):
                    if not (folder / STATE).is_file():
                        return
                    time.sleep(POLL_SECONDS)
                training = replace(training, state="running")
                self._write(folder, training)
                ended = self._work(folder, training, package)
                if not (folder / STATE).is_file():
                    return
                self._tidy(folder, package.id)
                self._write(folder, replace(ended, seconds_left=None))
        except Exception as error:
            # A deleted folder is how a training is called off; anything else is told.
            if (folder / STATE).is_file():
                LOG.exception("a training failed: %s", type(error).__name__)
                self._give_up(folder, replace(training, state="failed", reason="The training failed: start it again."))
        finally:
            try:
                self._tidy(folder, package.id)
            finally:
                os.close(watch)

    def _give_up(self, folder: Path, training: Training) -> None:
        self._tidy(folder, training.identity)  # before anything is written: a full disk may be why it failed
        try:
            self._write(folder, training)
        except OSError:
            _delete(folder)  # unknown it is told to have failed, and not to run for ever

    def _tidy(self, folder: Path, identity: str) -> None:
        """Keep nothing of an ended training but what is told of it; nothing at all of one that was called off."""
        if not (folder / STATE).is_file():
            shutil.rmtree(folder, ignore_errors=True)
            return
        previews = (folder / place / PREVIEW for place in PREVIEW_PLACES)
        preview = next((path.read_bytes() for path in previews if path.is_file()), b"")
        kept = {STATE, PREVIEW} if is_sealed(preview) else {STATE}
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name not in kept:
                path.unlink(missing_ok=True)
        if preview and PREVIEW not in kept:
            with suppress(OSError, PredictionError):  # a full disk, or no key: it is told without one
                (folder / PREVIEW).write_bytes(self._enrolment.require_key().seal(identity, PREVIEW, preview))

    def _preview_in(self, folder: Path, identity: str) -> bytes:
        """The preview there, opened where it is sealed. Raises OSError where there is none, PackageRefused."""
        with (folder / PREVIEW).open("rb") as file:
            stored = file.read(MAX_PREVIEW_BYTES)
        return self._enrolment.require_key().open(identity, PREVIEW, stored) if is_sealed(stored) else stored

    def _work(self, folder: Path, training: Training, package: IdentityPackage) -> Training:
        """Train, compare, and use what is better: how it ended."""
        log, made = folder / "log", folder / "made" / package.id
        reason = background.run(self._trainer(folder, package), folder, log, lambda: self._look(folder, log))
        training = self._read(folder) or training
        if reason is not None:
            return replace(training, state="failed", reason=reason)
        comparison = [sys.executable, "-m", "prediction_model.studio.comparison", str(made)]
        found = folder / "comparison"
        reason = background.run(comparison, folder, log, lambda: self._look(folder), output=found)
        if reason is not None:
            return replace(training, state="failed", reason=reason)
        measured: JsonObject = json.loads(found.read_text(encoding="utf-8"))
        training = replace(training, progress=1.0, measured=measured, better=bool(measured["better"]))
        if not training.better:
            return replace(training, state="done", reason=_not_better(measured))
        try:
            card = json.loads((made / CARD).read_text(encoding="utf-8"))
            card["metrics"] = {**card.get("metrics", {}), "comparison": measured}
            card["live_parts"] = measured["live_parts"]
            self._enrolment.improve(package.id, made, card)
        except PredictionError as error:
            return replace(training, state="failed", better=None, reason=str(error))
        return replace(training, state="done", engines=list(card["engines"]), model=sha256(made / DECODER))

    def _trainer(self, folder: Path, package: IdentityPackage) -> list[str]:
        consent = folder / "consent"
        consent.write_text(str(package.card["consent"]), encoding="utf-8")
        command = [sys.executable, "-m", "prediction_model", "train", "photo", str(folder / FACE), str(folder / "run")]
        command += ["--id", package.id, "--name", package.name, "--kind", package.kind, "--consent", str(consent)]
        command += ["--minutes", str(self._seconds / 60), "--preview-steps", str(PREVIEW_STEPS)]
        command += ["--store", str(folder / "made"), "--threads", str(max(1, (os.cpu_count() or 1) // 2))]
        return command

    def _look(self, folder: Path, log: Path | None = None) -> str | None:
        """Why its process is to be stopped; meanwhile what `log` says is told, as often as this is asked."""
        training = self._read(folder)
        if training is None:
            return "called off"
        if log is not None and (now := self._progress(log, training)) != training:
            self._write(folder, now)
        return None

    def _progress(self, log: Path, training: Training) -> Training:
        """`training` with what the trainer last told; the time left runs on between two lines."""
        found = _TOLD.findall(background.tail(log))
        if not found:
            return training
        step, hours, minutes, seconds = (int(part) for part in found[-1])
        left = hours * 3600 + minutes * 60 + seconds - max(0.0, time.time() - log.stat().st_mtime)
        progress = min(max(1 - left / self._seconds, training.progress), 0.99)
        return replace(training, step=step, seconds_left=max(0, round(left)), progress=round(progress, 3))


def _delete(folder: Path) -> None:
    """Its watcher stops the process when it sees that the state is gone."""
    # Renamed first: a watcher that is just writing the state cannot put it back.
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        folder.rename(aside)
    except FileNotFoundError:
        return
    shutil.rmtree(aside, ignore_errors=True)


def _not_better(measured: JsonObject) -> str:
    photo, trained = measured["photo"], measured["autoencoder"]
    return (
        "The model was not measured to be better than the photograph, which stays in use: "
        f"distance to the face {trained['identity_distance']:.2f} against {photo['identity_distance']:.2f}, "
        f"error of the expression {trained['expression_error']:.3f} against {photo['expression_error']:.3f}."
    )


def _lock(turn: Any) -> bool:
    """Whether this training is the one that runs; the lock goes with the file, whatever becomes of the process."""
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _watched(folder: Path) -> bool:
    """Whether a process watches over the training: a process id would say little, another may have it by now."""
    try:
        found = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(found, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(found)
    return False
