"""The training loop: steps, checkpoints, previews. Any Keras 3 backend.

A run is a folder: `weights.npz` (the weights and their running mean), `optimizer.npz`, `state.json` and previews. A run that finds
them goes on from there.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

import cv2
import keras
import numpy as np
import numpy.typing as npt

from prediction_model.training.networks import PRESETS, autoencoder
from prediction_model.training.objective import compile_described, compile_swap
from prediction_model.training.pairs import Batch

LOSS_WINDOW = 200
"""Steps over which the reported loss is averaged."""
MEAN_EVERY = 10
"""Steps between two updates of the weights' running mean."""
WARM_UP_STEPS = 200


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train."""

    preset: str = "live"
    batch_size: int = 16
    learning_rate: float = 1e-3
    """At the start; it falls along a cosine to a fiftieth of it."""
    minutes: float = 120.0
    """Time of this run, all in; the learning rate follows it."""
    steps: int = 1_000_000
    """At most so many steps in this run."""
    save_minutes: float = 10.0
    mean_momentum: float = 0.98
    """Of the weights' running mean, per `MEAN_EVERY` steps. The mean is what is exported."""
    structure: float = 0.5
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


class Trainer:
    """Trains one autoencoder on batches drawn from anywhere.

    Args:
        folder: the run's folder; made when missing.
        identities: how many.
        draw: gives the next batch of n.
        held_out: a batch that is never trained on, for the preview and the score.
        plan: see `Plan`.
        described: the descriptor network and each identity's reference, float32 [identities, 128]; None trains without.
    """

    def __init__(
        self,
        folder: Path,
        identities: int,
        draw: Callable[[int], Batch],
        held_out: Batch,
        plan: Plan,
        described: tuple[keras.Model, npt.NDArray[np.float32]] | None = None,
    ) -> None:
        self.folder = folder
        self.plan = plan
        self.progress = Progress()
        self._draw = draw
        self._held_out = held_out
        self._stop = False
        self.model = autoencoder(PRESETS[plan.preset], identities)
        self._optimizer = keras.optimizers.Adam(plan.learning_rate, clipnorm=1.0)
        self._described = described is not None
        if described is None:
            self._trained = compile_swap(self.model, self._optimizer, plan.structure)
        else:
            self._trained = compile_described(self.model, self._optimizer, plan.structure, *described)
        self._optimizer.build(self.model.trainable_variables)
        self._mean = [np.array(w) for w in self.model.get_weights()]
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "state.json").is_file():
            self._resume()

    def run(self, report: Callable[[Progress, float], None]) -> Progress:
        """Train until the plan's time or steps are used up, or until interrupted; save; return where it stands.

        `report` gets the progress and the samples per second about twice a minute.
        """
        previous = signal.signal(signal.SIGINT, self._interrupt)
        losses: deque[float] = deque(maxlen=LOSS_WINDOW)
        start = saved = told = time.monotonic()
        before, first_step, told_samples = self.progress.seconds, self.progress.step, self.progress.samples
        size = self.plan.batch_size
        try:
            with ThreadPoolExecutor(1) as pool:
                following = pool.submit(self._draw, size)
                while not self._stop:
                    now = time.monotonic()
                    done = max(
                        (now - start) / 60 / self.plan.minutes, (self.progress.step - first_step) / self.plan.steps
                    )
                    if done >= 1:
                        break
                    self._optimizer.learning_rate = self._rate(done, self.progress.step - first_step)
                    batch, following = following.result(), pool.submit(self._draw, size)
                    losses.append(self._train(batch))
                    self.progress.step += 1
                    self.progress.samples += size
                    self.progress.seconds = before + now - start
                    self.progress.loss = float(np.mean(losses))
                    if self.progress.step % MEAN_EVERY == 0:
                        self._update_mean()
                    if now - saved > self.plan.save_minutes * 60:
                        self.save()
                        saved = now
                    if now - told > 30:
                        report(self.progress, (self.progress.samples - told_samples) / (now - told))
                        told, told_samples = now, self.progress.samples
        finally:
            signal.signal(signal.SIGINT, previous)
        self.save()
        return self.progress

    def save(self) -> None:
        """Write weights, optimizer, state and a preview; each file is complete or not there."""
        weights = self.model.get_weights()
        self.model.set_weights(self._mean)
        self._preview()
        self.model.set_weights(weights)
        _write_arrays(self.folder / "weights.npz", [*weights, *self._mean])
        _write_arrays(self.folder / "optimizer.npz", [np.array(v) for v in self._optimizer.variables])
        state = {"plan": asdict(self.plan), "progress": asdict(self.progress)}
        _replace(self.folder / "state.json", json.dumps(state, indent=1).encode())

    def _resume(self) -> None:
        state = json.loads((self.folder / "state.json").read_text())
        self.progress = Progress(**state["progress"])
        arrays = _read_arrays(self.folder / "weights.npz")
        count = len(self._mean)
        self.model.set_weights(arrays[:count])
        self._mean = arrays[count:]
        if (self.folder / "optimizer.npz").is_file():
            for variable, value in zip(
                self._optimizer.variables, _read_arrays(self.folder / "optimizer.npz"), strict=True
            ):
                variable.assign(value)

    def _train(self, batch: Batch) -> float:
        """One step; its loss."""
        if not self._described:
            return float(self._trained.train_on_batch([batch.crops, batch.identities], batch.truths))
        nothing = np.zeros((len(batch.crops), 1), np.float32)
        inputs = [batch.crops, batch.identities, batch.truths]
        return float(self._trained.train_on_batch(inputs, [batch.truths, nothing, nothing])[0])

    def _rate(self, done: float, step: int) -> float:
        warm = min(1.0, (step + 1) / WARM_UP_STEPS)
        return self.plan.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * min(done, 1.0)))))

    def _update_mean(self) -> None:
        # Young runs move fast: their mean follows faster.
        momentum = min(self.plan.mean_momentum, self.progress.step / (self.progress.step + 10 * MEAN_EVERY))
        for mean, weight in zip(self._mean, self.model.get_weights(), strict=True):
            mean *= momentum
            mean += (1 - momentum) * weight

    def _preview(self) -> None:
        """`preview.jpg`: rows of input, truth, swap, swap pasted by its mask; and the score."""
        batch = self._held_out
        swapped = np.concatenate(
            [
                np.asarray(
                    keras.ops.convert_to_numpy(
                        self.model([batch.crops[i : i + 16], batch.identities[i : i + 16]], training=False)
                    )
                )
                for i in range(0, len(batch.crops), 16)
            ]
        )
        self.progress.psnr_db = masked_psnr(batch.truths[..., :3], swapped[..., :3], batch.truths[..., 3:4])
        mask = swapped[..., 3:]
        pasted = swapped[..., :3] * mask + batch.crops * (1 - mask)
        rows = []
        for start in range(0, min(len(batch.crops), 24), 8):
            part = slice(start, start + 8)
            rows += [np.hstack(list(x[part])) for x in (batch.crops, batch.truths[..., :3], swapped[..., :3], pasted)]
        sheet = (np.clip(np.vstack(rows), 0, 1)[..., ::-1] * 255).astype(np.uint8)
        cv2.imwrite(str(self.folder / "preview.jpg"), sheet, [cv2.IMWRITE_JPEG_QUALITY, 90])

    def _interrupt(self, signum: int, frame: FrameType | None) -> None:
        self._stop = True


def masked_psnr(truth: npt.NDArray[np.float32], made: npt.NDArray[np.float32], mask: npt.NDArray[np.float32]) -> float:
    """PSNR in dB inside the mask, averaged over pictures: `[n, S, S, 3]` twice in [0, 1], `[n, S, S, 1]`."""
    error = ((truth - made) ** 2 * mask).sum(axis=(1, 2, 3)) / (3 * mask.sum(axis=(1, 2, 3)) + 1e-6)
    return float(np.mean(-10 * np.log10(np.maximum(error, 1e-10))))


def _write_arrays(path: Path, arrays: list[npt.NDArray[np.float32]]) -> None:
    temporary = path.with_suffix(".partial.npz")
    np.savez(temporary, *arrays)
    os.replace(temporary, path)


def _read_arrays(path: Path) -> list[npt.NDArray[np.float32]]:
    with np.load(path) as archive:
        return [archive[f"arr_{i}"] for i in range(len(archive.files))]


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".partial")
    temporary.write_bytes(data)
    os.replace(temporary, path)
