"""`background`: a process that works for minutes beside the live frames, watched until it ends."""

from __future__ import annotations

import atexit
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from prediction_model.settings import ROOT

LONGEST_HOURS = 3.0
"""A process that has not ended by then is stopped."""
LOOK_SECONDS = 0.5
STOP_SECONDS = 10.0
NICENESS = 15
"""Live frames come first."""
TAIL_BYTES = 4096
REASON_CHARACTERS = 300


def run(
    command: list[str], folder: Path, log: Path, look: Callable[[], str | None], output: Path | None = None
) -> str | None:
    """Run `command` to its end. None when it went well, else why not: one sentence.

    Args:
        folder: its temporary files lie there, for they hold weights, too, and go with it.
        log: what it says of its work is added there; the last line of one that failed is why.
        look: called twice a second; what it returns, unless None, is why the process is stopped.
        output: the file that takes what it prints; None: the log does.
    """
    with log.open("ab") as errors, (output or log).open("ab") as printed:
        room = {**os.environ, "TMPDIR": str(folder)}
        process = subprocess.Popen(command, cwd=ROOT, env=room, stdin=subprocess.DEVNULL, stdout=printed, stderr=errors)
    atexit.register(process.terminate)
    deadline = time.monotonic() + LONGEST_HOURS * 3600
    try:
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        while process.poll() is None:
            if (reason := look()) is not None:
                return reason
            if time.monotonic() > deadline:
                return f"The training took more than {LONGEST_HOURS:g} hours: try again when the service is idle."
            time.sleep(LOOK_SECONDS)
    finally:
        _stop(process)
        atexit.unregister(process.terminate)
    return None if process.returncode == 0 else _last_line(log)


def tail(log: Path) -> str:
    """The last lines of a log."""
    with log.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
        return file.read().decode(errors="replace")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(log: Path) -> str:
    lines = [line for line in tail(log).splitlines() if line.strip()]
    return lines[-1].strip()[:REASON_CHARACTERS] if lines else "The training ended without a word: start it again."
