"""The client where others can connect (`DEBUG=0`), over plain HTTP: it works, and tells strangers nothing of itself."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.client_app.conftest import Client, Visitor, served
from tests.client_app.test_admin import PASSWORD, Staff
from tests.client_app.test_faults import DATABASE, gone

INNARDS = ("Traceback", "ROOT_URLCONF", "ALLOWED_HOSTS =", "DEBUG = True", "<h1>Not Found</h1>", "Server Error (500)")

LOG = "client.log"
FORM_BYTES = 2_621_440
"""Django's own limit for what of a request is no file."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("client")
    to_file = f"--log-file {folder / LOG} --capture-output"
    with served(folder, DEBUG="0", FACESWAP_HTTPS="0", GUNICORN_CMD_ARGS=to_file) as client:
        superuser = {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
        client.manage("createsuperuser", "--noinput", "--username=ada", "--email=ada@example.org", **superuser)
        yield client


def ask(client: Client, path: str, accept: str, **headers: str) -> requests.Response:
    return requests.get(client.address + path, headers={"Accept": accept, "Connection": "close", **headers}, timeout=20)


def check_told(answer: requests.Response, status: int, sentence: str, way_back: bool = True) -> None:
    """Expects `sentence` on a page that looks as the others do."""
    assert answer.status_code == status
    assert sentence in re.findall(r'<p role="alert">(.*?)</p>', answer.text)[0]
    assert re.search(r'<link rel="stylesheet" href="/static/studio/styles/base[^"]*\.css">', answer.text)
    assert ('href="/"' in answer.text) == way_back
    assert not [word for word in INNARDS if word in answer.text]


def check_told_script(answer: requests.Response, status: int, type_: str) -> None:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (status, status, type_)
    assert error["message"].endswith(".")


def log_lines(client: Client) -> list[str]:
    """What has been logged so far; of what is asked after another, the lines come after the other's."""
    marker = f"/nothing-{secrets.token_hex(8)}"
    ask(client, marker, "*/*")
    deadline = time.monotonic() + 20
    while marker not in (log := (client.folder / LOG).read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, "the server logs nothing"
        time.sleep(0.05)
    return [line for line in log.splitlines() if "/nothing-" not in line]


def test_the_page_its_files_and_its_forms_work(client: Client) -> None:
    visitor = client.visitor()
    page = visitor.http.get(client.address, timeout=10)
    names = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    assert names and all(visitor.http.get(client.address + name, timeout=10).ok for name in names)
    assert "Strict-Transport-Security" not in page.headers
    assert visitor.session


def test_nothing_at_an_address(client: Client) -> None:
    check_told(ask(client, "/nothing", "text/html"), 404, "There is nothing at this address.")
    check_told_script(ask(client, "/nothing", "application/json"), 404, "not_found")
    assert "Unter dieser Adresse" in ask(client, "/nothing", "text/html", **{"Accept-Language": "de"}).text


def test_a_name_that_is_not_this_servers(client: Client) -> None:
    for path in ("/", "/nothing"):
        answer = ask(client, path, "text/html", Host="evil.example", **{"Accept-Language": "de"})
        check_told(answer, 400, "Diesen Namen hat dieser Server nicht", way_back=False)
    check_told_script(ask(client, "/", "*/*", Host="evil.example"), 400, "bad_request")


def test_a_form_that_cannot_be_read(client: Client) -> None:
    visitor = Visitor(client.address)
    head = b"--x\r\nContent-Disposition: form-data; name*0=terms; name*=x\r\n\r\nv\r\n--x--\r\n"
    check_told_script(visitor.post("/session", head, "multipart/form-data; boundary=x"), 400, "bad_request")
    answer = visitor.post("/session", b"--\r\n", "multipart/form-data", Accept="text/html")
    check_told(answer, 400, "This request cannot be read.")
    check_told_script(visitor.post("/session", b"--\r\n", "multipart/form-data"), 400, "bad_request")


@pytest.mark.parametrize("count", [1, 20_000])
def test_a_form_that_is_too_large(client: Client, count: int) -> None:
    visitor = Visitor(client.address)
    before = log_lines(client)
    form = "&".join(f"name{number}={'x' * (3_000_000 // count)}" for number in range(count)).encode()
    assert len(form) > FORM_BYTES
    answer = visitor.post("/removal", form, "application/x-www-form-urlencoded", Accept="text/html")
    check_told(answer, 413, f"Expected a form of at most {FORM_BYTES >> 10} kB.")
    assert len(log_lines(client)) - len(before) <= 1


def test_a_form_of_too_many_fields(client: Client) -> None:
    visitor = Visitor(client.address)
    before = log_lines(client)
    answer = visitor.post("/removal", b"a=1&" * 2_000, "application/x-www-form-urlencoded", Accept="text/html")
    check_told(answer, 400, "This request cannot be read.")
    visitor.post("/session", b"--\r\n", "multipart/form-data")
    assert len(log_lines(client)) - len(before) <= 2


def test_what_an_account_may_not_do(client: Client) -> None:
    create = "from django.contrib.auth.models import User; "
    create += f"User.objects.create_user('eve', password='{PASSWORD}', is_staff=True)"
    client.manage("shell", "-c", create)
    staff = Staff(client, "eve")
    staff.http.headers["Accept"] = "text/html"
    check_told(staff.get("identities/identity/"), 403, "Your account may not do this.")


def test_a_method_that_an_address_does_not_know(client: Client) -> None:
    before = log_lines(client)
    answer = ask(client, "/session", "*/*")
    assert log_lines(client)[len(before) :] == ["WARNING django.request: Method Not Allowed (GET): /session"]
    check_told_script(answer, 405, "method_not_allowed")
    assert (answer.headers["Allow"], answer.json()["error"]["message"]) == ("POST", "Expected POST at this address.")


@pytest.mark.parametrize(
    "path", ["/", "/verify", "/removal", "/terms", "/healthz", "/readyz", "/gallery/p1/portrait.jpg"]
)
def test_what_can_be_got_can_be_asked_for_its_head(client: Client, path: str) -> None:
    before = log_lines(client)
    answer = requests.head(client.address + path, timeout=20)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0
    assert log_lines(client) == before


def test_a_mistake_of_the_server_is_told_without_its_database(client: Client) -> None:
    visitor = Visitor(client.address)
    form = b"username=ada&password=x"
    with gone(client.folder / DATABASE):
        answers = [
            visitor.post("/login", form, "application/x-www-form-urlencoded", Accept=accept)
            for accept in ("text/html", "application/json")
        ]
    check_told(answers[0], 500, "Something went wrong on this server.")
    check_told_script(answers[1], 500, "internal")


def test_a_database_that_does_not_answer_is_one_line_of_the_log(client: Client) -> None:
    visitor = Visitor(client.address)
    before = log_lines(client)
    with gone(client.folder / DATABASE):
        answer = visitor.post("/session", f"terms={visitor.terms}".encode(), "application/x-www-form-urlencoded")
    check_told_script(answer, 503, "unavailable")
    (line,) = log_lines(client)[len(before) :]
    assert line.startswith("ERROR facedetect.telling: the database does not answer: ")


def test_behind_a_proxy_that_encrypts_only_services_are_answered_in_plain_text(tmp_path: Path) -> None:
    with served(tmp_path, DEBUG="0") as client:
        statuses = {
            path: requests.get(client.address + path, allow_redirects=False, timeout=20).status_code
            for path in ("/", "/verify", "/healthz", "/readyz", "/revocations?after=0")
        }
    assert statuses == {"/": 301, "/verify": 301, "/healthz": 200, "/readyz": 200, "/revocations?after=0": 200}
