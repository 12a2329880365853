"""Logging in, the admin, and what the page says where a session is refused: real Chromium before the client alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import DEADLINE_MS
from tests.browser.test_accessibility import findings
from tests.client_app.conftest import Client, served

PASSWORD = "correct horse battery"  # noqa: S105 - of a server that lasts as long as the test
LISTS = (
    "identities/identity",
    "identities/consent",
    "identities/removalrequest",
    "audit/auditentry",
    "access/limit",
    "axes/accessattempt",
    "auth/user",
)

OpenPage = Callable[[Client], Page]


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[OpenPage]:
    """Open a page of a server; what the console said of the page's policy fails the test."""
    contexts, complaints = [], []

    def open_(client: Client) -> Page:
        context = chromium.new_context(base_url=client.address, viewport={"width": 1280, "height": 900}, locale="en")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(DEADLINE_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None
        )
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server that asks for a login."""
    with served(tmp_path_factory.mktemp("closed"), FACESWAP_LOGIN="required") as client:
        superuser = {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
        client.manage("createsuperuser", "--noinput", "--username=ada", "--email=ada@example.org", **superuser)
        yield client


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server that gives a visitor one session an hour."""
    with served(tmp_path_factory.mktemp("crowded"), FACESWAP_VISITOR_SESSIONS_PER_HOUR="1") as client:
        yield client


def log_in(page: Page, password: str = PASSWORD) -> None:
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_logging_in_and_out(open_page: OpenPage, closed: Client) -> None:
    page = open_page(closed)
    page.goto("/stage?identity=p2")
    expect(page).to_have_title("Log in – Face swap, live")
    assert findings(page) == []
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    log_in(page, "wrong")
    expect(page.get_by_role("alert")).to_contain_text("Name or password is wrong")
    log_in(page)
    page.wait_for_url("**/stage?identity=p2")
    page.goto("/")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_title("Log in – Face swap, live")


def test_the_admin_works_under_the_pages_policy(open_page: OpenPage, closed: Client) -> None:
    page = open_page(closed)
    page.goto("/admin/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#site-name")).to_have_text("Face swap, live")
    page.get_by_role("button", name="Toggle theme").first.click()
    assert page.evaluate("document.documentElement.dataset.theme") in ("light", "dark"), "its scripts run"
    for path in LISTS:
        page.goto("/admin/")
        page.locator(f"#content-main a[href='/admin/{path}/']").first.click()
        expect(page.locator("#content h1")).to_be_visible()
        assert page.evaluate("getComputedStyle(document.querySelector('#header')).display") == "flex", "and its styles"
    page.goto("/admin/access/limit/")
    page.locator("tr", has_text="minutes of a visitor's sessions, a day").locator("input[type=number]").fill("30")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("li.success")).to_contain_text("1 limit was changed successfully.")


def test_who_has_had_enough_is_told_when_to_come_back(open_page: OpenPage, crowded: Client) -> None:
    page = open_page(crowded)
    page.goto("/")
    page.locator("#start").click()
    with page.expect_response("**/session") as answered:
        page.locator("#terms-accept").click()
    assert answered.value.status == 200
    page.reload()
    page.locator("#start").click()
    expect(page.get_by_role("alert")).to_contain_text("Come back in 60 minutes.")


def test_terms_that_changed_meanwhile_are_asked_for_anew(open_page: OpenPage, crowded: Client) -> None:
    page = open_page(crowded)
    page.goto("/")
    page.evaluate("document.body.dataset.terms = '2025-01'")  # as the page of an earlier version would have it
    page.evaluate("localStorage.setItem('faceswap.terms', JSON.stringify('2025-01'))")
    page.route(
        "**/session",
        lambda route: route.continue_(post_data=str(route.request.post_data).replace("2026-11", "2025-01")),
    )
    page.locator("#start").click()
    expect(page.get_by_role("alert")).to_contain_text("Accept the terms first")
    page.unroute("**/session")
    page.reload()
    page.locator("#start").click()
    expect(page.locator("#terms")).to_be_visible()
    with page.expect_response("**/session") as answered:
        page.locator("#terms-accept").click()
    assert answered.value.status == 200
