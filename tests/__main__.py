"""`python -m tests [pytest's arguments]`: lint, types and every test; with arguments, only pytest with these.

`python3 run.py test` installs what this needs into .venv and starts it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INTERRUPTED = 130
CHECKS = {
    "ruff check": (".", "ruff check ."),
    "ruff format": (".", "ruff format --check ."),
    "mypy of the prediction service": (".", "mypy"),
    "mypy of the relay": ("websocket_server", "mypy --config-file ../pyproject.toml . ../tests/websocket_server"),
    "mypy of the client": ("client_app", "mypy --config-file ../pyproject.toml . ../tests/client_app ../tests/browser"),
}
"""The folder each is run in, and the module with its arguments."""


def find_browser() -> str:
    """A Chromium for the page's tests, or "" for Playwright's own: what is here, else Playwright's, else Debian's."""

    def here() -> str | None:
        return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

    root = os.geteuid() == 0
    if here() is None:
        fetch = [sys.executable, "-m", "playwright", "install", *(["--with-deps"] if root else []), "chromium"]
        if subprocess.run(fetch).returncode == 0:
            return ""
        if root and shutil.which("apt-get"):
            subprocess.run(["apt-get", "update", "-q"])
            subprocess.run(["apt-get", "install", "-q", "-y", "--no-install-recommends", "chromium"])
    found = here()
    if found is None:
        sys.exit("The page's tests need a browser and none could be fetched: install Chromium and start again.")
    return found


def run_module(folder: str, *words: str) -> int:
    """`python -m` in a folder of the repository; its exit status."""
    return subprocess.run([sys.executable, "-m", *words], cwd=ROOT / folder).returncode


def main(arguments: list[str]) -> int:
    """Everything, or pytest with `arguments`; 0 when all of it passed."""
    os.environ["FACESWAP_BROWSER"] = os.environ.get("FACESWAP_BROWSER") or find_browser()
    failed = []
    for name, (folder, command) in {} if arguments else CHECKS.items():
        print(f"\n{name}", flush=True)
        if run_module(folder, *command.split()):
            failed.append(name)
    print("\npytest", flush=True)
    status = run_module(".", "pytest", *arguments)
    if failed:
        print(f"Beside pytest's own result, these failed: {', '.join(failed)}.", file=sys.stderr)
    return status or int(bool(failed))


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
