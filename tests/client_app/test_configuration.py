"""DATABASE_URL: what it may say, and the one sentence for what it may not."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from facedetect.configuration import ROOT, database

needs_driver = pytest.mark.skipif(find_spec("psycopg") is None, reason="requirements.txt is not all installed")


@pytest.mark.parametrize(
    ("url", "file"),
    [("sqlite:///var/x.db", str(ROOT / "var/x.db")), ("sqlite:////x.db", "/x.db"), ("sqlite://:memory:", ":memory:")],
)
def test_a_sqlite_file_is_seen_from_the_repository(url: str, file: str) -> None:
    assert database(url)["NAME"] == file


@needs_driver
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://me:p%40ss@db.example/swap", {"PASSWORD": "p@ss", "HOST": "db.example", "NAME": "swap"}),
        ("postgresql://me@db.example:5433/swap?sslmode=require", {"USER": "me", "PORT": 5433}),
        ("postgres://me:pass@//cloudsql/P:R:I/swap", {"HOST": "/cloudsql/P:R:I", "NAME": "swap"}),
    ],
)
def test_postgres_is_reached_by_network_or_socket_within_a_deadline(url: str, expected: dict[str, object]) -> None:
    found = database(url)
    assert found["ENGINE"] == "django.db.backends.postgresql"
    assert expected.items() <= found.items()
    assert found["OPTIONS"]["connect_timeout"] > 0
    assert found["OPTIONS"].get("sslmode") == ("require" if "sslmode" in url else None)


@pytest.mark.parametrize("url", ["", "words", "mysql://me:secret@h/swap", "postgres://me:secret@h", "postgres://h:x/y"])
def test_what_cannot_be_read_is_one_sentence_without_the_password(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^DATABASE_URL cannot be read: expected .*\.$") as ended:
        database(url)
    assert "secret" not in str(ended.value) + capfd.readouterr().err


def test_a_missing_driver_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SystemExit, match=r"is not installed: pip install 'psycopg\[binary\]'\.$"):
        database("postgres://me:secret@db.example/swap")


@pytest.mark.parametrize("before", [None, 0o644], ids=["made anew", "made readable"])
def test_a_sqlite_file_is_for_its_owner_alone(root: Path, tmp_path: Path, before: int | None) -> None:
    file = tmp_path / "db.sqlite3"
    if before is not None:
        file.touch(before)
    migrate = [sys.executable, "manage.py", "migrate", "access", "--verbosity=0"]
    environment = {**os.environ, "DEBUG": "1", "DATABASE_URL": f"sqlite:///{file}"}
    subprocess.run(migrate, cwd=root / "client_app", env=environment, check=True, timeout=60, umask=0o022)
    assert file.stat().st_mode & 0o777 == 0o600


def asked(root: Path, path: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Status and body of a GET, without a server; what was logged."""
    ask = (
        f"import django; django.setup(); from django.test import Client; answer = Client().get({path!r});"
        "print(answer.status_code, answer.content.decode())"
    )
    settings = {"DEBUG": "1", "DJANGO_SETTINGS_MODULE": "facedetect.settings", "ALLOWED_HOSTS": "testserver"}
    return subprocess.run(
        [sys.executable, "-c", ask],
        cwd=root / "client_app",
        env={**os.environ, **settings, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_database_without_its_tables_is_not_ready(root: Path, tmp_path: Path) -> None:
    ran = asked(root, "/readyz", DATABASE_URL=f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    assert ran.stdout.startswith("503 ") and "The database does not answer." in ran.stdout, ran.stderr


@pytest.mark.parametrize("debug", ["0", "1"])
def test_a_warning_is_logged_once(root: Path, tmp_path: Path, debug: str) -> None:
    keys = {"SECRET_KEY": "x" * 50, "FACESWAP_SIGNING_KEY": "x", "FACESWAP_HTTPS": "0"}
    ran = asked(root, "/nothing", DEBUG=debug, DATABASE_URL=f"sqlite:///{tmp_path / 'db.sqlite3'}", **keys)
    assert ran.stdout.startswith("404 "), ran.stderr
    assert ran.stderr.count("Not Found: /nothing") == 1


@needs_driver
def test_without_its_server_the_client_starts_and_says_so(root: Path) -> None:
    ran = asked(root, "/readyz", DATABASE_URL="postgres://me:secret@127.0.0.1:9/swap")
    assert ran.stdout.startswith("503 ") and "The database does not answer." in ran.stdout, ran.stderr
    assert "secret" not in ran.stdout + ran.stderr
