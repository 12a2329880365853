"""A circuit breaker: leave a server that fails alone for a while, then try it with one frame.

After M. Nygard, "Release It!", and https://martinfowler.com/bliki/CircuitBreaker.html. No clock: the time is an
argument.
"""

from __future__ import annotations

import enum


class Circuit(enum.Enum):
    """States; the numbers are what /metrics shows."""

    CLOSED = 0
    """Frames flow."""
    HALF_OPEN = 1
    """One frame may try."""
    OPEN = 2
    """No frame goes there."""


class CircuitBreaker:
    """Opens after `failures` in a row, for `seconds` that double with each failed trial up to `most_seconds`.

    A `frame` is whatever tells the frames under way apart.
    """

    def __init__(self, failures: int, seconds: float, most_seconds: float) -> None:
        self._most_failures = failures
        self._least_seconds, self._most_seconds = seconds, most_seconds
        self._failures = 0
        self._seconds = seconds
        self._open_until: float | None = None
        self._trial: object = None
        """The frame that tries; None while none does."""

    def state(self, now: float) -> Circuit:
        """What it lets pass at `now`."""
        if self._open_until is None:
            return Circuit.CLOSED
        return Circuit.OPEN if now < self._open_until else Circuit.HALF_OPEN

    def allows(self, now: float) -> bool:
        """Whether a frame may go there now."""
        state = self.state(now)
        return state is Circuit.CLOSED or (state is Circuit.HALF_OPEN and self._trial is None)

    def begin(self, frame: object, now: float) -> None:
        """`frame` goes there: where half open, it is the one that tries."""
        if self.state(now) is Circuit.HALF_OPEN:
            self._trial = frame

    def succeed(self) -> None:
        """It was answered: closed again."""
        self._failures = 0
        self._seconds = self._least_seconds
        self._open_until = None
        self._trial = None

    def fail(self, frame: object, now: float) -> None:
        """`frame` was not."""
        tried = self._trial is frame
        self.let_go(frame)
        if not tried and self.state(now) is not Circuit.CLOSED:
            return  # frames that were under way when it opened say nothing new
        self._failures += 1
        if tried:
            self._seconds = min(2 * self._seconds, self._most_seconds)
        if tried or self._failures >= self._most_failures:
            self._open_until = now + self._seconds

    def let_go(self, frame: object) -> None:
        """`frame` is over, or given up for reasons of its own; nothing was learnt."""
        if self._trial is frame:
            self._trial = None

    def may_try_soon(self, now: float) -> None:
        """The server says it is well: an open circuit becomes half open at once."""
        if self._open_until is not None:
            self._open_until = min(self._open_until, now)
