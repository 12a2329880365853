"""Who gets a session: those who accepted the terms in force, as often as the limits allow."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import requests

from access import terms
from tests.client_app.conftest import Client, Visitor, served

DOCUMENTS = {"2026-11": "fd09f9d583f1dcb8e9c7b917f19811660bfbf435c5709b1038734bddaef6e294"}
"""SHA-256 of the terms' text, by version."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Behind a proxy that it trusts; few sessions are allowed."""
    limits = {"FACESWAP_VISITOR_SESSIONS_PER_HOUR": "3", "FACESWAP_ADDRESS_SESSIONS_PER_HOUR": "5"}
    with served(tmp_path_factory.mktemp("client"), FACESWAP_TRUSTED_PROXIES="127.0.0.0/8", **limits) as client:
        yield client


@pytest.fixture
def visitor(client: Client, request: pytest.FixtureRequest) -> Visitor:
    """From an address of the test's own."""
    return at(client, request.node.name)


def at(client: Client, name: str, number: int = 1) -> Visitor:
    """A visitor whose address belongs to `name`."""
    network = sum(name.encode()) % 250
    return Visitor(client.address, {"X-Forwarded-For": f"198.51.{network}.{number}"})


def sql(client: Client, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(client.folder / "db.sqlite3", timeout=10)) as database, database:
        return database.execute(statement, values).fetchall()


def post(visitor: Visitor, **fields: str) -> requests.Response:
    return visitor.http.post(f"{visitor.address}/session", fields, timeout=10)


def error(answer: requests.Response) -> dict[str, Any]:
    said = dict(answer.json()["error"])
    assert said["code"] == answer.status_code and said["message"].endswith(".")
    return said


class TestTerms:
    def test_the_text_belongs_to_its_version(self) -> None:
        assert DOCUMENTS[terms.VERSION] == terms.DOCUMENT, "whoever changes the terms changes their version"

    def test_without_them_there_is_no_session_and_no_picture(self, client: Client, visitor: Visitor) -> None:
        before = client.manage("audit", "verify")
        for fields in ({}, {"terms": ""}, {"terms": "2025-01"}):
            assert error(post(visitor, **fields))["type"] == "terms_not_accepted"
        files = {"picture": ("me.jpg", b"x", "image/jpeg")}
        answer = visitor.http.post(f"{client.address}/image", {"identity": "p1"}, files=files, timeout=10)
        assert (answer.status_code, error(answer)["type"]) == (403, "terms_not_accepted")
        assert client.manage("audit", "verify") == before

    def test_they_are_accepted_once_and_that_is_kept(self, client: Client, visitor: Visitor) -> None:
        visitor.start()
        assert post(visitor).status_code == post(visitor, renew=visitor.token).status_code == 200
        (details,) = sql(client, "SELECT details FROM audit_auditentry WHERE session = ?", visitor.session)[0]
        assert terms.DOCUMENT in details
        rows = sql(
            client,
            "SELECT version, document FROM access_termsacceptance JOIN access_grant USING (visitor) WHERE session = ?",
            visitor.session,
        )
        assert rows == [(terms.VERSION, terms.DOCUMENT)]

    def test_a_new_version_is_accepted_anew(self, client: Client, visitor: Visitor) -> None:
        visitor.start()
        sql(
            client,
            "UPDATE access_termsacceptance SET version = '2025-01' "
            "WHERE visitor = (SELECT visitor FROM access_grant WHERE session = ?)",
            visitor.session,
        )
        assert error(post(visitor, renew=visitor.token))["type"] == "terms_not_accepted"
        assert post(visitor, renew=visitor.token, terms=terms.VERSION).status_code == 200
        assert post(visitor, renew=visitor.token).status_code == 200

    def test_nobody_else_accepts_for_a_visitor(self, visitor: Visitor, client: Client) -> None:
        visitor.start()
        other = at(client, "other")
        other.http.cookies.set("faceswap_visitor", "0" * 32)
        assert error(post(other))["type"] == "terms_not_accepted"

    @pytest.mark.parametrize(("language", "heading"), [("en", "Terms"), ("de", "Nutzungsbedingungen")])
    def test_everybody_can_read_them(self, client: Client, language: str, heading: str) -> None:
        page = requests.get(f"{client.address}/terms", headers={"Accept-Language": language}, timeout=10)
        assert page.status_code == 200
        assert f"<h1>{heading}</h1>" in page.text and terms.VERSION in page.text
        assert len(re.findall("<li>", page.text)) == len(terms.SENTENCES)


class TestLimits:
    def hours_pass(self, client: Client, hours: int) -> None:
        for field in ("started", "until"):
            sql(client, f"UPDATE access_grant SET {field} = datetime({field}, '-{hours} hours')")  # noqa: S608

    def refused(self, answer: requests.Response) -> int:
        """Seconds after which to come again."""
        assert (answer.status_code, error(answer)["type"]) == (429, "too_much")
        seconds = int(answer.headers["Retry-After"])
        assert f"{-(-seconds // 60)} minute" in error(answer)["message"]
        return seconds

    def test_a_visitors_sessions_an_hour(self, client: Client, visitor: Visitor) -> None:
        for _ in range(3):
            visitor.start()
        assert 3500 < self.refused(post(visitor)) <= 3600
        assert post(visitor, renew=visitor.token).status_code == 200, "a running session goes on"
        assert at(client, "another").start().token
        self.hours_pass(client, 1)
        assert post(visitor).status_code == 200

    def test_an_addresss_sessions_an_hour(self, client: Client) -> None:
        for _ in range(5):
            at(client, "crowd").start()
        visitor = at(client, "crowd")
        self.refused(post(visitor, terms=visitor.terms))
        assert at(client, "crowd", number=2).start().token
        rows = sql(client, "SELECT DISTINCT address FROM access_grant")
        assert rows and all(re.fullmatch("[0-9a-f]{64}", address) for (address,) in rows), "addresses are not kept"

    def test_requests_for_removal_count_for_their_address(self, client: Client, visitor: Visitor) -> None:
        fields = {"contact": "somebody@example.org", "what": "My face."}
        answers = [visitor.http.post(f"{client.address}/removal", fields, timeout=10) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [201] * 5 + [429]
        self.refused(answers[-1])

    def test_a_forwarded_address_is_believed_only_from_a_proxy(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        with served(tmp_path_factory.mktemp("direct"), FACESWAP_ADDRESS_SESSIONS_PER_HOUR="1") as direct:
            at(direct, "one").start()
            visitor = at(direct, "two")
            self.refused(post(visitor, terms=visitor.terms))

    def test_a_visitors_minutes_a_day(self, client: Client, visitor: Visitor) -> None:
        sql(client, "UPDATE access_limit SET value = 10 WHERE name = 'visitor_minutes_per_day'")
        try:
            visitor.start().start()
            assert 86_300 < self.refused(post(visitor)) - 300 <= 86_400
            self.refused(post(visitor, renew=visitor.token))
            self.hours_pass(client, 25)
            assert post(visitor).status_code == 200
            assert len(sql(client, "SELECT 1 FROM access_grant")) == 1, "what counts no longer is not kept"
        finally:
            sql(client, "UPDATE access_limit SET value = NULL")

    def test_renewing_counts_the_time_that_it_adds(self, client: Client, visitor: Visitor) -> None:
        visitor.start()
        for _ in range(3):
            assert post(visitor, renew=visitor.token).status_code == 200
        assert sql(client, "SELECT seconds FROM access_grant WHERE session = ?", visitor.session)[0][0] <= 310

    def test_pictures_count(self, client: Client, visitor: Visitor) -> None:
        def swap() -> requests.Response:
            files = {"picture": ("me.jpg", b"x", "image/jpeg")}
            fields = {"identity": "p1", "terms": visitor.terms}
            return visitor.http.post(f"{client.address}/image", fields, files=files, timeout=10)

        visitor.start()
        assert [swap().status_code for _ in range(3)] == [503, 503, 429]
        entries = sql(client, "SELECT details FROM audit_auditentry WHERE event = 'picture_swapped'")
        assert len(entries) == 2 and all(terms.DOCUMENT in details for (details,) in entries)
