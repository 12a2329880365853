"""`python -m benchmarks NAME --json FILE [--data DIR] [arguments of the benchmark]`; see the package's docstring."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

ROOT = Path(__file__).resolve().parent.parent
NOT_BENCHMARKS = {"__init__", "__main__", "pages"}
INTERRUPTED = 130
HELP = ("--help",)


class Benchmark(Protocol):
    """What a module `benchmarks/NAME.py` offers."""

    def run(self, data: Path | None, arguments: Sequence[str] = ()) -> Mapping[str, float]: ...


def names() -> list[str]:
    """Every benchmark there is, by module name."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in NOT_BENCHMARKS)


def cpu_name() -> str:
    """The processor's marketing name where the system tells it, else its architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine() -> dict[str, str | int]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"cpu": cpu_name(), "cores": cores, "python": platform.python_version()}


def git(*words: str) -> str:
    try:
        command = ["git", "-C", str(ROOT), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def commit() -> str:
    """The commit that was measured; `+` after it when tracked files were changed since."""
    revision = git("rev-parse", "--short=12", "HEAD") or "unknown"
    return revision + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def table(results: Mapping[str, float]) -> str:
    width = max(map(len, results), default=0)
    return "\n".join(f"{name:<{width}}  {value:>12,.3f}" for name, value in results.items())


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure one part of the project. `python -m benchmarks NAME --help` tells the part's own options.",
        add_help=False,
    )
    parser.add_argument("name", metavar="NAME", choices=names(), nargs="?", help=", ".join(names()))
    parser.add_argument(
        "-h", "--help", action="store_true", help="show this, or with NAME the benchmark's own, and end"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=os.environ.get("FACESWAP_DATA") or None,
        help="folder of measuring material (default: FACESWAP_DATA, else the committed wearers)",
    )
    options, arguments = parser.parse_known_args(argv)
    if options.name is None:
        if not options.help:
            parser.error("which one? Give a NAME.")
        parser.print_help()
        return 0
    data: Path | None = options.data
    if data is not None and not data.is_dir():
        parser.error(f"--data: expected a folder, received {data}; leave it out to measure on the committed wearers")
    if options.json is not None and (options.json.is_dir() or not options.json.absolute().parent.is_dir()):
        parser.error(f"--json: expected a file in a folder that is there, received {options.json}")
    try:
        benchmark = cast(Benchmark, importlib.import_module(f"benchmarks.{options.name}"))
    except ModuleNotFoundError as error:
        parser.error(f"{options.name} needs {error.name}, which is not installed: `python3 run.py test` installs it.")
    try:
        results = {
            name: float(value)
            for name, value in benchmark.run(data, [*arguments, *(HELP if options.help else ())]).items()
        }
    except KeyboardInterrupt:
        return INTERRUPTED
    about = {"benchmark": options.name, "machine": machine(), "commit": commit()}
    print(
        f"{options.name} on {machine()['cores']} cores of {machine()['cpu']}, Python {machine()['python']}, {commit()}"
    )
    print(f"data: {data if data else 'the committed wearers (tests/data/wearers)'}")
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps({**about, "results": results}, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
