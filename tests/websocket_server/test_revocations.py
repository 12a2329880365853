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
from revocations import FAILURES_TO_TELL, Revocations
from tests.websocket_server.page import Page, Signer, hello
from tests.websocket_server.servers import PredictionServer, RelayServer, get, wait_until
from tokens import TokenVerifier

StartRelay = Callable[..., RelayServer]

AT_ONCE_SECONDS = 10.0
"""For what does not wait for the next poll, which may be 25 s away, on a machine that is busy."""
UNDER_WAY_SECONDS = 3.0
"""What a prediction takes during which something is revoked."""


class Feed:
    """client_app's end of the feed, as the contract has it: at once when there is something, else after the wait."""

    def __init__(self, signer: Signer) -> None:
        self.signer = signer
        self.entries: list[dict[str, Any]] = []
        self.polls: list[int] = []
        self.elsewhere = 0
        """How often something else was asked for than the feed."""
        self.longest_wait = 60.0
        self.changed = threading.Condition()
        feed = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                if not self.path.startswith("/revocations"):
                    feed.elsewhere += 1
                    self.send_response(301)
                    self.end_headers()
                    return
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
    wait_until(lambda: bool(feed.polls))
    with Page(relay.address) as page, Page(relay.address) as other:
        page.begin(signer.token(), "p1")
        other.begin(signer.token(), "p2")
        assert page.swap().image
        at = feed.revoke("identity", "p1")
        assert page.close_code() == 4008
        assert time.monotonic() - at < AT_ONCE_SECONDS
        assert page.texts[-1]["type"] == "bye"
        assert other.swap().image
        other.socket.send(json.dumps({"type": "options", "identity": "p1", "options": {}}))
        assert other.text("error")["code"] == "revoked"
        assert other.swap().metadata["identity"] == "p2"
    with Page(relay.address) as again:
        again.socket.send(hello(signer.token(), "p1"))
        assert again.close_code() == 4008


def test_that_the_feed_is_followed_shows_before_anything_is_revoked(
    start_relay: StartRelay, predictor: PredictionServer, feed: Feed
) -> None:
    feed.longest_wait = 60.0
    relay = start_relay(predictor, client_url=feed.url)
    wait_until(lambda: json.loads(get(f"{relay.url}/readyz")[1])["revocations"] == "following")


@pytest.mark.parametrize("by", ["hello", "options"])
def test_a_revoked_identity_of_one_face_stops_the_session_before_another_frame(
    start_relay: StartRelay, start_predictor: Callable[[], PredictionServer], signer: Signer, feed: Feed, by: str
) -> None:
    predictor = start_predictor()
    relay = start_relay(predictor, client_url=feed.url)
    wait_until(lambda: bool(feed.polls))
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
        predictor.control("ok", seconds=UNDER_WAY_SECONDS)
        seen = predictor.seen()["frames"]
        page.send()
        wait_until(lambda: predictor.seen()["frames"] > seen, what="the frame under way")
        at = feed.revoke("identity", "p2")
        assert page.close_code() == 4008
        assert time.monotonic() - at < AT_ONCE_SECONDS
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
    predictor.control("ok", seconds=UNDER_WAY_SECONDS)
    relay = start_relay(predictor, client_url=feed.url)
    wait_until(lambda: bool(feed.polls))
    with Page(relay.address) as page:
        page.begin(signer.token())
        page.send()
        wait_until(lambda: predictor.seen()["frames"] == 1, what="the frame under way")
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
    wait_until(lambda: 1 in feed.polls)
    with Page(relay.address) as page:
        page.socket.send(hello(signer.token(), "p1"))
        assert page.close_code() == 4008


def test_14_a_running_session_outlives_the_feed(
    start_relay: StartRelay, predictor: PredictionServer, signer: Signer, feed: Feed
) -> None:
    feed.longest_wait = 0.1
    relay = start_relay(predictor, client_url=feed.url)
    wait_until(lambda: bool(feed.polls))
    with Page(relay.address) as page:
        page.begin(signer.token())
        feed.server.shutdown()
        feed.server.server_close()
        wait_until(lambda: json.loads(get(f"{relay.url}/readyz")[1])["revocations"] == "not reached")
        assert page.swap().flags == Flag.SWAPPED


def test_a_feed_that_does_not_wait_is_not_asked_without_end(
    start_relay: StartRelay, predictor: PredictionServer, signer: Signer, feed: Feed
) -> None:
    feed.longest_wait = 0.0
    start_relay(predictor, client_url=feed.url)
    wait_until(lambda: bool(feed.polls))
    before = len(feed.polls)
    seconds = wait_until(lambda: len(feed.polls) >= before + 6, what="the sixth poll")
    assert seconds > 1, "a quarter of a second lies between two"
    feed.revoke("session", "ab" * 16)
    wait_until(lambda: feed.polls[-1] == 1)


def test_a_feed_that_was_never_reached_is_told_once(
    start_relay: StartRelay, predictor: PredictionServer, feed: Feed
) -> None:
    relay = start_relay(predictor, client_url=f"{feed.url}/nowhere")
    told = "cannot follow the feed of revocations (the feed answered 301); trying again"
    assert relay.log is not None
    wait_until(lambda: feed.elsewhere > FAILURES_TO_TELL + 1, what="more than one failure after it was told")
    assert relay.log.read_text(encoding="utf-8").count(told) == 1


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
