"""`extract`: from footage to a folder of one person's aligned faces."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from prediction_model.commands import number, whole

MOST_PER_SECOND, LARGEST_FACE, MOST_FACES = 240, 10_000, 1_000_000
HELP = "cut one person's faces out of videos and pictures, to train on"
BAR = 24
REDRAW_SECONDS = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="videos, pictures, or folders of them")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the faces; one begun before is continued")
    parser.add_argument(
        "--per-second",
        type=number(0.01, MOST_PER_SECOND),
        default=6.0,
        help="frames of a video to look at (default: %(default)s)",
    )
    parser.add_argument(
        "--smallest",
        type=number(1, LARGEST_FACE),
        default=64.0,
        help="pixels from forehead to chin (default: %(default)s)",
    )
    parser.add_argument(
        "--most-faces", type=whole(1, MOST_FACES), default=6000, help="stop after so many (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Extract, showing a bar; say what was kept and why the rest was not."""
    from prediction_model.training.extract import Extraction, Selection

    selection = Selection(arguments.per_second, arguments.smallest, most_faces=arguments.most_faces)
    bar = Bar()
    summary = Extraction(arguments.out, selection).run(arguments.inputs, bar.show)
    bar.end()
    dropped = ", ".join(f"{count} {why}" for why, count in summary.dropped.items() if count) or "none"
    print(f"{summary.kept} faces of {summary.frames} frames are in {arguments.out} (dropped: {dropped})")
    print(
        f"look at {arguments.out / 'contact_sheet.jpg'}: if it shows anybody else, delete that source and extract again"
    )
    return 0


class Bar:
    """A progress bar on standard error; where that is no terminal, a line for each source."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown, self._name = 0.0, ""

    def show(self, name: str, share: float, kept: int) -> None:
        """Draw the bar; a name not seen before is always shown."""
        now = time.monotonic()
        if name == self._name and (not self._live or now - self._shown < REDRAW_SECONDS):
            return
        self._shown, self._name = now, name
        done = round(BAR * share)
        line = f"[{'#' * done}{'.' * (BAR - done)}] {share:4.0%}  {kept} faces  {name[:40]}"
        print(f"\r{line:<79}" if self._live else line, end="" if self._live else "\n", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._live:
            print(f"\r{'':<79}\r", end="", file=sys.stderr, flush=True)
