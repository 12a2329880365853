"""`trainings`: a model trained on an enrolled photograph, in the background, one at a time on this machine.

A training is a folder: `training.json` (what is told of it), `run` (the trainer's own) and `made` (the package it
writes); when it has ended only its last preview is left of them. The work is done by `python -m prediction_model train
photo`, a process of its own that a thread of the service watches. The folder is the only state, so that every worker of
the service tells the same.
"""

from __future__ import annotations

import atexit
import base64
import fcntl
import json
import logging
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from prediction_model.errors import (
    BadInstance,
    ExtraMissing,
    PredictionError,
    TooManyTrainings,
    UnknownTraining,
)
from prediction_model.identities.package import CARD, FACE, IdentityPackage
from prediction_model.settings import ROOT
from prediction_model.studio.enrolment import Enrolment
from prediction_model.types import JsonObject

LOG = logging.getLogger(__name__)

STATE, PREVIEW = "training.json", "preview.jpg"
TRAINING_ID = re.compile(r"[0-9a-f]{16}")
BACKENDS = ("tensorflow", "jax", "torch")
MOST_WAITING = 8
"""Trainings queued or running."""
MINUTES = 12.0
"""Of training on one photograph, beginning with the shipped weights."""
LONGEST_HOURS = 3.0
"""A process that has not ended by then is stopped."""
POLL_SECONDS = 0.5
STOP_SECONDS = 10.0
NICENESS = 15
"""Live frames come first."""
MAX_PREVIEW_BYTES = 4 << 20
LEAST_PSNR_DB = 20.0
"""Held out: below it a run has not learnt the face, and `photo` stays."""
REASON_CHARACTERS = 300
_LEFT = re.compile(r"(\d+):(\d\d):(\d\d) left")
"""As the `train` command reports it."""


@dataclass(frozen=True)
class Training:
    """What is told of one training."""

    training: str
    identity: str
    state: str = "queued"
    """`queued`, `running`, `done` or `failed`."""
    progress: float = 0.0
    """0 to 1."""
    reason: str | None = None
    """Why it failed, one sentence."""
    worker: int = 0
    """The process that watches over it."""


class Trainings:
    """Starts, watches and deletes trainings in `folder`; what comes out goes to `enrolment`. Thread-safe."""

    def __init__(self, folder: Path, enrolment: Enrolment, minutes: float = MINUTES) -> None:
        self._folder = folder.resolve()
        self._enrolment = enrolment
        self._minutes = minutes

    def start(self, package: IdentityPackage) -> Training:
        """Queue a training of an enrolled identity's photograph.

        Raises:
            BadInstance: it has no photograph, or is one of the shipped ones.
            ExtraMissing: what trains is not installed.
            TooManyTrainings: more wait than are kept.
        """
        if package.kind == "synthetic" or not (package.folder / FACE).is_file():
            raise BadInstance(f"{package.id} has no enrolled photograph to train on: enrol one first.")
        if find_spec("keras") is None or not any(find_spec(name) for name in BACKENDS):
            raise ExtraMissing("Training a model", "keras", "train")
        others = [self._read(folder) for folder in self._folders()]
        waiting = [other for other in others if other and other.state in ("queued", "running")]
        for other in waiting:
            if other.identity == package.id:
                return other
        if len(waiting) >= MOST_WAITING:
            raise TooManyTrainings(f"{len(waiting)} trainings wait already: try again when one is done.")
        self.forget(package.id)
        training = Training(secrets.token_hex(8), package.id, worker=os.getpid())
        folder = self._folder / training.training
        folder.mkdir(parents=True, mode=0o700)
        shutil.copyfile(package.folder / FACE, folder / FACE)
        self._write(folder, training)
        watcher = threading.Thread(target=self._watch, args=(folder, training, package), name="training", daemon=True)
        watcher.start()
        return training

    def get(self, training: str) -> JsonObject:
        """What is told of `training`, with its preview. Raises UnknownTraining."""
        folder = self._folder / training
        found = self._read(folder) if TRAINING_ID.fullmatch(training) else None
        if found is None:
            raise UnknownTraining(f"No training {training[:32]!r} is known here.")
        told = asdict(found)
        del told["worker"]
        return {**told, "preview": _preview(folder / "run" / PREVIEW) or _preview(folder / PREVIEW)}

    def forget(self, identity: str) -> None:
        """Delete every training of `identity`; one that runs is stopped."""
        for folder in self._folders():
            found = self._read(folder)
            if found is not None and found.identity == identity:
                # Its watcher stops the process when it sees that the state is gone.
                (folder / STATE).unlink(missing_ok=True)
                shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return sorted(path.parent for path in self._folder.glob(f"*/{STATE}"))

    def _read(self, folder: Path) -> Training | None:
        try:
            found = Training(**json.loads((folder / STATE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        if found.state in ("queued", "running") and not _alive(found.worker):
            return replace(found, state="failed", reason="The service was stopped meanwhile: start the training again.")
        return found

    def _write(self, folder: Path, training: Training) -> None:
        partial = folder / f".{STATE}.partial"
        partial.write_text(json.dumps(asdict(training)), encoding="utf-8")
        os.replace(partial, folder / STATE)

    def _watch(self, folder: Path, training: Training, package: IdentityPackage) -> None:
        """In a thread: wait for the turn, run the training, put what it made in place."""
        try:
            with (self._folder / ".turn").open("w") as turn:
                while not _lock(turn):
                    if not (folder / STATE).is_file():
                        return
                    time.sleep(POLL_SECONDS)
                training = replace(training, state="running")
                self._write(folder, training)
                reason = self._train(folder, training, package)
                if not (folder / STATE).is_file():
                    return
                if reason is None:
                    reason = self._use(folder / "made" / package.id, package.id)
                progress = 1.0 if reason is None else (self._read(folder) or training).progress
                state = "done" if reason is None else "failed"
                _tidy(folder)
                self._write(folder, replace(training, state=state, progress=progress, reason=reason))
        except Exception as error:
            # A deleted folder is how a training is called off; anything else is told.
            if (folder / STATE).is_file():
                LOG.exception("a training failed: %s", type(error).__name__)
                self._write(folder, replace(training, state="failed", reason="The training failed: start it again."))
        finally:
            _tidy(folder)

    def _train(self, folder: Path, training: Training, package: IdentityPackage) -> str | None:
        """Run the trainer to its end. None when it went well, else why not."""
        command = [sys.executable, "-m", "prediction_model", "train", "photo", str(folder / FACE), str(folder / "run")]
        command += ["--id", package.id, "--name", package.name, "--kind", package.kind, "--minutes", str(self._minutes)]
        command += ["--store", str(folder / "made"), "--threads", str(max(1, (os.cpu_count() or 1) // 2))]
        consent = folder / "consent"
        consent.write_text(str(package.card["consent"]), encoding="utf-8")
        command += ["--consent", str(consent)]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        atexit.register(process.terminate)
        deadline = time.monotonic() + LONGEST_HOURS * 3600
        try:
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
            while process.poll() is None:
                if not (folder / STATE).is_file():
                    return "called off"
                if time.monotonic() > deadline:
                    return f"The training took more than {LONGEST_HOURS:g} hours: try again when the service is idle."
                progress = _progress(folder / "log", self._minutes)
                if progress > training.progress:
                    training = replace(training, progress=progress)
                    self._write(folder, training)
                time.sleep(POLL_SECONDS)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            atexit.unregister(process.terminate)
        return None if process.returncode == 0 else _last_line(folder / "log")

    def _use(self, made: Path, identity: str) -> str | None:
        """Put the trained files into the identity's package, if they are any good. None, or why not."""
        try:
            card: dict[str, Any] = json.loads((made / CARD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return "The training wrote no package: start it again."
        psnr = card.get("metrics", {}).get("held_out_psnr_db")
        if isinstance(psnr, int | float) and psnr < LEAST_PSNR_DB:
            return f"The model came to {psnr:.1f} dB, expected {LEAST_PSNR_DB:g} or more: the photograph stays in use."
        try:
            self._enrolment.improve(identity, made, card)
        except PredictionError as error:
            return str(error)
        return None


def _lock(turn: Any) -> bool:
    """Whether this training is the one that runs; the lock goes with the file, whatever becomes of the process."""
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _tidy(folder: Path) -> None:
    """Keep nothing of an ended training but what is told of it; nothing at all of one that was called off."""
    if not (folder / STATE).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        return
    if (folder / "run" / PREVIEW).is_file():
        os.replace(folder / "run" / PREVIEW, folder / PREVIEW)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in (STATE, PREVIEW):
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def _progress(log: Path, minutes: float) -> float:
    """0 to 0.99, from the time left that the trainer last told."""
    told = _LEFT.findall(_tail(log))
    if not told:
        return 0.0
    hours, left_minutes, seconds = (int(part) for part in told[-1])
    left = hours * 3600 + left_minutes * 60 + seconds
    return min(max(1 - left / (minutes * 60), 0.0), 0.99)


def _last_line(log: Path) -> str:
    lines = [line for line in _tail(log).splitlines() if line.strip()]
    return lines[-1].strip()[:REASON_CHARACTERS] if lines else "The training ended without a word: start it again."


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
        return file.read().decode(errors="replace")


def _preview(path: Path) -> JsonObject | None:
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_PREVIEW_BYTES else b""
    except OSError:
        return None
    return {"b64": base64.b64encode(data).decode()} if data else None
