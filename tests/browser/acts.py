"""What a person does with the page, and what they wait for."""

from __future__ import annotations

from playwright.sync_api import Page


def state(page: Page) -> str:
    return str(page.evaluate("document.body.dataset.state"))


def expect_state(page: Page, pattern: str) -> None:
    page.wait_for_function("pattern => new RegExp(pattern).test(document.body.dataset.state)", arg=pattern)


def start(page: Page) -> None:
    """Press Start, accept the terms where they are shown, and wait for the first swapped frame."""
    page.get_by_role("button", name="Start").click()
    if page.locator("#terms").is_visible():
        page.get_by_role("button", name="I agree").click()
    page.wait_for_selector("#frame.shown")


def choose(page: Page, identity: str) -> None:
    page.locator(f"input[name=identity][value={identity}][type=radio]").check()


def unmirror(page: Page) -> None:
    if page.locator("#mirror").get_attribute("aria-pressed") == "true":
        page.locator("#mirror").click()


def wait_for_new_frames(page: Page, count: int) -> None:
    page.wait_for_function("goal => window.drawn >= goal", arg=page.evaluate("window.drawn") + count)
