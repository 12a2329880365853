"""Several prediction servers as one: least outstanding first, a deadline, one retry elsewhere, a circuit breaker for
each.

A frame is taken only once there is room for it (`Balancer.slot`): the newest frame waits in its session's mailbox,
where a newer one can still replace it, and not in a queue of the server.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

import gevent
from gevent import getcurrent
from gevent.event import Event

from errors import PredictionBusy, PredictionLate, PredictionRefused, PredictionUnavailable
from predictors.base import Prediction, PredictionRequest, Predictor
from predictors.breaker import Circuit, CircuitBreaker
from settings import Settings

log = logging.getLogger("relay")

MAX_WARM_IDENTITIES = 1000


class Backend:
    """One prediction server, and what is known of it."""

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        self.predictor = predictor
        self.breaker = CircuitBreaker(
            settings.breaker_failures, settings.breaker_seconds, settings.breaker_most_seconds
        )
        self.up = False
        """What the last look at it said; a predictor that cannot be asked is up."""
        self.warm: set[tuple[str, str]] = set()
        """Identities, with the engine asked for, that it has answered a frame of: those need no loading."""
        self.outstanding = 0
        self.taken = 0
        """When it was given a frame last, counted in frames of the balancer."""
        self.answered = 0
        self.failed = 0
        self.concurrency = settings.predict_concurrency

    @property
    def name(self) -> str:
        return self.predictor.name

    @property
    def circuit(self) -> Circuit:
        """The breaker's state; open too while the server says, or by its silence shows, that it is not ready."""
        return self.breaker.state(monotonic()) if self.up else Circuit.OPEN

    @property
    def has_room(self) -> bool:
        return self.up and self.outstanding < self.concurrency and self.breaker.allows(monotonic())


class Balancer:
    """Predicts frames on the backend that has the fewest under way, of several such the one that has waited longest.

    A greenlet has one frame under way at a time: that is how the breakers tell them apart.
    """

    def __init__(self, predictors: Sequence[Predictor], settings: Settings) -> None:
        self.backends = [Backend(predictor, settings) for predictor in predictors]
        self._seconds = settings.predict_seconds
        self._cold_seconds = settings.longest_predict_seconds
        self._probe_seconds = settings.probe_seconds
        self._waiting: deque[Event] = deque()
        self._taken = 0

    @property
    def available(self) -> bool:
        """Whether any backend takes frames."""
        return any(backend.circuit is not Circuit.OPEN for backend in self.backends)

    @contextmanager
    def slot(self) -> Iterator[Backend]:
        """Room for one frame, first come, first served; waits at most the deadline of one prediction.

        Raises PredictionUnavailable where no backend takes frames, or none had room in time.
        """
        backend = self._reserve()
        try:
            yield backend
        finally:
            self._release(backend)

    def _reserve(self) -> Backend:
        deadline = monotonic() + self._seconds
        must_queue = bool(self._waiting)
        while True:
            backend = None if must_queue else self._least_outstanding()
            if backend is not None:
                self._take(backend)
                return backend
            if not self.available:
                raise PredictionUnavailable("No prediction server answers. The relay keeps trying.")
            if not self._wait(deadline - monotonic()):
                raise PredictionBusy("The prediction servers are busy. The relay keeps trying.")
            must_queue = False

    def _wait(self, seconds: float) -> bool:
        """Wait for one's turn; False where it did not come in time."""
        turn = Event()
        self._waiting.append(turn)
        try:
            return bool(seconds > 0 and turn.wait(seconds))
        except BaseException:
            if turn.is_set():
                self._wake()  # killed between being woken and waking: the turn is the next one's
            raise
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _wake(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()

    def _least_outstanding(self, apart_from: Backend | None = None) -> Backend | None:
        # A half-open circuit goes first: only a frame can close it, and should it fail, another backend gets that
        # frame.
        free = [backend for backend in self.backends if backend.has_room and backend is not apart_from]
        return min(free, key=lambda each: (each.circuit is Circuit.CLOSED, each.outstanding, each.taken), default=None)

    def _take(self, backend: Backend) -> None:
        self._taken += 1
        backend.outstanding, backend.taken = backend.outstanding + 1, self._taken
        backend.breaker.begin(getcurrent(), monotonic())

    def _release(self, backend: Backend) -> None:
        backend.outstanding -= 1
        backend.breaker.let_go(getcurrent())
        self._wake()

    def predict(self, backend: Backend, request: PredictionRequest, still_newest: Callable[[], bool]) -> Prediction:
        """Have a frame predicted on `backend`; should that fail, once on another, if it is `still_newest`.

        Raises PredictionRefused (the frame's fault) or PredictionUnavailable (the servers').
        """
        try:
            return self._attempt(backend, request)
        except PredictionUnavailable:
            other = self._least_outstanding(apart_from=backend)
            if other is None or not still_newest():
                raise
        self._take(other)
        try:
            return self._attempt(other, request)
        finally:
            self._release(other)

    def _attempt(self, backend: Backend, request: PredictionRequest) -> Prediction:
        worn = _worn(request)
        seconds = self._seconds if worn <= backend.warm else self._cold_seconds
        prediction = None
        try:
            with gevent.Timeout(seconds, False):  # type: ignore[arg-type]  # False: it only ends the block
                prediction = backend.predictor.predict(request)
            if prediction is None:
                raise PredictionLate(f"No prediction within {seconds:g} s. The relay keeps trying.")
        except PredictionUnavailable as error:
            self._failed(backend, error)
            raise
        except PredictionRefused:
            self._succeeded(backend)  # it answered; the frame was at fault
            raise
        self._succeeded(backend)
        if not worn <= backend.warm:
            if len(backend.warm) >= MAX_WARM_IDENTITIES:
                backend.warm.clear()
            backend.warm |= worn
        return prediction

    def _succeeded(self, backend: Backend) -> None:
        if backend.circuit is not Circuit.CLOSED:
            log.info("prediction server %s answers again", backend.name)
        backend.answered += 1
        backend.breaker.succeed()

    def _failed(self, backend: Backend, error: PredictionUnavailable) -> None:
        before = backend.circuit
        backend.failed += 1
        backend.breaker.fail(getcurrent(), monotonic())
        if before is not Circuit.OPEN and backend.circuit is Circuit.OPEN:
            log.warning("prediction server %s fails; left alone for a while: %s", backend.name, error)

    def probe_forever(self, backend: Backend) -> None:
        """Look at `/readyz` again and again: a server that is down is found before a frame finds it, and one that is
        back gets its trial frame at once."""
        while True:
            answered = backend.answered
            # A server busy with frames may be slow to say that it is ready; that it answers them says so too.
            up = backend.predictor.ready() or backend.answered > answered
            if up is not backend.up:
                backend.up = up
                backend.warm.clear()  # what went down comes back without what it had loaded
                log.log(
                    logging.INFO if up else logging.WARNING,
                    "prediction server %s is %s",
                    backend.name,
                    "ready" if up else "not ready",
                )
                if up:
                    backend.breaker.may_try_soon(monotonic())
                    self._wake()
            gevent.sleep(self._probe_seconds)


def _worn(request: PredictionRequest) -> set[tuple[str, str]]:
    """What the frame needs loaded: each identity that one of its faces may get, with the engine asked for."""
    engine = str(request.options.get("engine") or "")
    return {(identity, engine) for identity in (request.identity, *request.identities.values())}
