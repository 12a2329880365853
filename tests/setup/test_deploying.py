"""docs/deploying.md names settings, files and commands that there are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "deploying.md").read_text(encoding="utf-8")


def test_every_setting_it_names_is_in_the_readme(root: Path, page: str) -> None:
    names = set(re.findall(r"FACESWAP_[A-Z_]+", page))
    assert len(names) > 5
    readme = (root / "README.md").read_text(encoding="utf-8")
    written_by_run = (root / "run.py").read_text(encoding="utf-8")
    assert [name for name in sorted(names) if name not in readme and name not in written_by_run] == []


def test_every_file_it_names_is_there(root: Path, page: str) -> None:
    named = re.findall(r"(?:client_app|websocket_server|prediction_model|docs)/[\w/.]+\w|\bscaling\.md", page)
    assert named
    ignored = (root / ".gitignore").read_text(encoding="utf-8").splitlines()
    missing = [name for name in named if not (root / name).exists() and not (root / "docs" / name).exists()]
    assert [name for name in missing if f"/{name}/" not in ignored] == [], "but for what the page says how to make"


@pytest.mark.parametrize("command", ["serve", "serve-ray", "export-package"])
def test_every_option_of_our_commands_is_known(root: Path, page: str, command: str) -> None:
    lines = [line for line in page.replace("\\\n", " ").splitlines() if f"prediction_model {command} " in line]
    assert lines
    told = subprocess.run(
        [sys.executable, "-m", "prediction_model", command, "--help"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    options = {option for line in lines for option in re.findall(r"--[a-z-]+", line.partition(f" {command} ")[2])}
    assert [option for option in sorted(options) if option not in told] == []
