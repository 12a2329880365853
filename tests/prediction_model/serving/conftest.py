"""Environments of their own for servers that do not install beside the rest, with the package from its own tarball.

Vertex AI's server and Ray take a minute each to install, so the environments are kept in the user's cache
(`$XDG_CACHE_HOME/faceswap-live/environments`), by what they must hold; the package in them is made anew for each run.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

INSTALL_SECONDS = 600
START_SECONDS = 300.0
STOP_SECONDS = 60.0
PACKAGE = "faceswap-live"


class Environment:
    """A virtual environment of a test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def variables(self, given: Mapping[str, str] | None = None) -> dict[str, str]:
        """What a process in it finds in its environment: nothing of the services' settings but what is `given`."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FACESWAP_", "PYTHON"))}
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {**inherited, "PATH": path, "VIRTUAL_ENV": str(self.folder), **(given or {})}

    def run(self, command: str, folder: Path, seconds: float = 120, variables: Mapping[str, str] | None = None) -> str:
        """Run a shell's command in `folder`; what it printed. AssertionError where it fails."""
        ran = subprocess.run(
            ["sh", "-c", command],
            cwd=folder,
            env=self.variables(variables),
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"
        return ran.stdout

    @contextmanager
    def serving(
        self, command: list[str], folder: Path, url: str, variables: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A server in a session of its own, from when `url` answers 200; whatever it started is stopped with it."""
        log = folder / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=self.variables(variables),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + START_SECONDS
            while get(url)[0] != 200:
                assert process.poll() is None, f"it ended:\n{log.read_text(errors='replace')[-4000:]}"
                assert time.monotonic() < deadline, f"not ready:\n{log.read_text(errors='replace')[-4000:]}"
                time.sleep(0.1)
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def get(url: str) -> tuple[int, bytes]:
    """Status and body of a GET; status 0 where nobody answers."""
    return ask(urllib.request.Request(url))  # noqa: S310


def post(url: str, body: bytes, content_type: str = "application/json") -> tuple[int, bytes]:
    """Status and body of a POST."""
    return ask(urllib.request.Request(url, body, {"Content-Type": content_type}))  # noqa: S310


def ask(request: urllib.request.Request) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


def docker_steps(root: Path, word: str) -> list[str]:
    """What the Dockerfile says after `RUN`, `ENV` or `CMD`, line by line."""
    lines = (root / "prediction_model/serving/Dockerfile").read_text(encoding="utf-8").splitlines()
    return [line.removeprefix(f"{word} ") for line in lines if line.startswith(f"{word} ")]


def docker_environment(root: Path) -> dict[str, str]:
    return dict(step.split("=", 1) for step in docker_steps(root, "ENV"))


def docker_command(root: Path) -> list[str]:
    (command,) = docker_steps(root, "CMD")
    words: list[str] = json.loads(command)
    return words


@pytest.fixture(scope="session")
def sdist(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tarball of `python setup.py sdist`, made from a copy of what git holds or would hold."""
    tree = tmp_path_factory.mktemp("tree")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "setup.py", "pyproject.toml",
         "README.md", "LICENSE", "prediction_model"],
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (root / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((root / name).read_bytes())
    builder = tmp_path_factory.mktemp("builder")
    subprocess.run([base_python(), "-m", "venv", builder], check=True)
    environment = Environment(builder)
    environment.run("pip install -q 'setuptools>=77'", tree, INSTALL_SECONDS)
    environment.run("python setup.py -q sdist", tree)
    (tarball,) = (tree / "dist").glob("*.tar.gz")
    return tarball


def base_python() -> str:
    return str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")


@pytest.fixture(scope="session")
def make_environment(root: Path, sdist: Path) -> Iterator[Callable[[str], Environment]]:
    """Make, or take from the cache, the environment with one of the package's extras, by the Dockerfile's own steps."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "faceswap-live" / "environments"
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with ExitStack() as stack:

        def make(extra: str) -> Environment:
            # In an image pip's cache would be dead weight; here it spares the second download.
            changed = {
                "[vertex]": f"[{extra}]",
                "/tmp/": f"{shlex.quote(str(sdist.parent))}/",  # noqa: S108
                " --no-cache-dir": "",
            }
            steps = docker_steps(root, "RUN")
            for old, new in changed.items():
                steps = [step.replace(old, new) for step in steps]
            holds = (sys.version, project["dependencies"], project["optional-dependencies"][extra], len(steps))
            folder = cache / f"{extra}-{hashlib.sha256(repr(holds).encode()).hexdigest()[:16]}"
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((folder.parent / f"{folder.name}.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)  # until the tests end: another run installs another package into it
            environment = Environment(folder)
            if not environment.python.exists():
                remove_outdated(extra, folder)
                subprocess.run([base_python(), "-m", "venv", folder], check=True)
            environment.run(f"pip uninstall -q -y {PACKAGE}", sdist.parent, INSTALL_SECONDS)
            for step in steps:
                environment.run(step, sdist.parent, INSTALL_SECONDS)
            return environment

        yield make


def remove_outdated(extra: str, current: Path) -> None:
    """Remove environments of the same extra that nobody uses: each takes half a gigabyte."""
    for folder in current.parent.glob(f"{extra}-*/"):
        with folder.with_name(f"{folder.name}.lock").open("w") as lock, suppress(BlockingIOError):
            if folder != current:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)


@pytest.fixture(scope="session")
def vertex_environment(make_environment: Callable[[str], Environment]) -> Environment:
    """The tarball with its extra `[vertex]`."""
    return make_environment("vertex")


@pytest.fixture(scope="session")
def ray_environment(make_environment: Callable[[str], Environment]) -> Environment:
    """The tarball with its extra `[ray]`."""
    return make_environment("ray")


@pytest.fixture(scope="session")
def exported(root: Path, vertex_environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with p1 and p8, made by the command of the installed package."""
    folder = tmp_path_factory.mktemp("model") / "out"
    command = f"python -m prediction_model export-package --identity p1 --identity p8 {shlex.quote(str(folder))}"
    vertex_environment.run(command, folder.parent)
    return folder


@pytest.fixture(scope="session")
def face(root: Path) -> bytes:
    """A JPEG with one face: nobody's."""
    return (root / "prediction_model/identities/gallery/p5/portrait.jpg").read_bytes()
