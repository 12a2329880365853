"""The admin, as staff sees it: what it shows, what it does, and what it never shows or changes."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from tests.client_app.conftest import Client
from tests.client_app.test_trainings import noted

PASSWORD = "correct horse battery"  # noqa: S105 - of a server that lasts as long as the test
LISTS = (
    "identities/identity",
    "identities/consent",
    "identities/training",
    "identities/revocation",
    "identities/removalrequest",
    "audit/auditentry",
    "access/limit",
    "access/termsacceptance",
)
CHANGED = {"identities/removalrequest", "access/limit"}
"""Lists with something to change in them."""


class Staff:
    """A member of staff, logged in."""

    def __init__(self, client: Client, user: str) -> None:
        self.address = f"{client.address}/admin/"
        self.http = requests.Session()
        self.http.headers["Connection"] = "close"
        self.get("login/")
        answer = self.post("login/", username=user, password=PASSWORD, next="/admin/")
        assert answer.url == self.address, "they are not let in"

    def get(self, path: str) -> requests.Response:
        return self.http.get(self.address + path, timeout=20)

    def post(self, path: str, **fields: Any) -> requests.Response:
        fields["csrfmiddlewaretoken"] = self.http.cookies["csrftoken"] or ""
        return self.http.post(self.address + path, fields, timeout=30)

    def act(self, path: str, action: str, *rows: object) -> str:
        """Do an action to some rows of a list; what the page says then."""
        answer = self.post(path, action=action, _selected_action=[str(row) for row in rows])
        assert answer.status_code == 200
        return " ".join(re.findall(r'<li class="(?:success|error|warning)">(.*?)</li>', answer.text, re.DOTALL))


@pytest.fixture(scope="module")
def staff(client: Client) -> Staff:
    superuser = {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    client.manage("createsuperuser", "--noinput", "--username=ada", "--email=ada@example.org", **superuser)
    return Staff(client, "ada")


@contextmanager
def database(client: Client) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(client.folder / "db.sqlite3", timeout=10)) as connection, connection:
        yield connection


def sql(client: Client, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with database(client) as connection:
        return connection.execute(statement, values).fetchall()


@pytest.fixture
def identity(client: Client, root: Path) -> str:
    """Persona 7, by a release."""
    picture = (root / "prediction_model" / "identities" / "gallery" / "p7" / "portrait.jpg").read_bytes()
    fields = {
        "kind": "release",
        "name": "Jo",
        "agreed": "yes",
        "subject": "Jonas Example",
        "document": sha256(b"the signed release").hexdigest(),
        "expires": (datetime.now(UTC) + timedelta(days=30)).date().isoformat(),
    }
    visitor = client.visitor()
    files = {"picture": ("me.jpg", picture, "image/jpeg")}
    answer = visitor.http.post(f"{client.address}/enrolments", fields, files=files, timeout=30)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["identity"])


@pytest.fixture
def training(client: Client, identity: str) -> Path:
    """One of that identity, which runs: its folder at the prediction service."""
    return noted(client, identity, progress=0.25, step=130)


def ask_for_removal(client: Client, what: str, hours_ago: int = 0) -> int:
    visitor = client.visitor()
    fields = {"contact": "somebody@example.org", "what": what}
    assert visitor.http.post(f"{client.address}/removal", fields, timeout=10).status_code == 201
    number = int(sql(client, "SELECT max(id) FROM identities_removalrequest")[0][0])
    for field in ("received", "due"):
        sql(
            client,
            f"UPDATE identities_removalrequest SET {field} = datetime({field}, ?) WHERE id = ?",  # noqa: S608
            f"-{hours_ago} hours",
            number,
        )
    return number


def package(client: Client, identity: str) -> Path:
    return Path(client.environment["FACESWAP_IDENTITY_STORE"]) / identity


class TestWhoIsLetIn:
    def test_only_staff(self, client: Client, staff: Staff) -> None:
        client.manage(
            "shell",
            "-c",
            f"from django.contrib.auth.models import User; User.objects.create_user('bob', password='{PASSWORD}')",
        )
        with pytest.raises(AssertionError, match="not let in"):
            Staff(client, "bob")

    @pytest.mark.parametrize("path", ["", *(f"{each}/" for each in LISTS)])
    def test_nobody_without_a_login(self, client: Client, path: str) -> None:
        answer = requests.get(f"{client.address}/admin/{path}", timeout=10, allow_redirects=False)
        assert answer.headers["Location"].startswith("/admin/login/")


class TestLists:
    @pytest.mark.parametrize("path", LISTS)
    def test_each_is_shown_under_the_pages_policy(self, staff: Staff, identity: str, path: str) -> None:
        page = staff.get(f"{path}/")
        assert page.status_code == 200
        assert "unsafe" not in page.headers["Content-Security-Policy"]
        assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)|<style|\sstyle=|\son\w+=", page.text)

    @pytest.mark.parametrize("path", LISTS)
    def test_nothing_is_added_or_deleted(self, client: Client, staff: Staff, path: str) -> None:
        ask_for_removal(client, "an open request")
        assert staff.get(f"{path}/add/").status_code == 403
        assert ("delete_selected" in staff.get(f"{path}/").text) == (path == "identities/removalrequest")

    @pytest.mark.parametrize("path", sorted(set(LISTS) - CHANGED))
    def test_what_is_signed_or_logged_is_not_edited(
        self, client: Client, staff: Staff, identity: str, path: str
    ) -> None:
        if path == "identities/revocation":
            client.manage("revoke", "session", "0" * 32)
        if path == "identities/training":
            noted(client, identity)
        app, model = path.split("/")
        (key,) = sql(client, f"SELECT * FROM {app}_{model} LIMIT 1")[0][:1]  # noqa: S608 - the test's own words
        page = staff.get(f"{path}/{key}/change/")
        assert page.status_code == 200
        assert not re.search(r'<input type="(?!hidden)|<textarea|name="_save"', page.text.split('id="content"')[1])
        assert staff.post(f"{path}/{key}/change/", kind="self", name="x").status_code == 403
        assert staff.post(f"{path}/{key}/delete/", post="yes").status_code == 403

    def test_no_picture_is_shown(self, client: Client, staff: Staff, identity: str) -> None:
        (portrait,) = sql(client, "SELECT portrait FROM identities_identity WHERE id = ?", identity)[0]
        for path in ("identities/identity/", f"identities/identity/{identity}/change/"):
            page = staff.get(path)
            assert identity in page.text and "Jo" in page.text
            assert bytes(portrait)[:40].decode() not in page.text and "portrait" not in page.text


class TestTrainings:
    def test_each_is_shown_as_it_stands_and_can_be_cancelled(
        self, client: Client, staff: Staff, identity: str, training: Path
    ) -> None:
        (number, owner) = sql(client, "SELECT id, owner FROM identities_training WHERE identity_id = ?", identity)[0]

        def cells() -> list[str]:
            page = staff.get("identities/training/").text
            row = page.split(f'name="_selected_action" value="{number}"')[1].split("</tr>")[0]
            found = re.findall(r'class="field-(?:owner|state|progress|judgement)">(.*?)</td>', row)
            return [each.replace("&nbsp;", " ") for each in found]

        assert cells() == [owner, "runs", "25 %, step 130", "–"]
        assert f"Cancelled: {number}" in staff.act("identities/training/", "cancel", number)
        assert cells() == [owner, "cancelled", "–", "–"] and not training.exists()
        assert "Cancelled" not in staff.act("identities/training/", "cancel", number), "it has ended"

    def test_how_it_was_judged(self, client: Client, staff: Staff, identity: str, training: Path) -> None:
        state = json.loads((training / "training.json").read_text())
        ended = {**state, "state": "done", "better": True, "engines": ["autoencoder", "photo"], "model": "ab" * 32}
        (training / "training.json").write_text(json.dumps(ended))
        assert "measured to be better than the photograph" in staff.get("identities/training/").text
        number = sql(client, "SELECT id FROM identities_training WHERE identity_id = ?", identity)[0][0]
        assert "ab" * 32 in staff.get(f"identities/training/{number}/change/").text


class TestRevoking:
    def test_an_identity_by_an_action(self, client: Client, staff: Staff, identity: str) -> None:
        assert package(client, identity).exists()
        assert f"Revoked: {identity}" in staff.act("identities/identity/", "revoke", identity)
        assert not package(client, identity).exists()
        rows = sql(client, "SELECT name, portrait FROM identities_identity WHERE id = ?", identity)
        assert rows == [("", b"")]
        assert sql(client, "SELECT 1 FROM identities_revocation WHERE target = ?", identity)

    def test_a_request_is_closed_with_its_identity(self, client: Client, staff: Staff, identity: str) -> None:
        number = ask_for_removal(client, "My face!")
        path = "identities/removalrequest/"
        assert "open the request and fill it in" in staff.act(path, "revoke_and_close", number)
        assert "There is no such identity" in staff.post(f"{path}{number}/change/", identity="u-nobody").text
        assert staff.post(f"{path}{number}/change/", identity=identity).url.endswith(path)
        assert f"Revoked and closed: {number}" in staff.act(path, "revoke_and_close", number)
        assert not package(client, identity).exists()
        assert sql(client, "SELECT closed FROM identities_removalrequest WHERE id = ?", number)[0][0]
        events = sql(client, "SELECT event FROM audit_auditentry WHERE identity = ? ORDER BY number", identity)
        assert [event for (event,) in events] == ["identity_enrolled", "identity_revoked", "removal_closed"]
        assert staff.post(f"{path}{number}/change/", identity="p1").status_code == 403, "a closed one stays as it is"

    def test_a_face_of_the_gallery_is_taken_out(self, client: Client, staff: Staff) -> None:
        number = ask_for_removal(client, "Number six looks like me.")
        path = "identities/removalrequest/"
        staff.post(f"{path}{number}/change/", identity="p6")
        assert f"Revoked and closed: {number}" in staff.act(path, "revoke_and_close", number)
        assert 'value="p6"' not in requests.get(client.address, timeout=10).text

    def test_an_unfounded_request_is_closed_without(self, client: Client, staff: Staff) -> None:
        number = ask_for_removal(client, "I saw it elsewhere.")
        assert f"Closed: {number}" in staff.act("identities/removalrequest/", "close_without", number)
        (details,) = sql(client, "SELECT details FROM audit_auditentry ORDER BY number DESC LIMIT 1")[0]
        assert "nothing found" in details

    def test_a_closed_request_is_deleted_and_an_open_one_is_not(self, client: Client, staff: Staff) -> None:
        path, numbers = "identities/removalrequest/", [ask_for_removal(client, "x") for _ in range(2)]
        staff.act(path, "close_without", numbers[0])
        for number, status in zip(numbers, (200, 403), strict=True):
            assert staff.post(f"{path}{number}/delete/", post="yes").status_code == status
        left = sql(client, "SELECT id FROM identities_removalrequest WHERE id IN (?, ?)", *numbers)
        assert left == [(numbers[1],)]
        assert "Cannot delete" in staff.post(path, action="delete_selected", _selected_action=numbers[1:]).text


def test_the_overdue_requests_come_first_with_their_clock(client: Client, staff: Staff) -> None:
    sql(client, "DELETE FROM identities_removalrequest")
    closed, fresh, overdue = (ask_for_removal(client, "x", hours_ago) for hours_ago in (60, 1, 50))
    staff.act("identities/removalrequest/", "close_without", closed)
    page = staff.get("identities/removalrequest/").text
    assert [int(each) for each in re.findall(r'name="_selected_action" value="(\d+)"', page)] == [
        overdue,
        fresh,
        closed,
    ]
    clocks = [each.replace("\xa0", " ") for each in re.findall(r'class="field-clock">(.*?)</td>', page)]
    assert [clocks[0], clocks[1]] == ["OVERDUE by 2 hours", "1 day, 22 hours left"]
    assert clocks[2].startswith("closed after 2 days, 12 hours")


def test_a_changed_limit_holds_at_once(client: Client, staff: Staff) -> None:
    def change(value: str) -> str:
        page = staff.get("access/limit/").text
        names = re.findall(r'name="form-(\d+)-name" value="(\w+)"', page)
        fields = {f"form-{place}-name": name for place, name in names}
        fields |= {f"form-{place}-value": value if name == "session_minutes" else "" for place, name in names}
        count = str(len(names))
        management = {"form-TOTAL_FORMS": count, "form-INITIAL_FORMS": count, "_save": "Save"}
        return staff.post("access/limit/", **fields, **management).text

    def minutes() -> int:
        token = client.visitor().token
        return int(jwt.decode(token, options={"verify_signature": False})["limits"]["minutes"])

    assert minutes() == 60
    change("7")
    assert minutes() == 7
    assert "greater than or equal to 1" in change("0")
    change("")
    assert minutes() == 60


def test_the_audit_log_says_whether_its_chain_holds(client: Client, staff: Staff) -> None:
    client.visitor()
    page = staff.get("audit/auditentry/").text
    ((count, number),) = re.findall(r'id="chain" class="success">The newest (\d+) entries hold. Head: (\d+):', page)
    assert count == number == str(sql(client, "SELECT count(*) FROM audit_auditentry")[0][0])
    (details,) = sql(client, "SELECT details FROM audit_auditentry WHERE number = 2")[0]
    try:
        sql(client, "UPDATE audit_auditentry SET details = '{}' WHERE number = 2")
        page = staff.get("audit/auditentry/").text
        assert 'id="chain" class="error">Entry 2 was edited' in page
    finally:
        sql(client, "UPDATE audit_auditentry SET details = ? WHERE number = 2", details)


class Labels(HTMLParser):
    """What a page calls its lists, columns, fields and filters; not what is in them."""

    TAGS = frozenset({"h1", "h2", "caption", "th", "label", "summary", "option"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self._inside: list[bool] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in self.TAGS:
            self._inside.append("field-" not in (dict(attributes).get("class") or ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.TAGS:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if any(self._inside) and re.search("[A-Za-z]{3}", data) and not re.search("[0-9]", data):
            self.found.add(data.strip().removesuffix(":"))


SAME_IN_GERMAN = {"Axes", "Filter", "Hash", "Name", "Person", "Training", "Trainings", "Version"}


def test_the_admin_speaks_german(client: Client, staff: Staff, identity: str, training: Path) -> None:
    ask_for_removal(client, "x")
    number = int(sql(client, "SELECT max(id) FROM identities_removalrequest")[0][0])
    started = int(sql(client, "SELECT max(id) FROM identities_training")[0][0])
    pages = ["", *(f"{each}/" for each in LISTS), f"identities/identity/{identity}/change/"]
    pages += [f"identities/removalrequest/{number}/change/", f"identities/training/{started}/change/"]
    pages += ["audit/auditentry/1/change/", "identities/consent/1/change/"]

    def labels(language: str) -> set[str]:
        answers = [
            staff.http.get(staff.address + page, headers={"Accept-Language": language}, timeout=20) for page in pages
        ]
        assert all(answer.ok for answer in answers)
        return set[str]().union(*(Labels(answer.text).found for answer in answers))

    english, german = labels("en"), labels("de")
    assert {"Identities", "Requests for removal", "Clock"} <= english
    assert {"Identitäten", "Bitten um Entfernung", "Frist"} <= german
    assert english & german - SAME_IN_GERMAN == set()
