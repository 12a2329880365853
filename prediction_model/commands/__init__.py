"""One module per command: `HELP`, `add_arguments(parser)` and `run(arguments)`, which returns the exit status."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def whole(least: int, most: int) -> Callable[[str], int]:
    """What argparse reads an option with: a whole number, both bounds allowed."""

    def read(text: str) -> int:
        return int(_bounded(text, int, least, most))

    return read


def number(least: float, most: float) -> Callable[[str], float]:
    """The same, with digits behind the point."""

    def read(text: str) -> float:
        return float(_bounded(text, float, least, most))

    return read


def _bounded(text: str, kind: type[int] | type[float], least: float, most: float) -> float:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not least <= value <= most:
        raise argparse.ArgumentTypeError(f"expected a number from {least:g} to {most:g}, received {text!r}")
    return value
