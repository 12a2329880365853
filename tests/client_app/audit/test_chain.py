"""The audit log: what is written holds, and `manage.py audit verify` finds every edit of the database."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

APPEND = """
import django
django.setup()
from audit.chain import record
from audit.models import AuditEntry
for number in range({count}):
    record(AuditEntry.Event.SESSION_STARTED, session="{session}", identity="p1", details={{"frames": number}})
"""


class Log:
    """An audit log in a database of its own, written by processes as the client's are."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = root / "client_app"
        self.database = folder / "db.sqlite3"
        pair = subprocess.run(
            [sys.executable, "make_keys.py", "signing"], cwd=self.folder, capture_output=True, text=True, check=True
        ).stdout.split()
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "facedetect.settings",
            "DATABASE_URL": f"sqlite:///{self.database}",
            "DEBUG": "1",
            "FACESWAP_SIGNING_KEY": pair[0],
            "FACESWAP_VERIFY_KEY": pair[1],
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("manage.py", *arguments)

    def append(self, count: int) -> None:
        written = self.run("-c", APPEND.format(count=count, session=secrets.token_hex(16)))
        assert written.returncode == 0, written.stderr

    def edit(self, statement: str) -> None:
        with sqlite3.connect(self.database) as connection:
            assert connection.execute(statement).rowcount == 1
        connection.close()

    def head(self) -> str:
        checked = self.manage("audit", "verify")
        assert checked.returncode == 0, checked.stderr
        return checked.stdout.split()[-1]


@pytest.fixture(scope="module")
def empty(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Log:
    log = Log(root, tmp_path_factory.mktemp("empty"))
    assert log.manage("migrate", "--verbosity=0").returncode == 0
    return log


@pytest.fixture
def log(root: Path, tmp_path: Path, empty: Log) -> Log:
    shutil.copy(empty.database, tmp_path)
    return Log(root, tmp_path)


def test_an_empty_log_holds(log: Log) -> None:
    assert log.head() == "0:" + "0" * 64


def test_what_two_processes_write_at_once_is_one_chain(log: Log) -> None:
    with ThreadPoolExecutor() as threads:
        list(threads.map(log.append, [20, 20]))
    assert log.head().startswith("40:")


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ("UPDATE audit_auditentry SET identity = 'p2' WHERE number = 2", "Entry 2 was edited"),
        ("""UPDATE audit_auditentry SET details = '{"frames": 7}' WHERE number = 4""", "Entry 4 was edited"),
        ("DELETE FROM audit_auditentry WHERE number = 3", "Expected entry 3 after entry 2; found 4"),
        ("DELETE FROM audit_auditentry WHERE number = 1", "Expected entry 1 after entry 0; found 2"),
        ("UPDATE audit_auditentry SET signature = '00' WHERE number = 5", "Entry 5 was not written by this server"),
    ],
)
def test_every_edit_is_found(log: Log, edit: str, reason: str) -> None:
    log.append(5)
    log.head()
    log.edit(edit)
    checked = log.manage("audit", "verify")
    assert checked.returncode != 0
    assert reason in checked.stderr


def test_a_log_that_was_shortened_lacks_an_earlier_head(log: Log) -> None:
    log.append(3)
    head = log.head()
    log.append(1)
    assert log.manage("audit", "verify", "--head", head).returncode == 0
    log.edit("DELETE FROM audit_auditentry WHERE number = 4")
    assert log.manage("audit", "verify", "--head", head).returncode == 0
    log.edit("DELETE FROM audit_auditentry WHERE number = 3")
    assert log.manage("audit", "verify").returncode == 0, "without an earlier head nothing tells"
    checked = log.manage("audit", "verify", "--head", head)
    assert checked.returncode != 0 and "Expected the entry 3:" in checked.stderr


def test_an_entry_of_another_key_is_found(log: Log) -> None:
    log.append(1)
    other = log.run("make_keys.py", "signing").stdout.split()[0]
    forged = log.run("-c", APPEND.format(count=1, session="0" * 32), FACESWAP_SIGNING_KEY=other)
    assert forged.returncode == 0, forged.stderr
    assert "Entry 2 was not written by this server" in log.manage("audit", "verify").stderr


CHANGES: dict[str, str] = {
    "save": "AuditEntry.objects.get().save()",
    "delete": "AuditEntry.objects.get().delete()",
    "update": "AuditEntry.objects.update(identity='p2')",
    "delete all": "AuditEntry.objects.all().delete()",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_code_itself_cannot_change_an_entry(log: Log, change: str) -> None:
    log.append(1)
    head = log.head()
    tried = log.run("-c", APPEND.format(count=0, session="") + change)
    assert "AppendOnly" in tried.stderr
    assert log.head() == head


def test_without_a_key_nothing_is_logged(log: Log) -> None:
    tried = log.run("-c", APPEND.format(count=1, session=""), FACESWAP_SIGNING_KEY="")
    assert "Unavailable" in tried.stderr
    assert log.head().startswith("0:")


def test_what_finds_no_number_free_is_told_so(log: Log) -> None:
    always = "CREATE TRIGGER taken BEFORE INSERT ON audit_auditentry BEGIN SELECT RAISE(ABORT, 'taken'); END"
    with sqlite3.connect(log.database) as connection:
        connection.execute(always)
    connection.close()
    tried = log.run("-c", APPEND.format(count=1, session=""))
    assert "Unavailable: Too many things are being logged at once." in tried.stderr
    assert log.head().startswith("0:")


def test_a_revocation_is_logged_before_it_is_in_the_feed(log: Log) -> None:
    """On PostgreSQL the log is what makes writers wait for each other; see `facedetect.revocations.revoke`."""
    unlogged = "NOT EXISTS (SELECT 1 FROM audit_auditentry WHERE identity = NEW.target)"
    always = f"CREATE TRIGGER early BEFORE INSERT ON identities_revocation WHEN {unlogged}"
    with sqlite3.connect(log.database) as connection:
        connection.execute(f"{always} BEGIN SELECT RAISE(ABORT, 'not logged'); END")
    connection.close()
    revoked = log.manage("revoke", "identity", "p7")
    assert revoked.returncode == 0, revoked.stderr
    assert log.head().startswith("1:")
