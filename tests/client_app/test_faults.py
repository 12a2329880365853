"""The database locked or gone while sessions run: they are not disturbed, new ones get a sentence, and nothing is left
half-written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import jwt
import pytest
import requests

from tests.client_app.conftest import Client

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
