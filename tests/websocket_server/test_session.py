"""A session over a real WebSocket: hello, frames, control messages, and what ends it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from protocol import Flag
from tests.websocket_server.page import JPEG, Page, Signer, hello
from tests.websocket_server.prediction_server import SWAPPED
from tests.websocket_server.servers import PredictionServer, wait_until

OpenPage = Callable[[], Page]


def test_a_frame_comes_back_swapped(open_page: OpenPage, signer: Signer) -> None:
    page = open_page()
    ready = page.begin(signer.token(sub="0123456789abcdef" * 2))
    assert ready["session"] == "0123456789abcdef" * 2
    assert (ready["identity"], ready["window"], ready["limits"]["fps"]) == ("p1", 2, 30)
    result = page.swap()
    assert result.sequence == 1
    assert result.flags == Flag.SWAPPED
    assert result.image == JPEG + SWAPPED
    assert result.metadata["identity"] == "p1"
    assert result.metadata["swapped"] is True
    assert {"decode", "swap", "relay.queue", "relay.predict"} <= result.metadata["timings_ms"].keys()


def test_identity_options_track_token_and_trace_reach_the_prediction_service(
    open_page: OpenPage, signer: Signer, predictor: PredictionServer
) -> None:
    page = open_page()
    token = signer.token(sub="fedcba9876543210" * 2)
    page.begin(token, "p1", quality=70)
    page.swap()
    first = predictor.seen()
    assert first["instance"]["options"] == {"quality": 70, "identity": "p1"}
    assert (first["instance"]["session"], first["instance"]["track"]) == (token, None)
    page.socket.send(json.dumps({"type": "options", "identity": "p2", "options": {"on_failure": "hold"}}))
    result = page.swap()
    second = predictor.seen()
    assert second["instance"]["options"] == {"on_failure": "hold", "identity": "p2"}
    assert second["instance"]["track"] == {"frame": first["frames"]}
    assert result.metadata["identity"] == "p2"
    assert result.metadata["trace"] == "fedcba9876543210fedcba98" + "00000002"
    assert result.metadata["trace"] in second["traceparent"]


def test_faces_get_identities_of_their_own_and_change_them_while_it_runs(
    open_page: OpenPage, signer: Signer, predictor: PredictionServer
) -> None:
    page = open_page()
    page.socket.send(json.dumps({**json.loads(hello(signer.token(), "p1")), "identities": {"1": "p2", "3": "p1"}}))
    page.text("ready")
    page.swap()
    assert predictor.seen()["instance"]["options"] == {"identity": "p1", "identities": {"1": "p2", "3": "p1"}}
    page.socket.send(json.dumps({"type": "options", "identity": "p2", "identities": {"4": "p1"}, "options": {}}))
    page.swap()
    assert predictor.seen()["instance"]["options"] == {"identity": "p2", "identities": {"4": "p1"}}
    page.socket.send(json.dumps({"type": "options", "identity": "p1", "options": {}}))
    page.swap()
    assert predictor.seen()["instance"]["options"] == {"identity": "p1"}


def test_a_face_gets_no_identity_that_the_token_does_not_name(
    open_page: OpenPage, signer: Signer, predictor: PredictionServer
) -> None:
    refused = open_page()
    refused.socket.send(json.dumps({**json.loads(hello(signer.token(), "p1")), "identities": {"1": "p3"}}))
    assert refused.close_code() == 1008
    assert refused.texts[-2]["code"] == "identity_not_allowed"
    page = open_page()
    page.begin(signer.token(), "p1")
    page.socket.send(json.dumps({"type": "options", "identity": "p1", "identities": {"1": "p2", "2": "p3"}}))
    assert page.text("error")["code"] == "identity_not_allowed"
    page.swap()
    assert predictor.seen()["instance"]["options"] == {"identity": "p1"}


def test_a_renewed_token_must_still_name_every_identity_in_use(open_page: OpenPage, signer: Signer) -> None:
    page = open_page()
    session = "0123456789abcdef" * 2
    page.socket.send(json.dumps({**json.loads(hello(signer.token(sub=session), "p1")), "identities": {"2": "p2"}}))
    page.text("ready")
    later = signer.token(seconds=400, sub=session, identities={"p1": ""})
    page.socket.send(json.dumps({"type": "renew", "token": later}))
    assert page.close_code() == 1008
    assert page.texts[-2]["code"] == "identity_not_allowed"


@pytest.mark.parametrize(
    "identities", [["p1"], {"0": "p1"}, {"5": "p1"}, {"01": "p1"}, {"1": None}, {"1": ""}, {"1": "p" * 65}, "p1", None]
)
def test_identities_that_are_none_are_refused_and_nothing_changes(
    open_page: OpenPage, signer: Signer, predictor: PredictionServer, identities: object
) -> None:
    page = open_page()
    page.begin(signer.token(), "p1")
    page.socket.send(json.dumps({"type": "options", "identity": "p2", "identities": identities}))
    assert page.text("error")["code"] == "bad_options"
    page.swap()
    assert predictor.seen()["instance"]["options"] == {"identity": "p1"}


def test_a_data_url_is_answered_by_a_data_url(open_page: OpenPage, signer: Signer) -> None:
    page = open_page()
    page.begin(signer.token())
    page.socket.send("data:image/jpeg;base64," + base64.b64encode(JPEG).decode())
    answer = page.receive()
    while not isinstance(answer, str):
        answer = page.receive()
    assert answer == "data:image/jpeg;base64," + base64.b64encode(JPEG + SWAPPED).decode()


def test_stats_count_what_went_through(open_page: OpenPage, signer: Signer) -> None:
    page = open_page()
    page.begin(signer.token())
    for _ in range(3):
        page.swap()
    out, deadline = 0, time.monotonic() + 5
    while out < 3 and time.monotonic() < deadline:
        stats = page.text("stats")
        out += stats["frames_out"]
        assert stats["state"] == "ok"
        assert stats["reason"] is None
    assert out == 3
    assert wait_until(lambda: page.text("stats")["predict_ms"] is None) < 5


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ({"seconds": -1}, "expired"),
        ({"aud": "faceswap-prediction"}, "somebody else"),
        ({"iss": "somebody"}, "does not hold"),
        ({"exp": None}, "does not hold"),
        ({"sub": "short"}, "32 hex digits"),
        ({"identities": None}, "identities"),
        ({"limits": {"fps": 0}}, "fps"),
    ],
)
def test_a_token_that_does_not_hold_closes_with_1008(
    open_page: OpenPage, signer: Signer, claims: dict[str, Any], sentence: str
) -> None:
    page = open_page()
    page.socket.send(json.dumps({"type": "hello", "version": 1, "token": signer.token(**claims), "identity": "p1"}))
    assert page.close_code() == 1008
    error, bye = page.texts[-2:]
    assert (error["type"], error["code"], error["fatal"]) == ("error", "bad_token", True)
    assert sentence in error["message"]
    assert (bye["type"], bye["code"], bye["reason"]) == ("bye", 1008, error["message"])


def test_half_a_surrogate_pair_is_no_json_and_closes_with_4007(open_page: OpenPage) -> None:
    page = open_page()
    page.socket.send('{"type": "hello", "version": 1, "token": "\\ud800", "identity": "p1"}')
    assert page.close_code() == 4007


@pytest.mark.parametrize("token", ["é", "a.b.c", "\\u0000"])
def test_text_that_is_no_token_closes_with_1008(open_page: OpenPage, token: str) -> None:
    page = open_page()
    page.socket.send(f'{{"type": "hello", "version": 1, "token": "{token}", "identity": "p1"}}')
    assert page.close_code() == 1008


def test_a_token_of_another_key_closes_with_1008(open_page: OpenPage) -> None:
    page = open_page()
    page.socket.send(json.dumps({"type": "hello", "version": 1, "token": Signer().token(), "identity": "p1"}))
    assert page.close_code() == 1008
