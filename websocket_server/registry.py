"""Who is here: sessions by address and by token, and the limits on both. Of one worker process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from errors import Overloaded, RelayError, TooManySessions
from protocol import RateLimit
from settings import Settings
from tokens import SessionToken

MAX_REMEMBERED_TOKENS = 10_000
FRAMES_AT_ONCE = 3.0
"""A camera's frames come unevenly: so many may come early before the pace of `fps` holds them back."""


class Admitted(Protocol):
    """What the registry knows of a session."""

    def end(self, error: RelayError) -> None: ...

    def revoked(self, kind: str, id_: str) -> None: ...


@dataclass(slots=True)
class TokenUse:
    """What the sessions of one token share. A token's `sub` outlives its renewals and a page's reconnects."""

    pace: RateLimit
    """Of the frames sent to prediction."""
    began: float
    sessions: list[Admitted] = field(default_factory=list)
    """Oldest first."""


class Registry:
    """Counts sessions. Everything in it is bounded by the limits it keeps."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._by_address: Counter[str] = Counter()
        self._by_token: dict[str, TokenUse] = {}
        self.sessions: set[Admitted] = set()

    @property
    def has_room(self) -> bool:
        """Whether another session fits."""
        return len(self.sessions) < self._settings.sessions

    @contextmanager
    def admit(self, session: Admitted, address: str) -> Iterator[None]:
        """Count `session` from `address` while the block runs. Raises Overloaded or TooManySessions."""
        if not self.has_room:
            raise Overloaded("This server has as many sessions as it can hold. Try again in a while.")
        if self._by_address[address] >= self._settings.sessions_per_address:
            raise TooManySessions(
                f"Expected at most {self._settings.sessions_per_address} sessions from one address. Close another page."
            )
        self.sessions.add(session)
        self._by_address[address] += 1
        try:
            yield
        finally:
            self.sessions.discard(session)
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    @contextmanager
    def use_token(self, session: Admitted, token: SessionToken, now: float) -> Iterator[TokenUse]:
        """Count `session` with `token` while the block runs.

        Where there are too many, the oldest ends: a page whose line was cut connects again before anybody here knows.
        """
        self._forget(now)
        use = self._by_token.get(token.session)
        if use is None:
            fps = min(self._settings.fps, token.fps or self._settings.fps)
            use = self._by_token[token.session] = TokenUse(RateLimit(fps, FRAMES_AT_ONCE), now)
        while len(use.sessions) >= self._settings.sessions_per_token:
            most = self._settings.sessions_per_token
            sentence = f"Expected at most {most} sessions with one token. This one has been continued elsewhere."
            use.sessions.pop(0).end(TooManySessions(sentence))
        use.sessions.append(session)
        try:
            yield use
        finally:
            with suppress(ValueError):  # it had to make room
                use.sessions.remove(session)

    def _forget(self, now: float) -> None:
        """Drop tokens that no session uses: after the longest session, or the oldest where they are too many."""
        if len(self._by_token) < MAX_REMEMBERED_TOKENS:
            return
        unused = [session for session, use in self._by_token.items() if not use.sessions]
        old = [each for each in unused if now - self._by_token[each].began > self._settings.session_seconds]
        for session in old or unused[: len(unused) // 2]:
            del self._by_token[session]
