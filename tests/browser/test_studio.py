"""The studio in a real browser, before the three services: a person sees themselves with another face."""

from __future__ import annotations

import base64
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, Playwright, Route, expect

from prediction_model.labels import watermark
from prediction_model.labels.badge import badge_box
from tests.browser.acts import choose, expect_state, start, state, unmirror, wait_for_new_frames
from tests.browser.canvas import FACE, HEIGHT, OUTSIDE, WATCH, WIDTH, Picture, difference, look, screen
from tests.browser.chromium import launch
from tests.browser.conftest import DEADLINE_MS
from tests.browser.prediction import swap
from tests.browser.services import Services

SWAPPED_FRAMES, SWAPPED_SECONDS = 10, 5.0
LIKE_CAMERA = 5.0
"""Grey levels that JPEG and scaling may change outside the face."""
UNLIKE_CAMERA = 12.0
"""And what a swap must change inside it at least."""
x, y, width, height = badge_box(WIDTH, HEIGHT)
BADGE = (slice(y, y + height), slice(x, x + width))


@pytest.fixture(scope="module")
def photo(wearers: Path) -> Picture:
    """Wearer 1's first frame."""
    film = cv2.VideoCapture(str(wearers / "w1.mp4"))
    there, frame = film.read()
    film.release()
    assert there
    return np.asarray(frame, np.uint8)


class TestSwap:
    def test_the_face_is_swapped_and_the_rest_is_the_camera(self, live: Page) -> None:
        wait_for_new_frames(live, 5)
        shown = look(live)
        assert shown.change(FACE) > UNLIKE_CAMERA
        for region in OUTSIDE:
            assert shown.change(region) < LIKE_CAMERA

    def test_every_shown_frame_carries_the_badge_and_the_sessions_watermark(
        self, page: Page, services: Services
    ) -> None:
        page.add_init_script(WATCH)
        page.reload()
        unmirror(page)
        with page.expect_response("**/session") as answered:
            start(page)
        session = answered.value.json()["session"]
        for _ in range(5):
            wait_for_new_frames(page, 2)
            shown = look(page)
            assert shown.change(BADGE) > UNLIKE_CAMERA
            assert watermark.read(shown.picture, services.watermark_key) == int(session[:8], 16)

    def test_ten_swapped_frames_arrive_in_five_seconds(self, live: Page) -> None:
        before = live.evaluate("window.drawn")
        time.sleep(SWAPPED_SECONDS)
        assert live.evaluate("window.drawn") - before >= SWAPPED_FRAMES

    def test_another_face_is_put_on_mid_session(self, live: Page, services: Services) -> None:
        def nearer() -> str:
            """Which of two identities the screen shows, by asking the prediction service for both."""
            shown = look(live)
            apart = {
                identity: difference(shown.picture, swap(services, shown.camera, identity=identity), FACE)
                for identity in ("p1", "p8")
            }
            return min(apart, key=lambda identity: apart[identity])

        wait_for_new_frames(live, 6)
        assert [nearer() for _ in range(3)] == ["p1"] * 3
        choose(live, "p8")
        wait_for_new_frames(live, 6)
        assert [nearer() for _ in range(3)] == ["p8"] * 3
        assert state(live) in ("live", "degraded")

    def test_mirror_turns_the_picture_but_not_the_label(self, live: Page) -> None:
        live.locator("#mirror").click()
        wait_for_new_frames(live, 6)
        shown = look(live, mirrored=True)
        for region in OUTSIDE:
            assert shown.change(region) < LIKE_CAMERA
        assert shown.change(BADGE) > UNLIKE_CAMERA


class TestStates:
    def test_stop_releases_the_camera_and_blackens_the_screen(self, live: Page) -> None:
        track = live.evaluate_handle("document.querySelector('#camera').srcObject.getVideoTracks()[0]")
        live.get_by_role("button", name="Stop").click()
        expect_state(live, "^stopped$")
        assert track.evaluate("track => track.readyState") == "ended"
        assert live.evaluate("document.querySelector('#camera').srcObject") is None
        assert screen(live).max() == 0

    def test_space_starts_and_stops(self, page: Page) -> None:
        start(page)
        page.locator("h2").first.click()  # the focus is on nothing now
        page.keyboard.press("Space")
        expect_state(page, "^stopped$")
        page.keyboard.press("Space")
        expect_state(page, "^(live|degraded)$")

    def test_the_keys_work_after_a_face_was_chosen(self, live: Page) -> None:
        choose(live, "p2")
        live.keyboard.press("m")
        expect(live.locator("#mirror")).to_have_attribute("aria-pressed", "true")
        live.keyboard.press("Space")  # it chooses the face that has the focus
        expect_state(live, "^(live|degraded)$")

    def test_the_terms_come_before_the_first_start_only(self, page: Page) -> None:
        page.get_by_role("button", name="Start").click()
        expect(page.locator("#terms")).to_be_visible()
        page.get_by_role("button", name="Not now").click()
        assert state(page) == "idle"
        start(page)
        page.get_by_role("button", name="Stop").click()
        page.reload()
        page.get_by_role("button", name="Start").click()
        expect(page.locator("#terms")).to_be_hidden()
        expect_state(page, "^(live|degraded)$")

    def test_choices_are_remembered(self, page: Page) -> None:
        choose(page, "p4")
        page.locator("#options summary").click()
        page.locator("#strength").fill("0.6")
        page.reload()
        expect(page.locator("input[name=identity][value=p4][type=radio]")).to_be_checked()
        assert page.locator("#strength").input_value() == "0.6"

    def test_a_hidden_page_pauses_and_goes_on(self, live: Page) -> None:
        hide = """hidden => {
            Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
        live.evaluate(hide, True)
        expect_state(live, "^paused$")
        drawn = live.evaluate("window.drawn")
        live.wait_for_timeout(500)
        assert live.evaluate("window.drawn") <= drawn + 1
        live.evaluate(hide, False)
        expect_state(live, "^(live|degraded)$")
        wait_for_new_frames(live, 3)

    def test_the_wearers_own_face_is_covered_again_when_the_key_is_let_go_of_elsewhere(self, live: Page) -> None:
        live.keyboard.down("b")
        expect(live.locator("#frame[data-hold]")).to_be_visible()
        live.evaluate("dispatchEvent(new Event('blur'))")
        expect(live.locator("#frame[data-hold]")).to_have_count(0)

    def test_the_page_reconnects_when_the_relay_was_killed_and_started_again(
        self, live: Page, services: Services
    ) -> None:
        services.relay.kill()
        try:
            expect_state(live, "^reconnecting$")
            live.wait_for_selector("#frame:not(.shown)")
            assert screen(live).max() == 0, "nothing stays on the screen for long, and never the wearer's own face"
        finally:
            services.relay.start()
        expect_state(live, "^(live|degraded)$")
        wait_for_new_frames(live, 3)

    def test_the_page_does_not_wait_for_a_relay_that_hangs(self, live: Page, services: Services) -> None:
        services.relay.signal(signal.SIGSTOP)
        try:
            live.wait_for_selector("#frame:not(.shown)")
            expect(live.locator("#busy-text")).to_have_text("Reconnecting…", timeout=5_000)
            expect_state(live, "^reconnecting$")
            assert screen(live).max() == 0
        finally:
            services.relay.signal(signal.SIGCONT)
        expect_state(live, "^(live|degraded)$")
        wait_for_new_frames(live, 3)

    def test_without_the_prediction_service_the_page_says_degraded_and_shows_nothing(
        self, live: Page, services: Services
    ) -> None:
        services.prediction.kill()
        try:
            expect_state(live, "^degraded$")
            expect(live.locator("#status")).to_contain_text("Degraded: The face swapping service does not answer.")
            live.wait_for_selector("#frame:not(.shown)")
            assert screen(live).max() == 0
        finally:
            services.prediction.start()
        expect_state(live, "^live$")
        wait_for_new_frames(live, 3)


class TestCameraTrouble:
    @pytest.mark.parametrize(
        ("failure", "title"),
        [
            ("new DOMException('', 'NotAllowedError')", "The camera is blocked"),
            ("new DOMException('', 'NotFoundError')", "No camera was found"),
            ("new DOMException('', 'NotReadableError')", "The camera is in use"),
        ],
    )
    def test_each_refusal_says_what_helps(self, page: Page, failure: str, title: str) -> None:
        page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = () => Promise.reject({failure}); }}")
        page.get_by_role("button", name="Start").click()
        page.get_by_role("button", name="I agree").click()
        expect(page.get_by_role("alert")).to_contain_text(title)
        assert state(page) == "error"

    def test_a_permission_that_the_browser_refuses(
        self, playwright: Playwright, browser: str | None, services: Services
    ) -> None:
        """The browser's own refusal, not a played one: no fake user says yes."""
        chromium = launch(playwright, browser, "--use-fake-device-for-media-stream")
        try:
            page = chromium.new_context(base_url=services.client.address, permissions=[]).new_page()
            page.set_default_timeout(DEADLINE_MS)
            page.goto("/")
            page.get_by_role("button", name="Start").click()
            page.get_by_role("button", name="I agree").click()
            expect(page.get_by_role("alert")).to_contain_text("The camera is blocked")
        finally:
            chromium.close()

    def test_a_camera_that_is_unplugged(self, live: Page) -> None:
        live.evaluate(
            "document.querySelector('#camera').srcObject.getVideoTracks()[0].dispatchEvent(new Event('ended'))"
        )
        expect(live.get_by_role("alert")).to_contain_text("The camera is gone")
        assert live.evaluate("document.querySelector('#camera').srcObject") is None


class TestPhoto:
    def test_a_photo_is_swapped_without_a_camera(self, page: Page, photo: Picture) -> None:
        file = bytes(cv2.imencode(".jpg", photo)[1])
        page.locator("#photo summary").click()
        page.locator("#picture").set_input_files({"name": "me.jpg", "mimeType": "image/jpeg", "buffer": file})
        page.get_by_label("I agree to the terms").check()
        page.get_by_role("button", name="Swap the face").click()
        expect(page.locator("#picture-status")).to_have_text("Done.")
        encoded = page.evaluate(
            """async () => {
                const image = document.querySelector("#picture-result img");
                await image.decode();
                const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
                canvas.getContext("2d").drawImage(image, 0, 0);
                const bytes = new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer());
                return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""));
            }"""
        )
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None and picture.shape == photo.shape
        swapped = np.asarray(picture, np.uint8)
        assert difference(swapped, photo, FACE) > UNLIKE_CAMERA
        assert difference(swapped, photo, OUTSIDE[0]) < LIKE_CAMERA

    def test_what_is_no_picture_is_refused_with_a_sentence(self, page: Page) -> None:
        page.locator("#photo summary").click()
        page.locator("#picture").set_input_files(
            {"name": "me.jpg", "mimeType": "image/jpeg", "buffer": b"not a picture"}
        )
        page.get_by_label("I agree to the terms").check()
        page.get_by_role("button", name="Swap the face").click()
        expect(page.locator("#picture-status")).to_contain_text("no picture that can be read")
        expect(page.locator("#picture-result")).to_be_hidden()


class TestLooks:
    @pytest.mark.parametrize("width", [360, 390, 768, 1280])
    def test_nothing_sticks_out_sideways(self, page: Page, width: int) -> None:
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    def test_targets_are_large_enough_for_a_finger(self, page: Page) -> None:
        page.set_viewport_size({"width": 390, "height": 844})
        small = page.evaluate(
            """() => [...document.querySelectorAll("button, select, summary, label.card, nav a")]
                .filter(each => each.checkVisibility())
                .map(each => [each.id || each.textContent.trim(), each.getBoundingClientRect()])
                .filter(([, {width, height}]) => width < 44 || height < 44)
                .map(([name, {width, height}]) => `${name} ${width}x${height}`)"""
        )
        assert small == []


class TestStage:
    def test_the_stage_shows_the_labelled_picture_and_nothing_else(self, page: Page) -> None:
        page.add_init_script(WATCH)
        page.goto("/stage?identity=p2&mirror=0")
        page.get_by_role("button", name="I agree").click()
        wait_for_new_frames(page, 5)
        shown = look(page)
        assert shown.change(FACE) > UNLIKE_CAMERA
        assert shown.change(BADGE) > UNLIKE_CAMERA
        assert page.get_by_role("button").count() == 0
        page.reload()
        wait_for_new_frames(page, 1)

    def test_the_stage_that_is_come_back_to_goes_on(self, page: Page) -> None:
        page.add_init_script(WATCH)
        page.goto("/stage")
        page.get_by_role("button", name="I agree").click()
        wait_for_new_frames(page, 1)
        page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
        expect_state(page, "^stopped$")
        page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
        expect_state(page, "^(live|degraded)$")
        wait_for_new_frames(page, 1)

    def test_a_stage_that_is_refused_comes_back_when_the_server_says(self, page: Page) -> None:
        page.evaluate("localStorage.setItem('faceswap.terms', JSON.stringify(document.body.dataset.terms))")
        asked: list[str] = []

        def refuse(route: Route) -> None:
            asked.append(route.request.url)
            route.fulfill(
                status=429, headers={"Retry-After": "600"}, json={"error": {"message": "Come back in 10 minutes."}}
            )

        page.route("**/session", refuse)
        page.clock.install()
        page.goto("/stage")
        expect(page.locator("#status")).to_have_text("Come back in 10 minutes.")
        page.clock.fast_forward("09:59")
        page.wait_for_timeout(200)
        assert len(asked) == 1
        with page.expect_request("**/session"):
            page.clock.fast_forward("00:10")

    def test_an_identity_that_is_not_offered_is_refused(self, page: Page) -> None:
        answer = page.goto("/stage?identity=p99")
        assert answer is not None and answer.status == 404
