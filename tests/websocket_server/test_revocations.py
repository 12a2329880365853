"""The feed of revocations: followed over real HTTP, checked, and acted on within a frame."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from errors import BadToken, Revoked
from protocol import Flag
from revocations import Revocations
from tests.websocket_server.page import Page, Signer, hello
from tests.websocket_server.servers import PredictionServer, RelayServer, get, wait_until
from tokens import TokenVerifier

StartRelay = Callable[..., RelayServer]


class Feed:
    """client_app's end of the feed, as the contract has it: at once when there is something, else after the wait."""

    def __init__(self, signer: Signer) -> None:
        self.signer = signer
        self.entries: list[dict[str, Any]] = []
        self.polls: list[int] = []
        self.longest_wait = 5.0
        self.changed = threading.Condition()
        feed = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                body = json.dumps({"feed": feed.answer(int(query["after"][0]), float(query["wait"][0]))}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):  # a relay that stopped meanwhile
                    self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def answer(self, after: int, wait: float) -> str:
        with self.changed:
            self.polls.append(after)
            self.changed.wait_for(lambda: len(self.entries) > after, min(wait, self.longest_wait))
            return self.signer.feed(len(self.entries), self.entries[after:])

    def revoke(self, kind: str, id_: str) -> float:
        with self.changed:
            cursor = len(self.entries) + 1
            self.entries.append({"cursor": cursor, "kind": kind, "id": id_, "at": int(time.time())})
            self.changed.notify_all()
        return time.monotonic()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


@pytest.fixture
def feed(signer: Signer) -> Iterator[Feed]:
    feed = Feed(signer)
    yield feed
    feed.close()


def test_a_revoked_identity_stops_at_once_and_stays_revoked(
    start_relay: StartRelay, predictor: PredictionServer, signer: Signer, feed: Feed
) -> None:
    relay = start_relay(predictor, client_url=feed.url)
    wait_until(lambda: bool(feed.polls), 5)
    with Page(relay.address) as page, Page(relay.address) as other:
        page.begin(signer.token(), "p1")
        other.begin(signer.token(), "p2")
        assert page.swap().image
        at = feed.revoke("identity", "p1")
        assert page.close_code() == 4008
        assert time.monotonic() - at < 1
        assert page.texts[-1]["type"] == "bye"
        assert other.swap().image
        other.socket.send(json.dumps({"type": "options", "identity": "p1", "options": {}}))
        assert other.text("error")["code"] == "revoked"
        assert other.swap().metadata["identity"] == "p2"
    with Page(relay.address) as again:
        again.socket.send(hello(signer.token(), "p1"))
        assert again.close_code() == 4008


@pytest.mark.parametrize("by", ["hello", "options"])
def test_a_revoked_identity_of_one_face_stops_the_session_before_another_frame(
    start_relay: StartRelay, start_predictor: Callable[[], PredictionServer], signer: Signer, feed: Feed, by: str
) -> None:
    predictor = start_predictor()
    relay = start_relay(predictor, client_url=feed.url)
    wait_until(lambda: bool(feed.polls), 5)
    with Page(relay.address) as page:
        begin = json.loads(hello(signer.token(), "p1"))
        if by == "hello":
            page.socket.send(json.dumps({**begin, "identities": {"2": "p2"}}))
            page.text("ready")
        else:
            page.begin(signer.token(), "p1")
            page.socket.send(json.dumps({"type": "options", "identity": "p1", "identities": {"2": "p2"}}))
        assert page.swap().flags == Flag.SWAPPED
        assert predictor.seen()["instance"]["options"] == {"identity": "p1", "identities": {"2": "p2"}}
        shown = relay.metric('faceswap_relay_frames_total{what="out"}')
        predictor.control("ok", seconds=0.5)
        page.send()
        time.sleep(0.2)  # the frame is under way
        at = feed.revoke("identity", "p2")
        assert page.close_code() == 4008
        assert time.monotonic() - at < 1
        assert relay.metric('faceswap_relay_frames_total{what="out"}') == shown
    with Page(relay.address) as again:
        again.begin(signer.token(), "p1")
        again.socket.send(json.dumps({"type": "options", "identity": "p1", "identities": {"4": "p2"}}))
        assert again.text("error")["code"] == "revoked"
        again.swap()
        assert "identities" not in predictor.seen()["instance"]["options"]


def test_no_result_follows_a_revocation_even_of_a_frame_under_way(
    start_relay: StartRelay, start_predictor: Callable[[], PredictionServer], signer: Signer, feed: Feed
) -> None:
    predictor = start_predictor()
    predictor.control("ok", seconds=0.5)
    relay = start_relay(predictor, client_url=feed.url)
    wait_until(lambda: bool(feed.polls), 5)
    with Page(relay.address) as page:
        page.begin(signer.token())
        page.send()
        time.sleep(0.2)
        feed.revoke("identity", "p1")
        assert page.close_code() == 4008
    assert relay.metric('faceswap_relay_frames_total{what="out"}') == 0


def test_a_revoked_session_stops(
    start_relay: StartRelay, predictor: PredictionServer, signer: Signer, feed: Feed
) -> None:
    relay = start_relay(predictor, client_url=feed.url)
    with Page(relay.address) as page:
        page.begin(signer.token(sub="cd" * 16))
        feed.revoke("session", "cd" * 16)
        assert page.close_code() == 4008


def test_what_was_revoked_before_the_relay_started_is_learnt(
    start_relay: StartRelay, predictor: PredictionServer, signer: Signer, feed: Feed
) -> None:
    feed.revoke("identity", "p1")
    relay = start_relay(predictor, client_url=feed.url)
    wait_until(lambda: 1 in feed.polls, 5)
    with Page(relay.address) as page:
        page.socket.send(hello(signer.token(), "p1"))
        assert page.close_code() == 4008


def test_14_a_running_session_outlives_the_feed(
    start_relay: StartRelay, predictor: PredictionServer, signer: Signer, feed: Feed
) -> None:
    feed.longest_wait = 0.1
    relay = start_relay(predictor, client_url=feed.url)
    wait_until(lambda: bool(feed.polls), 5)
    with Page(relay.address) as page:
        page.begin(signer.token())
        feed.server.shutdown()
        feed.server.server_close()
        wait_until(lambda: json.loads(get(f"{relay.url}/readyz")[1])["revocations"] == "not reached", 10)
        assert page.swap().flags == Flag.SWAPPED


def test_a_feed_that_does_not_wait_is_not_asked_without_end(
    start_relay: StartRelay, predictor: PredictionServer, signer: Signer, feed: Feed
) -> None:
    feed.longest_wait = 0.0
    start_relay(predictor, client_url=feed.url)
    wait_until(lambda: bool(feed.polls), 5)
    before = len(feed.polls)
    time.sleep(1.5)
    assert 0 < len(feed.polls) - before < 10
    feed.revoke("session", "ab" * 16)
    wait_until(lambda: feed.polls[-1] == 1, 2)


def test_a_feed_of_another_key_is_not_believed(signer: Signer) -> None:
    revocations = Revocations(TokenVerifier(signer.verify_key))
    entry = {"cursor": 1, "kind": "identity", "id": "p1", "at": 0}
    for forged in (Signer().feed(1, [entry]), signer.token(), "nonsense", signer.feed(1, [{"kind": "all"}])):
        with pytest.raises(BadToken):
            revocations.apply(forged)
    revocations.check("session", ["p2", "p1"])
    assert revocations.apply(signer.feed(1, [entry])) == [("identity", "p1")]
    assert revocations.apply(signer.feed(1, [entry])) == []
    with pytest.raises(Revoked):
        revocations.check("session", ["p2", "p1"])
