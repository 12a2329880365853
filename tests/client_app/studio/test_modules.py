"""The page's modules that need no browser: their own tests, run by node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.js")), ids=lambda file: file.name)
def test_module(file: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node to run it with; the browser tests run the same modules")
    ran = subprocess.run([node, "--test", str(file)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
