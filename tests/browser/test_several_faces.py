"""Two people before one camera: each gets a face of their own, by chips and gallery, with mouse or keys alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

from exports import certificate, provenance
from tests.browser.acts import choose, expect_state, start, unmirror, wait_for_new_frames
from tests.browser.camera import read_film, write_clip
from tests.browser.canvas import WATCH, difference, look, screen
from tests.browser.chromium import launch_with_camera
from tests.browser.prediction import swap
from tests.browser.services import Services
from tests.browser.test_accessibility import findings

MIDDLE = slice(160, 480)
"""Columns of a wearer's clip that hold all of the face."""
LEFT_FACE, RIGHT_FACE = (slice(200, 380), slice(70, 250)), (slice(200, 380), slice(390, 570))


@pytest.fixture(scope="module")
def chromium(
    playwright: Playwright, browser: str | None, wearers: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """With wearer 1 on the left and wearer 2 on the right of its camera's picture."""
    clip = tmp_path_factory.mktemp("camera") / "both.mjpeg"
    films = [read_film(wearers / f"{name}.mp4") for name in ("w1", "w2")]
    write_clip((np.hstack([one[:, MIDDLE], other[:, MIDDLE]]) for one, other in zip(*films, strict=False)), clip)
    chromium = launch_with_camera(playwright, browser, clip)
    yield chromium
    chromium.close()


@pytest.fixture
def pair(page: Page) -> Page:
    """A running session as persona 1, not mirrored, in which both were seen."""
    page.add_init_script(WATCH)
    page.reload()
    unmirror(page)
    choose(page, "p1")
    start(page)
    expect(page.locator("#wearers-field")).to_be_visible()
    return page


def worn(page: Page, services: Services) -> tuple[str, str]:
    """Which of p1 and p8 the left and the right face wear, by asking the prediction service for both."""
    wait_for_new_frames(page, 6)
    shown = look(page)
    made = {identity: swap(services, shown.camera, faces="all", identity=identity) for identity in ("p1", "p8")}
    left, right = (
        min(made, key=lambda identity: difference(shown.picture, made[identity], region))
        for region in (LEFT_FACE, RIGHT_FACE)
    )
    return left, right


def chip_names(page: Page) -> list[str]:
    return [str(chip.get_attribute("aria-label")) for chip in page.get_by_role("group").get_by_role("radio").all()]


def name_of(page: Page, identity: str) -> str:
    return str(page.locator(f"input[name=identity][value={identity}][type=radio]").get_attribute("data-name"))


def test_each_of_two_people_gets_a_face_of_their_own(pair: Page, services: Services) -> None:
    mara, other = name_of(pair, "p1"), name_of(pair, "p8")
    nearest, *others = chip_names(pair)
    assert nearest == "Only the nearest"
    assert sorted(others) in ([f"Face 1: {mara}", "Face 2: Blurred"], ["Face 1: Blurred", f"Face 2: {mara}"])
    assert pair.locator("#marks b").count() == 2

    pair.get_by_role("radio", name="Face 2").check()
    expect(pair.get_by_role("heading", name="Face for person 2")).to_be_visible()
    choose(pair, "p8")
    assert chip_names(pair) == ["Everybody", f"Face 1: {mara}", f"Face 2: {other}"]
    assert pair.locator("#faces").input_value() == "all"
    assert worn(pair, services) == ("p1", "p8")

    pair.get_by_role("radio", name="Face 1").check()
    choose(pair, "p8")
    pair.get_by_role("radio", name="Face 2").check()
    choose(pair, "p1")
    assert worn(pair, services) == ("p8", "p1")

    with pair.expect_download() as downloaded:
        pair.locator("#snapshot").click()
    found = provenance.read(downloaded.value.path().read_bytes(), "image/jpeg", certificate.self_made())
    assert found is not None and found.identities == ("p1", "p8")

    pair.get_by_role("radio", name="Everybody").check()
    choose(pair, "p8")
    assert worn(pair, services) == ("p8", "p8")
    expect(pair.get_by_role("radio", name=f"Face 1: {other}")).to_be_visible()


def test_numbers_are_read_from_left_to_right_also_when_mirrored(pair: Page) -> None:
    read = """() => [...document.querySelectorAll("#marks b")]
        .toSorted((one, other) => parseFloat(one.style.translate) - parseFloat(other.style.translate))
        .map(each => each.textContent).join()"""
    swapped = pair.locator("label.wearer:has(b)", has=pair.locator("img:not([hidden])"))
    before = swapped.locator("b").inner_text()
    for mirrored in ("true", "false"):
        pair.locator("#mirror").click()
        expect(pair.locator("#mirror")).to_have_attribute("aria-pressed", mirrored)
        wait_for_new_frames(pair, 6)
        pair.wait_for_function(f"({read})() === '1,2'")
        assert pair.locator("label.wearer b").all_inner_texts() == ["1", "2"]
    assert swapped.locator("b").inner_text() == before, "the same person"


def test_the_stage_shows_the_same_assignment(pair: Page, services: Services) -> None:
    pair.get_by_role("radio", name="Face 2").check()
    choose(pair, "p8")
    address = pair.locator("#stage-link").get_attribute("href")
    assert address is not None and address.startswith("/stage?identity=p1&identities=2%3Ap8")
    pair.goto(address)
    assert worn(pair, services) == ("p1", "p8")


@pytest.mark.parametrize(("identities", "status"), [("2:p99", 404), ("p8", 400), ("5:p8", 400), ("1:p1,,2:p8", 400)])
def test_a_stage_of_what_is_no_assignment_is_refused(page: Page, identities: str, status: int) -> None:
    answer = page.goto(f"/stage?identities={identities}")
    assert answer is not None and answer.status == status


def test_keys_alone_are_enough(pair: Page) -> None:
    pair.get_by_role("radio", name="Only the nearest").focus()
    pair.keyboard.press("ArrowRight")
    pair.keyboard.press("ArrowRight")
    expect(pair.get_by_role("radio", name="Face 2")).to_be_checked()
    expect(pair.get_by_role("radio", name="Face 2")).to_be_focused()
    pair.keyboard.press("Tab")
    while pair.evaluate("document.activeElement.name") != "identity":
        pair.keyboard.press("Tab")
    pair.keyboard.press("ArrowRight")
    expect(pair.get_by_role("radio", name="Face 2: Blurred")).to_have_count(0)
    expect(pair.get_by_role("radio", name="Everybody")).to_be_visible()


def test_the_assignment_ends_with_the_session(pair: Page) -> None:
    pair.get_by_role("radio", name="Face 2").check()
    choose(pair, "p8")
    pair.get_by_role("button", name="Stop").click()
    expect(pair.locator("#wearers-field")).to_be_hidden()
    assert pair.locator("#marks b").count() == 0
    expect(pair.locator("input[name=identity][value=p1][type=radio]")).to_be_checked()
    start(pair)
    expect(pair.get_by_role("radio", name="Only the nearest")).to_be_visible()
    assert pair.locator("#faces").input_value() == "largest"


def test_when_the_face_of_one_is_revoked_nobody_is_shown_and_the_others_can_go_on(
    pair: Page, services: Services
) -> None:
    pair.get_by_role("radio", name="Face 2").check()
    choose(pair, "p7")  # no other test's
    wait_for_new_frames(pair, 3)
    revoke = [sys.executable, "manage.py", "revoke", "identity", "p7"]
    subprocess.run(revoke, cwd=services.client.folder, env=services.client.environment, check=True)
    expect_state(pair, "^error$")
    expect(pair.get_by_role("alert")).to_contain_text("revoked")
    assert screen(pair).max() == 0
    expect(pair.locator("#wearers-field")).to_be_hidden()
    start(pair)
    expect(pair.get_by_role("radio", name="Only the nearest")).to_be_visible()


def test_the_numbers_go_when_the_picture_goes(pair: Page) -> None:
    pair.evaluate("document.querySelector('#camera').srcObject.getVideoTracks()[0].enabled = false")
    pair.wait_for_selector("#frame:not(.shown)")
    assert pair.locator("#marks b").count() == 0


def test_a_softer_edge_reaches_the_picture(pair: Page, services: Services) -> None:
    pair.locator("#faces").evaluate("each => { each.value = 'all'; each.dispatchEvent(new Event('input')); }")
    for edge in ("0", "1"):
        pair.locator("#edge").evaluate(
            "(each, value) => { each.value = value; each.dispatchEvent(new Event('input')); }", edge
        )
        wait_for_new_frames(pair, 6)
        shown = look(pair)
        region = (slice(100, 460), slice(0, 640))
        apart = {
            each: difference(shown.picture, swap(services, shown.camera, faces="all", edge=float(each)), region)
            for each in "01"
        }
        assert min(apart, key=lambda each: apart[each]) == edge
    pair.reload()
    assert pair.locator("#edge").input_value() == "1"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_chips_are_accessible_and_fit(pair: Page, scheme: Any, width: int) -> None:
    pair.set_viewport_size({"width": width, "height": 844})
    pair.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    pair.get_by_role("radio", name="Face 2").check()
    choose(pair, "p8")
    assert findings(pair) == []
    assert pair.evaluate("document.documentElement.scrollWidth") <= width
    heights = pair.locator("label.wearer").evaluate_all("all => all.map(each => each.getBoundingClientRect().height)")
    assert len(heights) == 3 and min(heights) >= 44
