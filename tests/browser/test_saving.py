"""Snapshots and films: signed by the server before they are handed over, kept in the page until they are."""

from __future__ import annotations

import re

from playwright.sync_api import Dialog, Page, Route, expect

from exports import certificate, provenance
from tests.browser.acts import wait_for_new_frames
from tests.browser.test_accessibility import findings

HASTEN = """() => {
    const wait = setTimeout;
    window.setTimeout = (act, ms) => wait(act, Number.isInteger(ms) ? ms : Math.min(ms, 100));
}"""
"""Tries come soon after each other; what is not jittered takes its time."""


def refuse_exports(page: Page, status: int) -> None:
    """From now on the page's files are not signed."""
    answer = {"error": {"message": "No signing now."}}
    page.route("**/exports", lambda route: route.fulfill(status=status, json=answer))


def film_some(page: Page) -> None:
    """A second of film at least, with several swapped pictures in it."""
    wait_for_new_frames(page, 10)
    expect(page.locator("#recording")).to_contain_text(re.compile("0:(0[1-9]|[1-5])"))


def test_a_snapshot_is_downloaded_signed(live: Page) -> None:
    with live.expect_download() as downloaded:
        live.keyboard.press("s")
    data = downloaded.value.path().read_bytes()
    found = provenance.read(data, "image/jpeg", certificate.self_made())
    assert found is not None and (found.state, found.ai_made, found.identities) == ("valid", True, ("p1",))


def test_a_recording_is_downloaded_signed(live: Page) -> None:
    live.keyboard.press("r")
    film_some(live)
    with live.expect_download() as downloaded:
        live.keyboard.press("r")
    data = downloaded.value.path().read_bytes()
    found = provenance.read(data, "video/mp4", certificate.self_made())
    assert found is not None and (found.state, found.ai_made) == ("valid", True)


def test_a_snapshot_that_is_refused_is_not_handed_over(live: Page) -> None:
    downloads: list[object] = []
    live.on("download", lambda download: downloads.append(download))
    refuse_exports(live, 422)
    live.keyboard.press("s")
    expect(live.locator("#toast")).to_have_text("No signing now.")
    assert downloads == []


def test_a_film_that_cannot_be_signed_at_once_is_kept_and_signed_later(live: Page) -> None:
    downloads: list[object] = []
    live.on("download", lambda download: downloads.append(download))
    refuse_exports(live, 503)
    live.keyboard.press("r")
    film_some(live)
    live.keyboard.press("r")
    expect(live.locator("#toast")).to_contain_text("It is kept, and tried again")
    assert downloads == []
    live.unroute("**/exports")
    with live.expect_download() as downloaded:
        live.get_by_role("button", name="Stop").click()  # what is kept does not need the camera
    found = provenance.read(downloaded.value.path().read_bytes(), "video/mp4", certificate.self_made())
    assert found is not None and found.state == "valid"
    expect(live.locator("#toast")).to_have_text("The film was signed and saved.")


def test_what_goes_on_is_told_again_after_what_comes_between(live: Page) -> None:
    held: list[Route] = []
    live.route("**/exports", lambda route: held.append(route))
    live.keyboard.press("s")
    expect(live.locator("#toast")).to_have_text("Signing the snapshot…")
    live.evaluate("for (let press = 0; press < 2; press++) document.querySelector('#record').click()")
    expect(live.locator("#toast")).to_contain_text("The film ended before it showed a picture.")
    expect(live.locator("#toast")).to_have_text("Signing the snapshot…")
    with live.expect_download():
        held[0].continue_()
    expect(live.locator("#toast")).to_have_text("The snapshot was signed and saved.")
    expect(live.locator("#toast")).to_be_hidden()


def test_a_film_without_a_picture_is_told_of_and_not_sent(live: Page) -> None:
    sent: list[str] = []
    live.on("request", lambda request: sent.append(request.url))
    live.evaluate("for (let press = 0; press < 2; press++) document.querySelector('#record').click()")
    expect(live.locator("#toast")).to_have_text("The film ended before it showed a picture. Record it again.")
    expect(live.locator("#record")).to_have_attribute("aria-pressed", "false")
    expect(live.locator("#unsaved")).to_be_hidden()
    assert not [url for url in sent if url.endswith("/exports")]


def test_a_film_that_is_given_up_waits_for_the_visitor_who_is_warned(live: Page) -> None:
    live.evaluate(HASTEN)
    asked: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    live.on("dialog", dismiss)
    refuse_exports(live, 503)
    live.locator("#record").click()
    film_some(live)
    live.locator("#record").click()
    again = live.get_by_role("button", name="Try again")
    expect(again).to_be_visible()
    expect(live.locator("#unsaved-text")).to_contain_text("The film is not saved yet")
    assert findings(live) == []
    live.evaluate("setTimeout(() => location.reload(), 0)")
    live.locator("#record").click()
    expect(live.locator("#record")).to_have_attribute("aria-pressed", "false")
    expect(again).to_be_visible()
    assert set(asked) == {"beforeunload", "confirm"}
    live.unroute("**/exports")
    with live.expect_download():
        again.click()
    expect(again).to_be_hidden()
    live.reload()
