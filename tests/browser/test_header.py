"""The header: on a phone its pages are behind a button, which finger, keys and screen readers can use."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_accessibility import findings

PAGES = ["/stage", "/enrol", "/removal", "/verify"]


@pytest.mark.parametrize("path", ["/", "/terms", "/removal"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_every_page_in_its_menu(page: Page, path: str, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(path)
    links = page.locator("header.top nav a")
    menu = page.get_by_role("button", name="Menu")
    for link in links.all():
        expect(link).to_be_hidden()
    menu.focus()
    page.keyboard.press("Enter")
    addresses = []
    for link in links.all():
        expect(link).to_be_visible()
        box = link.bounding_box()
        assert box is not None and box["height"] >= 44 and box["x"] >= 0 and box["x"] + box["width"] <= 390
        addresses.append(str(link.get_attribute("href")).partition("?")[0])
    assert addresses == PAGES
    assert findings(page) == []
    page.keyboard.press("Tab")
    expect(links.first).to_be_focused()
    page.keyboard.press("Escape")
    expect(links.first).to_be_hidden()
    expect(menu).to_be_focused()
    box = menu.bounding_box()
    assert box is not None and min(box["width"], box["height"]) >= 44

    menu.click()
    page.get_by_role("link", name="Verify").click()
    expect(page).to_have_title("Verify a file – Face swap, live")


def test_a_wide_window_shows_the_pages_themselves(page: Page) -> None:
    expect(page.get_by_role("button", name="Menu")).to_be_hidden()
    for link in page.locator("header.top nav a").all():
        expect(link).to_be_visible()
    page.get_by_role("link", name="Removal").click()
    expect(page.locator("header.top nav [aria-current=page]")).to_have_text("Removal")


def test_the_languages_are_named_in_their_own(page: Page) -> None:
    for code, name in (("de", "Deutsch"), ("en", "English")):
        page.get_by_role("button", name=name).click()
        expect(page.locator("html")).to_have_attribute("lang", code)
        expect(page.locator(".language button")).to_have_text(["English", "Deutsch"])
