"""Whose face a run learns. Apart from the rest of the training, so that reading a call imports no Keras."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """Whose face is learnt."""

    id: str
    name: str
    kind: str
    """`synthetic`, `self` or `release`."""
    consent: str | None = None
    """The consent's token; None for a synthetic identity."""
