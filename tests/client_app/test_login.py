"""A server that asks for a login: what stays public, and what happens to who guesses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.client_app.conftest import Client, Visitor, served

PASSWORD = "correct horse battery"  # noqa: S105 - of a server that lasts as long as the test
PUBLIC = ("/healthz", "/readyz", "/verify", "/removal", "/terms", "/login", "/words.js", "/revocations?after=0")
PRIVATE = {path: "/login" for path in ("/", "/stage", "/enrol", "/gallery/p1/portrait.jpg")} | {
    "/admin/": "/admin/login/"
}
CALLS = ("/session", "/image", "/exports", "/enrolments", "/enrolments/0/frames", "/identities/x/revoke")
FAILURES, LOCKOUT_MINUTES = 4, 7


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    settings = {
        "FACESWAP_LOGIN": "required",
        "FACESWAP_LOGIN_FAILURES": str(FAILURES),
        "FACESWAP_LOGIN_LOCKOUT_MINUTES": str(LOCKOUT_MINUTES),
        "FACESWAP_TRUSTED_PROXIES": "127.0.0.0/8",
        "FACESWAP_VISITOR_SESSIONS_PER_HOUR": "1",
        "FACESWAP_ADDRESS_SESSIONS_PER_HOUR": "1",
    }
    with served(tmp_path_factory.mktemp("client"), **settings) as client:
        superuser = {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
        client.manage("createsuperuser", "--noinput", "--username=ada", "--email=ada@example.org", **superuser)
        yield client


class Person(requests.Session):
    """A browser at the login page."""

    def __init__(self, client: Client, address: str = "203.0.113.1", language: str = "en") -> None:
        super().__init__()
        self.page = f"{client.address}/login"
        self.headers.update(
            {"X-Forwarded-For": address, "Accept": "text/html", "Accept-Language": language, "Connection": "close"}
        )

    def log_in(self, password: str, next_page: str = "") -> requests.Response:
        self.get(self.page, timeout=10).raise_for_status()
        fields = {
            "username": "ada",
            "password": password,
            "next": next_page,
            "csrfmiddlewaretoken": self.cookies["csrftoken"] or "",
        }
        return self.post(self.page, fields, timeout=20, allow_redirects=False)


@pytest.mark.parametrize("path", PUBLIC)
def test_the_public_pages_stay_public(client: Client, path: str) -> None:
    answer = requests.get(client.address + path, timeout=10, allow_redirects=False)
    assert answer.status_code == 200


@pytest.mark.parametrize("path", PRIVATE)
def test_every_other_page_leads_to_the_login(client: Client, path: str) -> None:
    answer = Person(client).get(client.address + path, timeout=10, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{PRIVATE[path]}?next={path}")


@pytest.mark.parametrize("path", CALLS)
def test_a_script_is_told_in_one_sentence(client: Client, path: str) -> None:
    person = Person(client)
    person.get(person.page, timeout=10)
    headers = {"X-CSRFToken": person.cookies["csrftoken"] or "", "Accept": "application/json"}
    answer = person.post(client.address + path, timeout=10, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "not_logged_in"
    assert answer.json()["error"]["message"].endswith(".")


def test_who_is_logged_in_comes_to_where_they_went_and_is_not_limited(client: Client) -> None:
    person = Person(client)
    answer = person.log_in(PASSWORD, "/stage")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/stage")
    session = answer.headers["Set-Cookie"]
    assert "sessionid=" in session and "HttpOnly" in session and "SameSite=Lax" in session
    visitor = Visitor(client.address, login=person.cookies["sessionid"] or "")
    for _ in range(3):
        visitor.start()


def test_nobody_is_sent_to_another_site(client: Client) -> None:
    answer = Person(client).log_in(PASSWORD, "https://example.org/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")


def test_logging_out_ends_it(client: Client) -> None:
    person = Person(client)
    person.log_in(PASSWORD)
    assert "Log out" in person.get(client.address, timeout=10).text
    token = {"csrfmiddlewaretoken": person.cookies["csrftoken"] or ""}
    person.post(f"{client.address}/logout", token, timeout=10).raise_for_status()
    assert person.get(client.address, timeout=10, allow_redirects=False).status_code == 302


def test_the_login_speaks_german(client: Client) -> None:
    person = Person(client, language="de")
    assert "<h1>Anmelden</h1>" in person.get(person.page, timeout=10).text
    assert "Name oder Passwort ist falsch." in person.log_in("wrong").text


def test_an_address_that_guesses_is_locked_out_for_a_while(client: Client) -> None:
    guesser, name = Person(client, "203.0.113.66"), client.manage("axes_list_attempts")
    assert "203.0.113.66" not in name
    answers = [guesser.log_in(f"guess {number}") for number in range(FAILURES)]
    assert [answer.status_code for answer in answers] == [200] * (FAILURES - 1) + [429]
    assert answers[-1].headers["Retry-After"] == str(60 * LOCKOUT_MINUTES)
    assert f"Come back in {LOCKOUT_MINUTES} minutes." in answers[-1].text
    assert guesser.log_in(PASSWORD).status_code == 429, "also with the right one"
    assert Person(client, "203.0.113.67").log_in(PASSWORD).status_code == 302, "the name is not locked"
    assert Person(client, "2001:db8::7").log_in("wrong").status_code == 200
    assert "guess" not in (client.folder / "db.sqlite3").read_bytes().decode("latin-1"), "passwords are not kept"
    client.manage("axes_reset_ip", "203.0.113.66")
    assert guesser.log_in(PASSWORD).status_code == 302
