"""The training loop: steps, checkpoints, previews. Any Keras 3 backend.

A run is a folder: `weights.npz` (the weights and their running mean), `optimizer.npz`, `state.json`, `preview.jpg` and
TensorBoard's `events`. A run that finds them goes on from there.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import FrameType
from zipfile import BadZipFile

import cv2
import keras
import numpy as np
import numpy.typing as npt

from prediction_model.errors import RunRefused, TrainingOutOfMemory
from prediction_model.training.events import ScalarLog
from prediction_model.training.networks import autoencoder
from prediction_model.training.objective import Loss, compile_described, compile_swap
from prediction_model.training.pairs import Batch
from prediction_model.training.presets import PRESETS

LOSS_WINDOW = 200
"""Steps over which the reported loss is averaged."""
MEAN_EVERY = 10
"""Steps between two updates of the weights' running mean."""
FIRST_REPORT_SECONDS, REPORT_SECONDS = 5.0, 30.0
"""Until the first report, and from one to the next: who has just begun a training wants to see that it runs."""
PREVIEW_FACES = 24
OUT_OF_MEMORY = ("resource_exhausted", "resourceexhausted", "out of memory", "outofmemory", "can't allocate memory")
"""How backends say it, in the name or the text of their errors."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train."""

    preset: str = "live"
    batch_size: int = 16
    learning_rate: float = 1e-3
    """At the start; it falls along a cosine to `final_share` of it."""
    minutes: float = 120.0
    """Time of training, all in; the learning rate follows it."""
    steps: int = 1_000_000
    """At most so many steps."""
    save_minutes: float = 10.0
    preview_steps: int = 500
    mean_momentum: float = 0.98
    """Of the weights' running mean, per `MEAN_EVERY` steps. The mean is what is exported."""
    structure: float = 0.5
    final_share: float = 0.02
    """Of the learning rate, at the end; 1 keeps it as it is."""
    clip_norm: float | None = 1.0
    beta_1: float = 0.9
    warm_up_steps: int = 200
    """The learning rate rises over so many."""
    seed: int = 0


@dataclass
class Progress:
    """Where a run is."""

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    loss: float = float("nan")
    psnr_db: float = float("nan")
    """On the batch kept for measuring, inside the face."""
    plan_steps: int = 0
    plan_seconds: float = 0.0
    """Of the present plan. A run that was interrupted goes on with its plan; one that ended begins the next."""
    seconds_left: float = float("nan")


class Trainer:
    """Trains one network on batches drawn from anywhere.

    Args:
        folder: the run's folder; made when missing.
        identities: how many.
        draw: gives the next batch of n.
        held_out: a batch that is never trained on, for the preview and the score.
        plan: see `Plan`.
        described: the descriptor network and each identity's reference, float32 [identities, 128]; None trains without.
        model: what to train, `[crops, identities]` to RGB with or without a mask; None: a new one of the preset.
        loss: of truths and swaps; None: `losses.swap_loss`.

    Raises:
        RunRefused: the folder holds a run of another network.
    """

    def __init__(
        self,
        folder: Path,
        identities: int,
        draw: Callable[[int], Batch],
        held_out: Batch,
        plan: Plan,
        described: tuple[keras.Model, npt.NDArray[np.float32]] | None = None,
        *,
        model: keras.Model | None = None,
        loss: Loss | None = None,
    ) -> None:
        self.folder = folder
        self.plan = plan
        self.progress = Progress()
        self._draw = draw
        self._held_out = held_out
        self._stop = False
        self.losses: deque[float] = deque(maxlen=LOSS_WINDOW)
        """Of the last steps, the newest last."""
        self.model = autoencoder(PRESETS[plan.preset], identities) if model is None else model
        self._optimizer = keras.optimizers.Adam(plan.learning_rate, plan.beta_1, clipnorm=plan.clip_norm)
        self._described = described is not None
        if described is None:
            self._trained = compile_swap(self.model, self._optimizer, plan.structure, loss)
        else:
            self._trained = compile_described(self.model, self._optimizer, plan.structure, *described)
        self._optimizer.build(self.model.trainable_variables)
        self._mean = [np.array(w) for w in self.model.get_weights()]
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "state.json").is_file():
            self._resume()

    def run(self, report: Callable[[Progress, float], None]) -> Progress:
        """Train until the plan's time or steps are used up, or until interrupted; save; return where it stands.

        `report` gets the progress and the samples per second: soon for the first time, then about twice a minute.

        Raises:
            RunRefused: the loss is no longer a number.
            TrainingOutOfMemory: a batch does not fit.
        """
        log = ScalarLog(self.folder / "events")
        size, plan, progress = self.plan.batch_size, self.plan, self.progress
        if self.done >= 1:
            progress.plan_steps, progress.plan_seconds = 0, 0.0
        last = saved = told = time.monotonic()
        pause = FIRST_REPORT_SECONDS
        told_samples = progress.samples
        try:
            with self._interruptible(), ThreadPoolExecutor(1) as pool:
                following = pool.submit(self._draw, size)
                while not self._stop and (done := self.done) < 1:
                    rate = self._rate(done, progress.plan_steps)
                    self._optimizer.learning_rate = rate
                    batch, following = following.result(), pool.submit(self._draw, size)
                    self.losses.append(self._train(batch))
                    now = time.monotonic()
                    self._advance(now - last)
                    last = now
                    if progress.step % plan.preview_steps == 0:
                        self._preview()
                        log.add(progress.step, {"psnr_db": progress.psnr_db})
                    if now - saved > plan.save_minutes * 60:
                        self.save()
                        saved = now
                    if now - told > pause:
                        speed = (progress.samples - told_samples) / (now - told)
                        report(progress, speed)
                        log.add(progress.step, {"loss": progress.loss, "learning_rate": rate, "samples_per_s": speed})
                        told, told_samples, pause = now, progress.samples, REPORT_SECONDS
            self.save()
            log.add(progress.step, {"loss": progress.loss, "psnr_db": progress.psnr_db})
        finally:
            log.close()
        return progress

    def save(self) -> None:
        """Write weights, optimizer, state and a preview; each file is complete or not there."""
        self._preview()
        _write_arrays(self.folder / "weights.npz", [*self.model.get_weights(), *self._mean])
        _write_arrays(self.folder / "optimizer.npz", [keras.ops.convert_to_numpy(v) for v in self._optimizer.variables])
        state = {"plan": asdict(self.plan), "progress": asdict(self.progress), "losses": list(self.losses)}
        _replace(self.folder / "state.json", json.dumps(state, indent=1).encode())

    def _resume(self) -> None:
        state = json.loads((self.folder / "state.json").read_text())
        known = {field.name for field in fields(Progress)}
        self.progress = Progress(**{name: value for name, value in state["progress"].items() if name in known})
        self.losses.extend(state.get("losses", ()))
        weights, self._mean = read_weights(self.folder / "weights.npz")
        if [w.shape for w in weights] != [w.shape for w in self.model.get_weights()]:
            raise RunRefused(
                f"{self.folder} holds a run of another network ({state['plan']['preset']}, received "
                f"{self.plan.preset}, or other identities): go on with the same ones, or give a new folder."
            )
        self.model.set_weights(weights)
        if (self.folder / "optimizer.npz").is_file():
            variables = _read_arrays(self.folder / "optimizer.npz")
            for variable, value in zip(self._optimizer.variables, variables, strict=True):
                variable.assign(value)

    def _train(self, batch: Batch) -> float:
        """One step; its loss."""
        try:
            if not self._described:
                loss = self._trained.train_on_batch([batch.crops, batch.identities], batch.truths)
            else:
                nothing = np.zeros((len(batch.crops), 1), np.float32)
                inputs = [batch.crops, batch.identities, batch.truths]
                loss = self._trained.train_on_batch(inputs, [batch.truths, nothing, nothing])[0]
        except Exception as error:
            if _is_out_of_memory(error):
                raise TrainingOutOfMemory(len(batch.crops)) from error
            raise
        if not np.isfinite(loss):
            raise RunRefused(
                f"The loss is no longer a number after {self.progress.step} steps: go on from the last save with half "
                "the --learning-rate."
            )
        return float(loss)

    def _advance(self, seconds: float) -> None:
        progress = self.progress
        progress.step += 1
        progress.plan_steps += 1
        progress.samples += self.plan.batch_size
        progress.seconds += seconds
        progress.plan_seconds += seconds
        progress.loss = float(np.mean(self.losses))
        by_steps = (self.plan.steps - progress.plan_steps) * progress.plan_seconds / progress.plan_steps
        progress.seconds_left = max(0.0, min(self.plan.minutes * 60 - progress.plan_seconds, by_steps))
        if progress.step % MEAN_EVERY == 0:
            self._update_mean()

    @property
    def done(self) -> float:
        """The share of the plan that is behind."""
        by_time = self.progress.plan_seconds / 60 / max(self.plan.minutes, 1e-9)
        return max(by_time, self.progress.plan_steps / max(self.plan.steps, 1))

    def _rate(self, done: float, step: int) -> float:
        warm = min(1.0, (step + 1) / max(self.plan.warm_up_steps, 1))
        end = self.plan.final_share
        return self.plan.learning_rate * warm * (end + (1 - end) * 0.5 * (1 + float(np.cos(np.pi * min(done, 1.0)))))

    def _update_mean(self) -> None:
        # Young runs move fast: their mean follows faster.
        momentum = min(self.plan.mean_momentum, self.progress.step / (self.progress.step + 10 * MEAN_EVERY))
        for mean, weight in zip(self._mean, self.model.get_weights(), strict=True):
            mean *= momentum
            mean += (1 - momentum) * weight

    def _preview(self) -> None:
        """`preview.jpg`: rows of input, truth, swap and swap pasted by its mask, and the score; all of the mean."""
        weights = self.model.get_weights()
        self.model.set_weights(self._mean)
        batch = self._held_out
        swapped = swap_in_parts(self.model, batch.crops, batch.identities)
        self.model.set_weights(weights)
        made, truth = swapped[..., :3], batch.truths[..., :3]
        self.progress.psnr_db = masked_psnr(truth, made, batch.truths[..., 3:4])
        mask = swapped[..., 3:] if swapped.shape[-1] > 3 else batch.truths[..., 3:4]
        pasted = made * mask + batch.crops * (1 - mask)
        rows = []
        for start in range(0, min(len(batch.crops), PREVIEW_FACES), 8):
            part = slice(start, start + 8)
            cells = [list(x[part]) for x in (batch.crops, truth, made, pasted)]
            rows += [np.hstack(row + [np.zeros_like(row[0])] * (8 - len(row))) for row in cells]
        sheet = (np.clip(np.vstack(rows), 0, 1)[..., ::-1] * 255).astype(np.uint8)
        cv2.imwrite(str(self.folder / "preview.jpg"), sheet, [cv2.IMWRITE_JPEG_QUALITY, 90])

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the run after its present step; a second Ctrl-C ends it at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def stop(number: int, frame: FrameType | None) -> None:
            self._stop = True
            signal.signal(number, before[signal.Signals(number)])

        for number in before:
            signal.signal(number, stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def swap_in_parts(
    model: keras.Model, crops: npt.NDArray[np.float32], identities: npt.NDArray[np.int32], size: int = 16
) -> npt.NDArray[np.float32]:
    """What `model` makes of `crops` [n, S, S, 3] for `identities` [n], `size` at a time: float32 [n, S, S, 3 or 4]."""
    starts = range(0, len(crops), size)
    parts = [model([crops[i : i + size], identities[i : i + size]], training=False) for i in starts]
    return np.concatenate([np.asarray(keras.ops.convert_to_numpy(part), np.float32) for part in parts])


def masked_psnr(truth: npt.NDArray[np.float32], made: npt.NDArray[np.float32], mask: npt.NDArray[np.float32]) -> float:
    """PSNR in dB inside the mask, averaged over pictures: `[n, S, S, 3]` twice in [0, 1], `[n, S, S, 1]`."""
    error = ((truth - made) ** 2 * mask).sum(axis=(1, 2, 3)) / (3 * mask.sum(axis=(1, 2, 3)) + 1e-6)
    return float(np.mean(-10 * np.log10(np.maximum(error, 1e-10))))


def read_weights(path: Path) -> tuple[list[npt.NDArray[np.float32]], list[npt.NDArray[np.float32]]]:
    """A run's weights and their running mean, in the network's order, from `weights.npz`.

    Raises:
        RunRefused: the file is missing or damaged.
    """
    try:
        arrays = _read_arrays(path)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise RunRefused(
            f"{path} holds no weights ({error}): give the folder of a training run that was saved."
        ) from error
    return arrays[: len(arrays) // 2], arrays[len(arrays) // 2 :]


def _is_out_of_memory(error: Exception) -> bool:
    words = f"{type(error).__name__} {error}".lower()
    return isinstance(error, MemoryError) or any(phrase in words for phrase in OUT_OF_MEMORY)


def _write_arrays(path: Path, arrays: list[npt.NDArray[np.float32]]) -> None:
    temporary = path.with_suffix(".partial.npz")
    np.savez(temporary, *arrays)
    os.replace(temporary, path)


def _read_arrays(path: Path) -> list[npt.NDArray[np.float32]]:
    with np.load(path, allow_pickle=False) as archive:
        return [archive[f"arr_{i}"] for i in range(len(archive.files))]


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".partial")
    temporary.write_bytes(data)
    os.replace(temporary, path)
