"""`export`: from a training run to identity packages, checked as they are served."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from prediction_model.errors import RunRefused
from prediction_model.training.identity import Identity
from prediction_model.training.presets import NAMES

HELP = "turn a training run into identity packages (LiteRT, int8 weights)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of packages, such as var/identities")
    parser.add_argument(
        "--shipped",
        action="store_true",
        help="write the encoder and the shared weights into this project, not into OUT",
    )
    parser.add_argument("--onnx", action="store_true", help="also write RUN/ID.onnx, for other runtimes (extra [onnx])")
    parser.add_argument("--preset", choices=NAMES, help="where RUN has weights and no run.json")
    parser.add_argument("--identities", nargs="+", metavar="ID", help="the same; in the network's order, synthetic")


def run(arguments: argparse.Namespace) -> int:
    """Export every identity of the run."""
    from prediction_model.training.backend import require_tensorflow

    require_tensorflow()
    from prediction_model.engines.autoencoder import SHARED_ENCODER
    from prediction_model.training.packaging import export_run, write_onnx_files, write_shared
    from prediction_model.training.runs import Run
    from prediction_model.training.shared import SHARED

    if arguments.preset and arguments.identities:
        people = tuple(Identity(name, name, "synthetic") for name in arguments.identities)
        described = Run("actors", arguments.preset, people, tuple(range(len(people))), False, 0, "tensorflow")
    elif arguments.preset or arguments.identities:
        raise RunRefused("--preset and --identities belong together: give both, or neither.")
    else:
        described = Run.read(arguments.run)
    encoder = SHARED_ENCODER if arguments.shipped else None
    made = export_run(arguments.run, arguments.out, _say, described, encoder)
    for package in made:
        print(f"{package.folder}: {package.bytes / 1e6:.2f} MB, {package.difference * 255:.2f} of 255 from the trained")
    if arguments.shipped:
        write_shared(arguments.run, SHARED, replace(described, shared_encoder=False))
        for path in (SHARED_ENCODER, SHARED):
            print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    if arguments.onnx:
        for path in write_onnx_files(arguments.run, described):
            print(path)
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
