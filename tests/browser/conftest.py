"""Real Chromium, whose camera is a talking face, in front of the three services, really running."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.browser.acts import choose, start, unmirror
from tests.browser.camera import read_film, write_clip
from tests.browser.canvas import WATCH
from tests.browser.chromium import launch_with_camera
from tests.browser.services import Services, make_services, running

DEADLINE_MS = 20_000
"""For anything a test waits for on the page: this machine may be busy."""
expect.set_options(timeout=DEADLINE_MS)  # a page's own default is not for what is expected of it


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """All three, ready."""
    with running(make_services(tmp_path_factory.mktemp("services"))) as services:
        yield services


@pytest.fixture(scope="session")
def camera(wearers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wearer 1 as a camera, 640x480."""
    path = tmp_path_factory.mktemp("camera") / "w1.mjpeg"
    write_clip(read_film(wearers / "w1.mp4"), path)
    return path


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def chromium(playwright: Playwright, browser: str | None, camera: Path) -> Iterator[Browser]:
    """With wearer 1 before its camera, and the permission to use it."""
    chromium = launch_with_camera(playwright, browser, camera)
    yield chromium
    chromium.close()


@pytest.fixture
def page(chromium: Browser, services: Services) -> Iterator[Page]:
    """The studio, open; what its console said wrong fails the test."""
    context = chromium.new_context(base_url=services.client.address, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(DEADLINE_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
    page.goto("/")
    yield page
    context.close()
    assert not complaints


@pytest.fixture
def live(page: Page) -> Page:
    """A running session of wearer 1 as persona 1, not mirrored."""
    page.add_init_script(WATCH)
    page.reload()
    unmirror(page)
    choose(page, "p1")
    start(page)
    return page
