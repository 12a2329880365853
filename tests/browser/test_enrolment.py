"""Adding one's own face in a real browser, by the camera's live check, wearing it, and deleting it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

from tests.browser.camera import read_film, write_clip
from tests.browser.chromium import launch_with_camera
from tests.browser.services import Services
from tests.browser.test_accessibility import findings

POSES = ("front", "left", "front", "right", "front", "shut")
POSE_FRAMES = 30
"""One second of each: whatever is asked for comes around."""
LIVE_CHECK_MS = 300_000


@pytest.fixture(scope="module")
def chromium(
    playwright: Playwright, browser: str | None, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """Somebody before the camera who turns left and right and shuts their eyes, over and over."""
    folder, clip = root / "tests" / "data" / "enrolment", tmp_path_factory.mktemp("camera") / "poses.mjpeg"
    poses = {pose: read_film(folder / f"{pose}.jpg")[0] for pose in set(POSES)}
    write_clip((poses[pose] for pose in POSES for _ in range(POSE_FRAMES)), clip)
    chromium = launch_with_camera(playwright, browser, clip)
    yield chromium
    chromium.close()


def fill(page: Page, picture: Path, kind: str = "self") -> None:
    page.goto("/enrol")
    page.locator(f"input[name=kind][value={kind}]").check()
    page.get_by_label("Name in the gallery").fill("Myself")
    page.locator("#picture").set_input_files(picture)
    if kind == "release":
        page.get_by_label("Who signed it").fill("Somebody")
        page.get_by_label("Until when it holds").fill("2099-12-31")
        page.locator("#document").set_input_files(picture)
    page.locator("input[name=agreed]").check()


def test_ones_own_face_from_camera_to_gallery_to_nothing(page: Page, root: Path, services: Services) -> None:
    fill(page, root / "prediction_model" / "identities" / "gallery" / "p7" / "portrait.jpg")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#live")).to_be_visible()
    assert findings(page) == []
    page.wait_for_url(services.client.address + "/", timeout=LIVE_CHECK_MS)
    mine = page.locator("label.card", has_text="Myself")
    expect(mine.get_by_role("radio")).to_be_checked()
    nobody = page.locator(".gallery:has(+ p:text('These people do not exist')) label.card")
    assert nobody.count() > 0 and "Myself" not in nobody.all_text_contents()

    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="I agree").click()
    page.wait_for_selector("#frame.shown")

    other = page.context.new_page()
    other.goto("/enrol")
    other.on("dialog", lambda dialog: dialog.accept())
    other.get_by_role("button", name="Delete").click()
    expect(other.locator(".revoke")).to_have_count(0)
    page.wait_for_function("() => document.body.dataset.state === 'error'")
    page.reload()
    expect(mine).to_have_count(0)


def test_a_picture_that_will_not_do_is_refused_with_what_to_do(page: Page, root: Path) -> None:
    fill(page, root / "tests" / "data" / "enrolment" / "left.jpg")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#problem")).to_contain_text("Look into the camera")
    expect(page.locator("#live")).to_be_hidden()


@pytest.mark.parametrize(
    ("kind", "without", "sentence"),
    [
        ("self", "navigator, 'mediaDevices'", "Browsers give a camera only to pages opened over https://"),
        ("release", "crypto, 'subtle'", "Browsers compute the document's fingerprint on pages with HTTPS alone."),
    ],
)
def test_where_a_browser_withholds_what_is_needed_nothing_is_sent(
    page: Page, root: Path, kind: str, without: str, sentence: str
) -> None:
    page.add_init_script(f"Object.defineProperty({without}, {{ value: undefined }})")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    portrait = root / "prediction_model" / "identities" / "gallery" / "p7" / "portrait.jpg"
    page.goto("/enrol")
    page.locator(f"input[name=kind][value={kind}]").check()
    expect(page.locator("#problem")).to_contain_text(sentence)  # before anything is typed
    fill(page, portrait, kind)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#problem")).to_contain_text(sentence)
    expect(page.locator("#send")).to_be_enabled()
    assert sent == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/enrol", "/removal", "/verify"])
def test_the_pages_have_the_studios_header_and_no_barriers(
    page: Page, path: str, scheme: Literal["light", "dark"]
) -> None:
    links = page.locator("header.top nav a").all_text_contents()
    page.emulate_media(color_scheme=scheme)
    page.goto(path)
    assert page.locator("header.top nav a").all_text_contents() == links
    expect(page.locator("header.top nav [aria-current=page]")).to_have_attribute("href", path)
    assert findings(page) == []
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
