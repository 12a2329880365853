"""Start a command in a session of its own, read its lines, and see what it left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

INSTALL_SECONDS = 600.0
START_SECONDS = 60.0
STOP_SECONDS = 20.0
"""run.py promises five, on a machine that is not busy; a service that lost its signal would take thirty."""


class Running:
    """A started command; its output is gathered line by line. Leaving the block kills what is left of it."""

    def __init__(self, command: Sequence[str | Path], folder: Path, variables: Mapping[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self.folder = folder
        self.process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env=clean_environment() | dict(variables or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            self.lines.extend(line.rstrip("\n") for line in self.process.stdout)

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.reader.join(STOP_SECONDS)

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, text: str, seconds: float) -> str:
        """The first line that holds `text`; an AssertionError with all the output when there is none in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            for line in list(self.lines):
                if text in line:
                    return line
            assert not ended, f"ended with {self.process.returncode} before {text!r}:\n{self.output}"
            time.sleep(0.05)
        raise AssertionError(f"no {text!r} within {seconds} s:\n{self.output}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the command alone, as a supervisor does; its exit status."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        status = self.process.wait(STOP_SECONDS)
        self.reader.join(STOP_SECONDS)
        return status


def clean_environment() -> dict[str, str]:
    """The environment without this project's settings, so that a copy of the tree uses its own."""
    ours = (
        "FACESWAP_",
        "SECRET_KEY",
        "DEBUG",
        "ALLOWED_HOSTS",
        "DATABASE_URL",
        "DJANGO_",
        "PYTHONPATH",
        "PYTEST_",
        "VIRTUAL_ENV",
    )
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def call(command: list[str | Path], folder: Path, bin_folder: Path, **variables: str) -> str:
    """Run to its end with `bin_folder` first on the path, as after `activate`; what it printed."""
    environment = clean_environment() | variables
    path = f"{bin_folder}{os.pathsep}{environment['PATH']}"
    ended = subprocess.run(
        ["/usr/bin/env", *command],
        cwd=folder,
        env=environment | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def processes_in(folder: Path) -> list[str]:
    """Command lines of the processes whose working folder lies in `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return [line for line in found if line]


def left_in(folder: Path) -> list[str]:
    """`processes_in`, once those that were killed have had the time to end."""
    deadline = time.monotonic() + STOP_SECONDS
    while (left := processes_in(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def fetch(url: str) -> tuple[int, str]:
    """Status and body of a GET."""
    with urllib.request.urlopen(url, timeout=START_SECONDS) as response:  # noqa: S310 - a url of this test
        return response.status, response.read().decode(errors="replace")
