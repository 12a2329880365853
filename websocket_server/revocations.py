"""Revocations: client_app's signed feed, followed by long poll.

A relay that cannot reach the feed goes on: its sessions end with their tokens, within minutes, and client_app renews
none that is revoked.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from time import monotonic
from urllib.parse import urlsplit

import gevent

from errors import BadToken, Revoked
from messages import decode_json
from tokens import TokenVerifier

log = logging.getLogger("relay")

AUDIENCE = "faceswap-revocations"
FEED_PATH = "/revocations"
WAIT_SECONDS = 25
POLL_SECONDS = WAIT_SECONDS + 10
"""Longest time of one poll: an answer that never ends must not hold up what is revoked after it."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
FAILURES_TO_TELL = 3
"""In a row, before it is logged that the feed was never reached: services that start together wait for each other."""
SHORTEST_POLL_SECONDS = 0.25
"""A client_app whose places to wait are taken answers at once, with nothing: it must not be asked without end."""
MAX_ANSWER_BYTES = 4 << 20
MAX_ENTRIES = 200_000
KINDS = ("identity", "session")


class Revocations:
    """What has been revoked. An id once revoked is not served again by this process; a new consent wants a new id."""

    def __init__(self, tokens: TokenVerifier) -> None:
        self._tokens = tokens
        self._revoked: dict[tuple[str, str], None] = {}
        self.cursor = 0
        self.connected = False

    def check(self, session: str, identities: Iterable[str]) -> None:
        """Raises Revoked where the session or one of the identities is."""
        for kind, id_ in (("session", session), *(("identity", identity) for identity in identities)):
            if (kind, id_) in self._revoked:
                raise Revoked(f"This {kind} has been revoked.")

    def apply(self, feed: str) -> list[tuple[str, str]]:
        """Take in one answer of the feed, a JWT; what is new in it, as (kind, id). Raises BadToken."""
        claims = self._tokens.claims(feed, AUDIENCE)
        cursor, entries = claims.get("cursor"), claims.get("entries")
        if not isinstance(cursor, int) or not isinstance(entries, list):
            raise BadToken("Expected cursor and entries in the feed of revocations.")
        new = []
        for entry in entries:
            kind, id_ = (entry.get("kind"), entry.get("id")) if isinstance(entry, dict) else (None, None)
            if kind not in KINDS or not isinstance(id_, str):
                raise BadToken("Expected entries of the feed to name an identity or a session.")
            if (kind, id_) not in self._revoked:
                new.append((kind, id_))
        for each in new:
            self._revoked[each] = None
        while len(self._revoked) > MAX_ENTRIES:  # the oldest: tokens that named it have long expired
            del self._revoked[next(iter(self._revoked))]
        self.cursor = max(self.cursor, cursor)
        return new

    def follow_forever(self, client_url: str, on_revoked: Callable[[str, str], None]) -> None:
        """Long-poll `client_url`; call `on_revoked(kind, id)` for everything new."""
        pause, failed = FIRST_PAUSE_SECONDS, 0
        while True:
            try:
                began = monotonic()
                with gevent.Timeout(POLL_SECONDS, TimeoutError("no answer in time")):
                    # Nothing is waited for at first: whether the feed can be followed shows in the answer.
                    feed = _poll(client_url, self.cursor, WAIT_SECONDS if self.connected else 0)
                new = self.apply(feed)
                for kind, id_ in new:
                    on_revoked(kind, id_)
                if not self.connected:
                    log.info("following the feed of revocations")
                self.connected, pause, failed = True, FIRST_PAUSE_SECONDS, 0
                gevent.sleep(0 if new else max(0.0, began + SHORTEST_POLL_SECONDS - monotonic()))
            except (OSError, HTTPException, ValueError, KeyError, BadToken) as error:
                failed += 1
                if self.connected or failed == FAILURES_TO_TELL:
                    reason = str(error) if isinstance(error, HTTPException) else type(error).__name__
                    log.warning("cannot follow the feed of revocations (%s); trying again", reason)
                self.connected = False
                # Jitter: relays that lost one client_app must not come back to it in step.
                gevent.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _poll(client_url: str, cursor: int, wait: int) -> str:
    """One poll, answered within `wait` seconds. Raises OSError, HTTPException, ValueError or KeyError."""
    parts = urlsplit(client_url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=POLL_SECONDS)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}{FEED_PATH}?after={cursor}&wait={wait}")
        response = connection.getresponse()
        body = response.read(MAX_ANSWER_BYTES)
        if response.status != 200:
            raise HTTPException(f"the feed answered {response.status}")
        feed = decode_json(body.decode())["feed"]
        if not isinstance(feed, str):
            raise ValueError("expected a text")
        return feed
    finally:
        connection.close()
