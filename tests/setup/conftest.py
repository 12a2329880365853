"""A copy of the tree as a newcomer would have it, and a clean Python to start it with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.setup.running import call


@pytest.fixture(scope="session")
def python() -> Path:
    """The Python that .venv was made from: it has none of the services' packages."""
    return Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="session")
def copy_tree(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Copies what git holds or would hold, and nothing that was built or made here."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    names = [name for name in listed.stdout.split("\0") if name and (root / name).is_file()]

    def copy() -> Path:
        target = tmp_path_factory.mktemp("tree")
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)
        return target

    return copy


@pytest.fixture(scope="session")
def make_venv(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes an empty virtual environment and gives its `bin` folder."""

    def make() -> Path:
        folder = tmp_path_factory.mktemp("venv")
        subprocess.run([python, "-m", "venv", folder], check=True)
        return folder / "bin"

    return make


@pytest.fixture(scope="session")
def client_venv(root: Path, make_venv: Callable[[], Path]) -> Path:
    """`pip install -r requirements.txt`"""
    bin_folder = make_venv()
    call(["pip", "install", "-q", "-r", "requirements.txt"], root, bin_folder)
    return bin_folder


@pytest.fixture(scope="session")
def relay_venv(root: Path, make_venv: Callable[[], Path]) -> Path:
    """`cd websocket_server; pip install -r requirements.txt`"""
    bin_folder = make_venv()
    call(["pip", "install", "-q", "-r", "requirements.txt"], root / "websocket_server", bin_folder)
    return bin_folder


@pytest.fixture(scope="session")
def keys(root: Path, client_venv: Path) -> dict[str, str]:
    """A signing pair, as the services' settings name it."""
    seed, public = call(["python", "make_keys.py", "signing"], root / "client_app", client_venv).split()
    return {"FACESWAP_SIGNING_KEY": seed, "FACESWAP_VERIFY_KEY": public}
