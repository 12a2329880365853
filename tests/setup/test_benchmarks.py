"""`python -m benchmarks` runs a benchmark module and writes what it measured, where and on which commit."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import names

BENCHMARK = """
def run(data, arguments=()):
    return {"counted.arguments": len(arguments), "counted.files": len(list(data.iterdir())) if data else 0}
"""


@pytest.fixture
def folder(root: Path, tmp_path: Path) -> Path:
    """A repository with one benchmark, `counted`."""
    (tmp_path / "benchmarks").mkdir()
    for name in ("__init__.py", "__main__.py"):
        shutil.copy(root / "benchmarks" / name, tmp_path / "benchmarks" / name)
    (tmp_path / "benchmarks" / "counted.py").write_text(BENCHMARK, encoding="utf-8")
    return tmp_path


def run_benchmark(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def test_writes_results_machine_and_commit(folder: Path) -> None:
    author = ["-c", "user.name=a", "-c", "user.email=a@localhost"]
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    (folder / "data").mkdir()
    (folder / "data" / "clip").touch()
    ended = run_benchmark(folder, "counted", "--json", "out.json", "--data", "data", "--pages", "3")
    assert ended.returncode == 0, ended.stderr
    written = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    assert written["benchmark"] == "counted"
    assert written["results"] == {"counted.arguments": 2.0, "counted.files": 1.0}
    assert set(written["machine"]) == {"cpu", "cores", "python"}
    assert re.fullmatch(r"[0-9a-f]{12}", written["commit"])
    assert re.search(r"counted\.files +1\.000", ended.stdout)


def test_marks_a_commit_that_was_changed_since(folder: Path) -> None:
    test_writes_results_machine_and_commit(folder)
    with (folder / "benchmarks" / "counted.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert run_benchmark(folder, "counted", "--json", "out.json").returncode == 0
    assert json.loads((folder / "out.json").read_text(encoding="utf-8"))["commit"].endswith("+")


def test_a_file_that_cannot_be_written_is_said_before_anything_is_measured(folder: Path) -> None:
    for wrong in (".", "nowhere/out.json"):
        ended = run_benchmark(folder, "counted", "--json", wrong)
        assert ended.returncode == 2
        assert ended.stderr.splitlines()[-1].endswith(f"expected a file in a folder that is there, received {wrong}")
        assert ended.stdout == ""


def test_whatever_can_be_named_is_a_benchmark(root: Path) -> None:
    for name in names():
        assert "\ndef run(data: Path | None" in (root / "benchmarks" / f"{name}.py").read_text(encoding="utf-8"), name


def test_help_is_the_whole_or_with_a_name_the_benchmarks_own(folder: Path) -> None:
    assert "counted" in run_benchmark(folder, "--help").stdout
    own = """
import argparse
def run(data, arguments=()):
    argparse.ArgumentParser(prog="counted", description="Counts.").parse_args(arguments)
"""
    (folder / "benchmarks" / "counted.py").write_text(own, encoding="utf-8")
    ended = run_benchmark(folder, "counted", "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Counts." in ended.stdout


def test_what_is_not_installed_is_one_sentence(folder: Path) -> None:
    (folder / "benchmarks" / "counted.py").write_text("import nobody_has_this\n", encoding="utf-8")
    ended = run_benchmark(folder, "counted")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].endswith(
        "counted needs nobody_has_this, which is not installed: `python3 run.py test` installs it."
    )


def test_an_unknown_name_lists_the_known_ones(folder: Path) -> None:
    ended = run_benchmark(folder, "nothing")
    assert ended.returncode == 2
    assert "counted" in ended.stderr
