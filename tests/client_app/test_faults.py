"""The database locked or gone, or its disk full, while sessions run: these are not disturbed, new ones get a sentence,
and nothing is left half-written.
"""

from __future__ import annotations

import resource
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

import jwt
import pytest
import requests

from tests.client_app.conftest import Client, Visitor

DATABASE = "db.sqlite3"
FORM = "application/x-www-form-urlencoded"


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Somebody else writes, and does not finish."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def gone(database: Path) -> Iterator[None]:
    """The file is no longer where it was, and what stands there is none."""
    aside = database.with_name("aside")
    database.rename(aside)
    database.mkdir()
    yield
    database.rmdir()
    aside.rename(database)


@contextmanager
def full(client: Client) -> Iterator[None]:
    """No file of the client's processes grows any more: each write fails, with EFBIG in the place of ENOSPC."""
    name = client.address.removeprefix("http://").encode()
    processes: dict[int, tuple[int, int]] = {}
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            if name in line.read_bytes().split(b"\0"):
                process = int(line.parent.name)
                processes[process] = resource.prlimit(process, resource.RLIMIT_FSIZE)
    assert len(processes) == 2, "gunicorn and its worker"
    for process, (_, hard) in processes.items():
        resource.prlimit(process, resource.RLIMIT_FSIZE, (0, hard))
    yield
    for process, limits in processes.items():
        resource.prlimit(process, resource.RLIMIT_FSIZE, limits)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [locked, gone])
def test_14_without_its_database_the_client_says_so_and_recovers(
    client: Client, fault: Callable[[Path], AbstractContextManager[None]]
) -> None:
    visitor = client.visitor()
    entries = client.manage("audit", "verify")
    with fault(client.folder / DATABASE):
        refused = visitor.post("/session", b"", FORM)
        assert refused.status_code == 503 and refused.json()["error"]["type"] == "unavailable"
        assert refused.json()["error"]["message"].startswith("The database does not answer")
        # The relay asks again; what it has heard so far still holds.
        assert requests.get(f"{client.address}/revocations?after=0&wait=0", timeout=20).status_code == 503
        assert requests.get(f"{client.address}/healthz", timeout=20).status_code == 200
    assert client.manage("audit", "verify") == entries, "a session that was refused is in no log"
    again = visitor.post("/session", b"renew=" + visitor.token.encode(), FORM)
    assert again.status_code == 200, "the session that ran goes on"
    claims = jwt.decode(again.json()["token"], options={"verify_signature": False})
    assert claims["sub"] == visitor.session


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a running process are Linux's")
def test_14_with_a_full_disk_nothing_begins_and_what_runs_goes_on(client: Client, root: Path) -> None:
    visitor, newcomer = client.visitor(), Visitor(client.address)
    portrait = (root / "prediction_model" / "identities" / "gallery" / "p7" / "portrait.jpg").read_bytes()
    terms = f"terms={newcomer.terms}".encode()
    entries = client.manage("audit", "verify")

    def send(path: str, fields: dict[str, str]) -> requests.Response:
        files = {"picture": ("p.jpg", portrait, "image/jpeg")}
        return visitor.http.post(client.address + path, fields, files=files, timeout=30)

    with full(client):
        for refused in (
            newcomer.post("/session", terms, FORM),
            send("/image", {"identity": "p1"}),
            send("/enrolments", {"kind": "self", "name": "Me", "agreed": "yes"}),
        ):
            assert refused.status_code == 503, refused.text
            assert refused.json()["error"]["message"].startswith("The database does not answer")
        feed = requests.get(f"{client.address}/revocations?after=0&wait=0", timeout=20)
        assert feed.status_code == 200, "relays hear of revocations all the same"
        assert requests.get(f"{client.address}/", timeout=20).status_code == 200
    assert client.manage("audit", "verify") == entries, "what was refused is in no log"
    with closing(sqlite3.connect(client.folder / DATABASE)) as database:
        assert database.execute("SELECT count(*) FROM identities_enrolment").fetchone() == (0,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert newcomer.post("/session", terms, FORM).status_code == 200, "once there is room again"
    renewed = visitor.post("/session", b"renew=" + visitor.token.encode(), FORM)
    assert renewed.json()["session"] == visitor.session, "the session that ran goes on"
