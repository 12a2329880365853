"""What one address, one token and one worker may have, and what happens beyond it."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable

import pytest

from protocol import Flag
from registry import FRAMES_AT_ONCE
from tests.websocket_server.page import JPEG, Page, Signer, wait_until_expired
from tests.websocket_server.servers import PredictionServer, RelayServer, wait_until

StartRelay = Callable[..., RelayServer]
OpenPage = Callable[[], Page]


def png_of(width: int, height: int) -> bytes:
    """The first bytes of a PNG of this size: all that is needed to refuse it."""
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + bytes(20)


def test_sessions_per_address(start_relay: StartRelay, signer: Signer) -> None:
    relay = start_relay(sessions_per_address=2, trusted_proxies="127.0.0.0/8")
    with Page(relay.address) as first, Page(relay.address), Page(relay.address) as third:
        assert third.close_code() == 4004
        assert first.begin(signer.token())["type"] == "ready"
        with Page(relay.address, additional_headers={"X-Forwarded-For": "203.0.113.9"}) as elsewhere:
            assert elsewhere.begin(signer.token())["type"] == "ready"
    with Page(relay.address) as again:
        assert again.begin(signer.token())["type"] == "ready"


@pytest.mark.slow
def test_x_forwarded_for_is_not_believed_from_anybody(start_relay: StartRelay) -> None:
    relay = start_relay(sessions_per_address=1)
    with (
        Page(relay.address, additional_headers={"X-Forwarded-For": "203.0.113.1"}),
        Page(relay.address, additional_headers={"X-Forwarded-For": "203.0.113.2"}) as second,
    ):
        assert second.close_code() == 4004


def test_of_too_many_sessions_of_a_token_the_oldest_ends(
    open_page: OpenPage, relay: RelayServer, signer: Signer
) -> None:
    """A page whose line was cut twice connects for the third time, while the relay still waits for the first two."""
    token = signer.token()
    pages = [open_page() for _ in range(4)]
    for page in pages:
        assert page.begin(token)["type"] == "ready"
    assert [page.close_code() for page in pages[:2]] == [4004, 4004]
    for page in pages[2:]:
        assert page.swap().image
    pages[3].close()
    wait_until(lambda: relay.metric("faceswap_relay_sessions") == 1, 5, "one session less")
    open_page().begin(token)
    assert pages[2].swap().image, "there was room"


@pytest.mark.slow
def test_sessions_of_a_worker(start_relay: StartRelay, start_predictor: Callable[[], PredictionServer]) -> None:
    relay = start_relay(start_predictor(), sessions=1)
    with Page(relay.address), Page(relay.address) as second:
        assert second.close_code() == 1013
        assert not relay.ready()


def test_frames_per_second_of_a_token_are_paced_and_the_newest_wins(open_page: OpenPage, signer: Signer) -> None:
    page = open_page()
    assert page.begin(signer.token(limits={"fps": 5, "pixels": 921600, "minutes": 60}))["limits"]["fps"] == 5
    began = time.monotonic()
    for _ in range(60):
        page.send()
        time.sleep(0.02)
    results = [page.result()]
    while results[-1].sequence < 60:
        results.append(page.result())
    seconds = time.monotonic() - began
    sequences = [each.sequence for each in results]
    assert sequences == sorted(set(sequences))
    # At 5 frames a second, beside those that may come at once at first; at least 1.2 s, and longer on a slow machine.
    assert 5 <= sum(bool(each.image) for each in results) <= FRAMES_AT_ONCE + 5 * seconds
    assert all(each.image or "newer frame" in each.metadata["reason"] for each in results)


def test_a_session_ends_when_its_token_says_and_a_reconnect_does_not_begin_it_anew(
    open_page: OpenPage, signer: Signer
) -> None:
    token = signer.token(limits={"fps": 30, "pixels": 921600, "minutes": 1 / 60})
    page = open_page()
    page.begin(token)
    assert page.close_code() == 4003
    again = open_page()
    again.socket.send(json.dumps({"type": "hello", "version": 1, "token": token, "identity": "p1"}))
    assert again.close_code() == 4003


def test_a_picture_of_too_many_pixels_is_refused_by_its_header(
    open_page: OpenPage, signer: Signer, predictor: PredictionServer
) -> None:
    page = open_page()
    assert page.begin(signer.token(limits={"pixels": 640 * 480}))["limits"]["pixels"] == 640 * 480
    before = predictor.seen()["frames"]
    result = page.swap(png_of(30_000, 30_000))
    assert (result.flags, result.image) == (Flag.HELD, b"")
    assert page.texts[-1]["code"] == "too_many_pixels"
    assert page.texts[-1]["sequence"] == result.sequence
    assert predictor.seen()["frames"] == before
    assert page.swap(png_of(640, 480)).image


def test_an_empty_picture_and_a_stale_sequence_are_told_and_the_session_lives(
    open_page: OpenPage, signer: Signer
) -> None:
    page = open_page()
    page.begin(signer.token())
    assert page.swap(b"").flags == Flag.HELD
    assert page.texts[-1]["code"] == "empty_picture"
    page.send(sequence=1)
    error = page.text("error")
    assert (error["code"], error["sequence"], error["fatal"]) == ("stale_sequence", 1, False)
    page.sequence = 5
    assert page.swap(JPEG).sequence == 6


def test_a_token_expires_mid_session(open_page: OpenPage, signer: Signer) -> None:
    page = open_page()
    page.begin(signer.token(seconds=2))
    assert page.swap().image
    assert page.close_code() == 1008
    assert "expired" in page.texts[-1]["reason"]


def test_no_frame_is_taken_after_the_token_expired(
    start_relay: StartRelay, start_predictor: Callable[[], PredictionServer], signer: Signer
) -> None:
    predictor = start_predictor()
    relay = start_relay(predictor, stats_seconds=30)  # so that the frame finds out, and not the clock
    with Page(relay.address) as page:
        page.begin(token := signer.token(seconds=2))
        wait_until_expired(token)
        page.send()
        assert page.close_code() == 1008
    assert predictor.seen()["frames"] == 0


def test_a_renewed_token_keeps_the_session(open_page: OpenPage, signer: Signer) -> None:
    session = "ab" * 16
    page = open_page()
    page.begin(first := signer.token(seconds=4, sub=session))
    for bad in (signer.token(), signer.token(seconds=1, sub=session), Signer().token(sub=session), "nonsense"):
        page.socket.send(json.dumps({"type": "renew", "token": bad}))
        assert page.text("error")["code"] == "bad_renewal"
    page.socket.send(json.dumps({"type": "renew", "token": signer.token(seconds=300, sub=session)}))
    assert page.text("renewed")["expires"] > time.time() + 200
    wait_until_expired(first)
    assert page.swap().image


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "options", "identity": "p7", "options": {}}, "identity_not_allowed"),
        ({"type": "options", "identity": "p2", "options": {"labels": False}}, "bad_options"),
        ({"type": "options", "identity": "p2", "options": {"quality": 200}}, "bad_options"),
        ({"type": "dance"}, "unknown_message"),
    ],
)
def test_bad_control_messages_change_nothing(
    open_page: OpenPage, signer: Signer, message: dict[str, object], code: str
) -> None:
    page = open_page()
    page.begin(signer.token())
    page.socket.send(json.dumps(message))
    error = page.text("error")
    assert (error["code"], error["fatal"]) == (code, False)
    assert page.swap().metadata["identity"] == "p1"


def test_an_identity_that_the_token_does_not_name_closes_at_the_hello(open_page: OpenPage, signer: Signer) -> None:
    page = open_page()
    page.socket.send(json.dumps({"type": "hello", "version": 1, "token": signer.token(), "identity": "p7"}))
    assert page.close_code() == 1008
    assert page.texts[-2]["code"] == "identity_not_allowed"
