"""What visitors write: names of every script are taken, what hides or turns a text around is not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from django.conf import settings

from facedetect.errors import BadRequest
from facedetect.text import JOINERS, LINES, check_text
from tests.client_app.conftest import Client, Visitor, served
from tests.client_app.test_enrolment import enrol
from tests.client_app.test_trainings import RELEASE, release_end

if not settings.configured:
    settings.configure(USE_I18N=False)  # for what errors say; the server has settings of its own

NAMES = {
    "German": "Jörg Müller-Lüdenscheidt",
    "Vietnamese, decomposed": "Nguye\u0302\u0303n",
    "Arabic": "محمد",
    "Persian, with a non-joiner": "علی\u200cرضا",  # noqa: RUF001
    "Sinhala, with a joiner": "ශ්\u200dරී",
    "an emoji of three": "👩\u200d👩\u200d👧",
    "apostrophe": "O’Brien 2nd",  # noqa: RUF001
}
HIDDEN = {
    "NUL": "Ma\0ra",
    "ESC": "\x1b[31mMara",
    "delete": "Mara\x7f",
    "line end": "Ma\nra",
    "bidi override": "Mara\u202efdp.exe",
    "Hangul filler": "\u3164",
    "half-width Hangul filler": "Mara\uffa0",
    "Braille without dots": "\u2800\u2800",
    "bidi isolate": "\u2067Mara\u2069",
    "right-to-left mark": "Mara\u200f",
    "zero-width space": "Ma\u200bra",
    "byte order mark": "Mara\ufeff",
    "soft hyphen": "Ma\u00adra",
    "tag": "Mara\U000e0041",
    "line separator": "Ma\u2028ra",
    "surrogate": "Mara\ud800",
    "private": "Mara\ue000",
    "nothing but a joiner": "\u200d",
    "nothing but an accent": "\u0301",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Nobody answers at the prediction service: who gets that far gets 503."""
    with served(tmp_path_factory.mktemp("client")) as client:
        yield client


@pytest.fixture(scope="module")
def visitor(client: Client) -> Visitor:
    return client.visitor()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_of_any_script_is_taken(name: str) -> None:
    check_text(name)


@pytest.mark.parametrize("name", HIDDEN.values(), ids=HIDDEN)
def test_what_is_not_seen_is_refused(name: str) -> None:
    with pytest.raises(BadRequest, match="cannot be seen"):
        check_text(name)


def test_a_longer_text_has_lines() -> None:
    check_text("My face,\r\n\tin a film.", JOINERS + LINES)
    with pytest.raises(BadRequest):
        check_text("\r\n\t", JOINERS + LINES)


@pytest.mark.parametrize("field", ["name", "subject"])
def test_nobody_is_enrolled_by_a_hidden_name(visitor: Visitor, field: str) -> None:
    for name in (HIDDEN["NUL"], HIDDEN["ESC"], HIDDEN["bidi override"]):
        answer = enrol(visitor, b"picture", **{**RELEASE, "expires": release_end(), field: name})
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "bad_request")
        assert "cannot be seen" in answer.json()["error"]["message"]
    answer = enrol(
        visitor, b"picture", **{**RELEASE, "expires": release_end(), field: NAMES["Persian, with a non-joiner"]}
    )
    assert answer.status_code == 503


@pytest.mark.parametrize(
    "fields",
    [
        {"contact": "a@example.org", "what": "x\0y"},
        {"contact": "a@example.org", "what": "x\u202ey"},
        {"contact": '"\x07"@example.org', "what": "xy"},
        {"contact": f"{'a' * 250}@example.org", "what": "xy"},
    ],
    ids=["NUL", "bidi override", "bell", "longer than the database takes"],
)
def test_no_request_for_removal_holds_them(client: Client, visitor: Visitor, fields: dict[str, str]) -> None:
    answer = visitor.http.post(f"{client.address}/removal", fields, timeout=10)
    assert answer.status_code == 400, answer.text
    with closing(sqlite3.connect(client.folder / "db.sqlite3", timeout=10)) as database:
        assert database.execute("SELECT count(*) FROM identities_removalrequest").fetchone() == (0,)
