"""The client's database as `manage.py migrate` makes it: made once, copied for each client that is started."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write_database(path: Path) -> None:
    """A SQLite file with every table, and with nothing in them but what the migrations write."""
    path.write_bytes(_migrated())


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "db.sqlite3"
        settings = {"DEBUG": "1", "SECRET_KEY": secrets.token_urlsafe(50), "DATABASE_URL": f"sqlite:///{path}"}
        command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
        subprocess.run(command, cwd=ROOT / "client_app", env={**os.environ, **settings}, check=True)
        return path.read_bytes()
