"""One browser session: receive → newest frame → predict → send.

Four greenlets: one receives, one predicts and sends results, one looks at the clock, and the one that serves the
connection waits for the first reason to end and closes. No failure shows a picture that the prediction tier did not
answer with: a frame that cannot be predicted is answered by a `held` result without one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import AsyncResult, Event

import replies
from connection import Connection
from errors import (
    BadRenewal,
    BadToken,
    EmptyPicture,
    Fatal,
    GoingAway,
    Held,
    IdentityNotAllowed,
    Internal,
    NotFatal,
    PeerGone,
    PredictionRefused,
    RelayError,
    Revoked,
    SessionOver,
    TooManyPixels,
)
from messages import Hello, Options, Renew, encode_data_url
from pictures import picture_size
from predictors.balancer import Backend
from predictors.base import PredictionRequest
from protocol import Frame, Mailbox, Stream, StreamLimits, encode_result
from registry import TokenUse
from replies import Answer, Counts, Trouble, held, trace_id
from tokens import SessionToken

if TYPE_CHECKING:
    from relay import Relay

log = logging.getLogger("relay")

LATEST_CAPTURE_US = (1 << 63) - 1
"""The prediction contract takes no later one."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A frame in the mailbox."""

    frame: Frame
    since: float
    fault: NotFatal | None = None
    """What the page has been told is wrong with it; it still wants a result, for its credit."""


class Session:
    """One connection, from its upgrade to its close."""

    def __init__(self, relay: Relay, connection: Connection, address: str) -> None:
        self._relay = relay
        self._settings = relay.settings
        self._connection = connection
        self._address = address
        limits = StreamLimits(
            self._settings.hello_seconds, self._settings.idle_seconds, self._settings.messages_per_second
        )
        self._stream = Stream(limits, monotonic())
        self._mailbox: Mailbox[Waiting] = Mailbox()
        self._arrived = Event()
        self._ended: AsyncResult[RelayError] = AsyncResult()
        self._claims = ExitStack()
        self._token: SessionToken | None = None
        self._token_text = ""
        self._use: TokenUse | None = None
        self._pixels = self._settings.pixels
        self._options = Options("", {}, {})
        self._track: Any = None
        self._counts = Counts()
        self._predicting = False
        self._trouble: Trouble | None = None
        """Why the session is degraded; None while it is not."""

    # --- beginning and end

    def run(self) -> None:
        """Serve the connection until it ends. Never raises for what a page or a prediction server did."""
        try:
            with self._claims:
                self._claims.enter_context(self._relay.registry.admit(self, self._address))
                self._serve()
        except Fatal as error:
            self._close(error)  # not admitted
        finally:
            self._stream.close()
            self._connection.finish()

    def _serve(self) -> None:
        works = (self._receive_forever, self._predict_forever, self._watch_forever)
        greenlets = [self._relay.greenlets.spawn(self._guard, work) for work in works]
        try:
            self._close(self._ended.get() or Internal("The relay failed. Reconnect."))
        finally:
            # After the close frame, not before: a greenlet killed while it sends leaves half a message behind.
            gevent.killall(greenlets)

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except RelayError as error:
            self.end(error)
        except Exception as error:
            # The kind and the place only: a message could hold what a page sent.
            log.error("session failed: %s at %s", type(error).__name__, _place(error))
            self.end(Internal("The relay failed. Reconnect."))

    def end(self, error: RelayError) -> None:
        """End the session, for the first reason given. Returns at once; callable from any greenlet."""
        if not self._ended.ready():
            # Its traceback leads back here: a circle that would keep the session, with its last frame, in memory.
            error.__traceback__ = error.__context__ = None
            self._ended.set(error)

    def _close(self, error: RelayError) -> None:
        self._relay.metrics.session_ended(error)
        if error.close_code is None:
            return
        bye = replies.bye(error)
        farewells = [bye] if isinstance(error, GoingAway) else [replies.error(error, fatal=True), bye]
        self._connection.close(error.close_code, str(error), farewells)

    def _tell(self, error: RelayError, sequence: int | None = None) -> None:
        """Tell the page of something that does not end the session."""
        self._relay.metrics.errors.labels(error.code if not isinstance(error, PredictionRefused) else "refused").inc()
        self._connection.send(replies.error(error, sequence))

    # --- receiving

    def _receive_forever(self) -> None:
        while True:
            message = self._connection.receive()
            try:
                self._take(self._stream.receive(message, monotonic()))
            except NotFatal as error:
                self._tell(error, error.sequence)

    def _take(self, message: Hello | Options | Renew | Frame) -> None:
        match message:
            case Frame():
                self._take_frame(message)
            case Hello():
                self._begin(message)
            case Options():
                self._change(message)
            case Renew():
                self._renew(message.token)

    def _begin(self, hello: Hello) -> None:
        token = self._relay.tokens.session(hello.token)
        self._check_identities(token, hello.options)
        now = monotonic()
        self._use = self._claims.enter_context(self._relay.registry.use_token(self, token, now))
        longest = min(self._settings.session_seconds, token.seconds or self._settings.session_seconds)
        left = self._use.began + longest - now
        if left <= 0:
            raise SessionOver("The session has lasted as long as its token allows. Start another.")
        self._token, self._token_text = token, hello.token
        self._options = hello.options
        self._pixels = min(self._settings.pixels, token.pixels or self._settings.pixels)
        self._stream.accept(now, left)
        fps = self._use.pace.rate
        self._connection.send(replies.ready(token, hello.options.identity, self._settings, self._pixels, fps, left))

    def _check_identities(self, token: SessionToken, options: Options) -> None:
        """Raises IdentityNotAllowed, or Revoked, where a face might get an identity that it may not."""
        if not options.worn <= token.identities.keys():
            raise IdentityNotAllowed("The session token does not name this identity. Choose one that it names.")
        self._relay.revocations.check(token.session, options.worn)

    def _change(self, options: Options) -> None:
        try:
            self._check_identities(self._checked_token(), options)
        except (IdentityNotAllowed, Revoked) as error:
            self._tell(error)
            return
        self._options = options

    def _renew(self, text: str) -> None:
        current = self._checked_token()
        try:
            token = self._relay.tokens.session(text)
        except BadToken as error:
            raise BadRenewal(str(error)) from None
        if token.session != current.session or token.expires <= current.expires:
            raise BadRenewal("Expected a token for this session that expires later than the last.")
        if not self._options.worn <= token.identities.keys():
            raise IdentityNotAllowed("The renewed token no longer names an identity in use.")
        self._token, self._token_text = token, text
        self._connection.send(replies.renewed(token))

    def _take_frame(self, frame: Frame) -> None:
        self._checked_token()
        self._relay.metrics.frames_in.inc()
        self._counts.frames_in += 1
        fault = self._fault(frame)
        if fault is not None:
            self._tell(fault, frame.sequence)
        replaced = self._mailbox.put(Waiting(frame, monotonic(), fault))
        self._arrived.set()
        if replaced is not None:
            self._drop(replaced.frame)

    def _drop(self, frame: Frame) -> None:
        """Count a frame that a newer one replaced, and give the page its credit back.

        Otherwise the page would wait, with its window full, while the frame in the mailbox ages. Not while an older
        frame is being predicted: this result would overtake it, and the page would not draw that one.
        """
        self._relay.metrics.frames_dropped.inc()
        self._counts.dropped += 1
        if not self._predicting and not frame.as_data_url:
            self._send_result(
                frame, held("A newer frame came before there was room for this one.", self._options.identity)
            )

    def _fault(self, frame: Frame) -> NotFatal | None:
        if not frame.image:
            return EmptyPicture("Expected a picture after the header; received none.")
        width, height = picture_size(frame.image) or (0, 0)
        if width * height > self._pixels:
            return TooManyPixels(
                f"Expected at most {self._pixels} pixels; received {width}x{height}. Send a smaller one."
            )
        return None

    def _checked_token(self) -> SessionToken:
        """The session's token, of which there is one after the hello. Raises BadToken once it has expired, and
        PeerGone where the session is over for another reason: nothing is taken or answered any more."""
        if self._token is None or time.time() >= self._token.expires:
            raise BadToken("The session token has expired. Fetch a fresh one from the page's server.")
        if self._ended.ready():
            raise PeerGone("The session is over.")
        return self._token

    # --- predicting

    def _predict_forever(self) -> None:
        while True:
            self._arrived.wait()
            assert self._use is not None  # noqa: S101  frames arrive only after the hello
            while (delay := self._use.pace.delay(monotonic())) > 0:
                gevent.sleep(delay)
            self._use.pace.allow(monotonic())
            self._answer_newest()
            self._predicting = False

    def _answer_newest(self) -> None:
        waiting: Waiting | None = None
        try:
            with self._relay.balancer.slot() as backend:
                waiting = self._take_newest()
                if waiting.fault is not None:
                    raise waiting.fault
                answer = self._predict(backend, waiting)
        except PredictionRefused as error:
            if error.about_the_token:
                raise BadToken(f"The prediction service refuses the session: {error}") from None
            waiting = waiting or self._take_newest()
            self._trouble = None
            self._tell(error, waiting.frame.sequence)
            answer = held(str(error), self._options.identity)
        except NotFatal as error:
            waiting = waiting or self._take_newest()
            self._suffer(error, waiting)
            answer = held(str(error), self._options.identity)
        else:
            self._trouble = None
        self._answer(waiting.frame, answer)

    def _take_newest(self) -> Waiting:
        """The newest frame; from here until its result is sent it is being predicted."""
        self._arrived.clear()
        self._predicting = True
        waiting = self._mailbox.take()
        assert waiting is not None  # noqa: S101  `_arrived` says so, and only this greenlet takes
        return waiting

    def _predict(self, backend: Backend, waiting: Waiting) -> Answer:
        token = self._checked_token()
        began = monotonic()
        frame, wanted = waiting.frame, self._options
        request = PredictionRequest(
            image=frame.image,
            token=self._token_text,
            identity=wanted.identity,
            identities=wanted.identities,
            options=wanted.options,
            track=self._track,
            trace=trace_id(token.session, frame.sequence),
            captured_us=min(frame.capture_us, LATEST_CAPTURE_US),
        )
        prediction = self._relay.balancer.predict(backend, request, still_newest=lambda: self._mailbox.empty)
        took = monotonic() - began
        # Once more: what was revoked while it was predicted is not shown.
        self._relay.revocations.check(token.session, wanted.worn)
        self._track = prediction.track
        metrics = self._relay.metrics
        metrics.queue.observe(began - waiting.since)
        metrics.predict.observe(took)
        metrics.prediction_stages(prediction.timings_ms)
        self._counts.predictions += 1
        self._counts.predict_ms += took * 1000
        timings = {
            **prediction.timings_ms,
            "relay.queue": round((began - waiting.since) * 1000, 3),
            "relay.predict": round(took * 1000, 3),
        }
        return Answer(prediction, request.identity, timings)

    def _suffer(self, error: NotFatal, waiting: Waiting) -> None:
        """A frame was not predicted; tell the page when trouble begins, not with every frame of it."""
        if waiting.fault is None:
            if self._trouble is None:
                self._tell(error, waiting.frame.sequence)
            self._trouble = Trouble(error.code, str(error))

    # --- answering

    def _answer(self, frame: Frame, answer: Answer) -> None:
        began = monotonic()
        metrics = self._relay.metrics
        self._checked_token()
        if frame.as_data_url:
            self._send_data_url(frame, answer)
        else:
            self._send_result(frame, answer)
        if answer.prediction.image:
            metrics.frames_out.inc()
            self._counts.frames_out += 1
        else:
            metrics.frames_held.inc()
        metrics.send.observe(monotonic() - began)

    def _send_result(self, frame: Frame, answer: Answer) -> None:
        session = self._checked_token().session
        self._connection.send(encode_result(replies.result(frame, answer, session, degraded=bool(self._trouble))))

    def _send_data_url(self, frame: Frame, answer: Answer) -> None:
        if answer.prediction.image:
            self._connection.send(encode_data_url(answer.prediction.image))
        else:
            reason = answer.prediction.reason or "The prediction service held this frame."
            self._tell(Held(reason), frame.sequence)

    # --- watching the clock

    def _watch_forever(self) -> None:
        while True:
            gevent.sleep(self._settings.stats_seconds)
            now = monotonic()
            self._connection.check(now)
            self._stream.check(now)
            if self._token is not None:
                self._checked_token()
                counts, self._counts = self._counts, Counts()
                self._connection.send_if_free(counts.stats(self._trouble))

    def revoked(self, kind: str, id_: str) -> None:
        """The feed says that an identity or a session is revoked: end, if it is this one's."""
        if self._token is None:
            return
        if (kind == "identity" and id_ in self._options.worn) or (kind == "session" and id_ == self._token.session):
            self.end(Revoked(f"This {kind} has been revoked."))


def _place(error: BaseException) -> str:
    """File and line where `error` was raised."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}" if traceback else "?"
