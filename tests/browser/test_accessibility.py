"""axe-core over every state of every page: nothing serious is found, in either colour scheme."""

from __future__ import annotations

from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page

SERIOUS = {"serious", "critical"}


def findings(page: Page) -> list[str]:
    """What axe finds serious, one line each."""
    violations = Axe().run(page).response["violations"]
    return [
        f"{found['id']}: {node['html'][:120]} ({node['failureSummary'][:200]})"
        for found in violations
        if found["impact"] in SERIOUS
        for node in found["nodes"]
    ]


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest, page: Page) -> Page:
    scheme: Literal["light", "dark"] = request.param
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    return page


@pytest.mark.parametrize("path", ["/", "/verify"])
def test_pages(scheme: Page, path: str) -> None:
    scheme.goto(path)
    assert findings(scheme) == []


def test_everything_unfolded(scheme: Page) -> None:
    for summary in scheme.locator("details > summary").all():
        summary.click()
    assert findings(scheme) == []


@pytest.mark.parametrize("dialog", ["terms", "help"])
def test_dialogs(scheme: Page, dialog: str) -> None:
    scheme.locator("#start" if dialog == "terms" else "#help-open").click()
    scheme.wait_for_selector(f"#{dialog}[open]")
    assert findings(scheme) == []


def test_a_running_session_and_its_end(scheme: Page) -> None:
    scheme.locator("#start").click()
    scheme.locator("#terms-accept").click()
    scheme.wait_for_selector("#frame.shown")
    scheme.locator("#compare").click()
    assert findings(scheme) == []
    scheme.locator("#start").click()
    scheme.wait_for_function("() => document.body.dataset.state === 'stopped'")
    assert findings(scheme) == []


def test_trouble(scheme: Page) -> None:
    scheme.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError')); }"
    )
    scheme.locator("#start").click()
    scheme.locator("#terms-accept").click()
    scheme.wait_for_function("() => document.body.dataset.state === 'error'")
    assert findings(scheme) == []
