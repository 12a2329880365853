"""What a run trains, written beside its weights, so that it can be continued and exported without being told again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras

from prediction_model.errors import RunRefused
from prediction_model.training import original
from prediction_model.training.identity import Identity
from prediction_model.training.networks import autoencoder
from prediction_model.training.objective import Loss
from prediction_model.training.presets import ORIGINAL, PRESETS
from prediction_model.training.shared import freeze_all_but_maps, freeze_shared, load_shared

RUN = "run.json"


@dataclass(frozen=True)
class Run:
    """One training run."""

    form: str
    """`actors`, `photo`, `footage` or `retouch`."""
    preset: str
    identities: tuple[Identity, ...]
    """Those the network can make, in its order."""
    exported: tuple[int, ...]
    """Which of them become packages."""
    shared_encoder: bool
    """Whether its encoder is the shipped one, which was not trained; else its package carries its own."""
    seed: int
    backend: str
    data: Mapping[str, Any] = field(default_factory=dict)
    """What it is trained on: counts and names, for the card."""

    @property
    def size(self) -> int:
        """The crop's side, pixels."""
        return original.SIZE if self.preset == ORIGINAL else PRESETS[self.preset].size

    def network(self, shared: Path | None = None) -> tuple[keras.Model, Loss | None]:
        """The network, new or with the weights of the file `shared`, and its loss where it is not the swap's own."""
        if self.preset == ORIGINAL:
            return original.autoencoder(len(self.identities)), original.absolute_error
        if shared is None:
            return autoencoder(PRESETS[self.preset], len(self.identities)), None
        model = load_shared(shared, PRESETS[self.preset], len(self.identities))
        if self.form == "retouch":
            freeze_all_but_maps(model)
        elif self.shared_encoder:
            freeze_shared(model)
        return model, None

    def write(self, folder: Path) -> None:
        """Write it as `run.json` into `folder`, which is made where it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RUN).write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Run:
        """The run in `folder`.

        Raises:
            RunRefused: there is none, or it is damaged.
        """
        try:
            given = json.loads((folder / RUN).read_text(encoding="utf-8"))
            given["identities"] = tuple(Identity(**identity) for identity in given["identities"])
            given["exported"] = tuple(given["exported"])
            run = cls(**given)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RunRefused(
                f"{folder} holds no {RUN} that can be read ({error}): give the folder of a training run."
            ) from error
        if run.preset not in (*PRESETS, ORIGINAL):
            names = ", ".join((*PRESETS, ORIGINAL))
            raise RunRefused(f"{folder} was trained with the preset {run.preset[:40]!r}, expected one of {names}.")
        return run
