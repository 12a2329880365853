"""Trouble in the prediction tier: no session dies of it, and no picture is shown that the tier did not answer with."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from predictors.breaker import Circuit, CircuitBreaker
from protocol import Flag
from tests.websocket_server.conftest import environment_of
from tests.websocket_server.page import JPEG, Page, Signer
from tests.websocket_server.prediction_server import SWAPPED
from tests.websocket_server.servers import PredictionServer, RelayServer, get, wait_until

StartRelay = Callable[..., RelayServer]
StartPredictor = Callable[..., PredictionServer]


@pytest.fixture(scope="module")
def relay_and_odd(
    signer: Signer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RelayServer, PredictionServer]]:
    """A relay that never leaves its prediction server alone, whatever that answers."""
    predictor = PredictionServer()
    predictor.start()
    environment = environment_of(signer, predictor, breaker_failures=1000)
    relay = RelayServer(environment, tmp_path_factory.mktemp("odd") / "relay.log")
    relay.start()
    wait_until(relay.ready, what="readiness")
    yield relay, predictor
    relay.stop(signal.SIGQUIT)
    predictor.stop()


@pytest.fixture
def odd(relay_and_odd: tuple[RelayServer, PredictionServer]) -> PredictionServer:
    return relay_and_odd[1]


@pytest.fixture
def page_before_odd(relay_and_odd: tuple[RelayServer, PredictionServer], signer: Signer) -> Iterator[Page]:
    """A session of that relay's, which has been shown a frame."""
    with Page(relay_and_odd[0].address) as page:
        relay_and_odd[1].control("ok")
        page.begin(signer.token())
        assert page.swap().flags == Flag.SWAPPED
        yield page


def readiness(relay: RelayServer) -> tuple[int, dict[str, str]]:
    """Status of /readyz, and each backend's circuit."""
    status, body = get(f"{relay.url}/readyz")
    return status, {each["name"]: each["circuit"] for each in json.loads(body)["backends"]}


def test_an_unreadable_picture_is_told_in_the_tiers_words(
    relay: RelayServer, open_page: Callable[[], Page], signer: Signer
) -> None:
    page = open_page()
    page.begin(signer.token())
    result = page.swap(b"no picture at all")
    assert (result.flags, result.image) == (Flag.HELD, b"")
    error = page.texts[-1]
    assert (error["code"], error["sequence"], error["fatal"]) == ("unreadable_picture", result.sequence, False)
    assert "17 bytes" in error["message"]
    assert page.swap().flags == Flag.SWAPPED
    assert readiness(relay)[0] == 200, "a bad picture says nothing about the server"


def test_hold_is_passed_on_without_a_picture(
    start_relay: StartRelay, start_predictor: StartPredictor, signer: Signer
) -> None:
    predictor = start_predictor()
    predictor.control("hold")
    with Page(start_relay(predictor).address) as page:
        page.begin(signer.token())
        result = page.swap()
        assert (result.flags, result.image) == (Flag.HELD, b"")


@pytest.mark.parametrize("mode", ["fail", "garbage", "unlabelled", "no picture", "cut short", "long length"])
def test_no_fault_of_the_tier_shows_a_picture(
    start_relay: StartRelay, start_predictor: StartPredictor, signer: Signer, mode: str
) -> None:
    predictor = start_predictor()
    relay = start_relay(predictor, breaker_seconds=0.3, stats_seconds=0.3, probe_seconds=0.3)
    with Page(relay.address) as page:
        page.begin(signer.token())
        assert page.swap().flags == Flag.SWAPPED
        predictor.control(mode)
        for _ in range(5):
            result = page.swap()
            assert (result.flags, result.image) == (Flag.HELD | Flag.DEGRADED, b"")
            assert result.metadata["reason"]
        stats = page.text("stats")
        assert stats["state"] == "degraded"
        assert (stats["code"], bool(stats["reason"])) == ("prediction_unavailable", True)
        told = [each for each in page.texts if each["type"] == "error"]
        assert [each["code"] for each in told] == ["prediction_unavailable"], "once, not with every frame"
        predictor.control("ok")
        wait_until(lambda: page.swap().flags == Flag.SWAPPED)
        wait_until(lambda: page.text("stats")["state"] == "ok")


def test_a_server_that_takes_for_ever_to_say_that_it_is_ready_is_not(
    start_relay: StartRelay, start_predictor: StartPredictor
) -> None:
    predictor = start_predictor()
    relay = start_relay(predictor, probe_seconds=0.3)
    predictor.control("drips")
    wait_until(lambda: not relay.ready())
    predictor.control("ok")
    wait_until(relay.ready)


ODD_METADATA = {
    "NaN": '{"swapped": true, "faces": [NaN]}',
    "an infinity": '{"swapped": true, "faces": [1e999]}',
    "a time without end": '{"swapped": true, "timings_ms": {"swap": 1e999}}',
    "a time beyond floats": '{"swapped": true, "timings_ms": {"swap": 1' + "0" * 400 + "}}",
    "a track that cannot be sent back": '{"swapped": true, "track": [1e999]}',
    "half a surrogate pair": '{"swapped": true, "faces": ["\\ud800"]}',
    "absurd nesting": '{"swapped": true, "faces": ' + "[" * 5000 + "]" * 5000 + "}",
    "more than there is to tell": '{"swapped": true, "track": "' + "x" * 100_000 + '"}',
    "no object": "[true]",
}


@pytest.mark.parametrize("name", ODD_METADATA)
def test_no_answer_of_the_tier_ends_a_session(odd: PredictionServer, page_before_odd: Page, name: str) -> None:
    odd.control("says", metadata=ODD_METADATA[name])
    result = page_before_odd.swap()
    assert (result.flags, result.image) == (Flag.HELD | Flag.DEGRADED, b"")
    odd.control("ok")
    assert page_before_odd.swap().flags == Flag.SWAPPED


@pytest.mark.parametrize("status", [400, 418, 460, 499])
def test_a_refusal_with_any_status_and_text_is_told(odd: PredictionServer, page_before_odd: Page, status: int) -> None:
    odd.control("status", status=status)
    assert page_before_odd.swap().flags == Flag.HELD
    assert page_before_odd.texts[-1]["message"] == f"The prediction service answered {status}."
    odd.control("ok")
    assert page_before_odd.swap().flags == Flag.SWAPPED


def test_an_answer_that_nobody_asked_for_is_taken_for_no_other_frames(
    odd: PredictionServer, page_before_odd: Page
) -> None:
    odd.control("twice")
    page_before_odd.swap(JPEG + b"first")
    odd.control("ok")
    assert page_before_odd.swap(JPEG + b"second").image == JPEG + b"second" + SWAPPED


def test_a_session_that_the_tier_refuses_ends(
    start_relay: StartRelay, start_predictor: StartPredictor, signer: Signer
) -> None:
    predictor = start_predictor()
    predictor.control("forbid")
    with Page(start_relay(predictor).address) as page:
        page.begin(signer.token())
        page.send()
        assert page.close_code() == 1008
        assert "consent" in page.texts[-1]["reason"]


@pytest.mark.slow
def test_a_server_that_hangs_costs_one_deadline_and_is_left_alone(
    start_relay: StartRelay, start_predictor: StartPredictor, signer: Signer
) -> None:
    predictor = start_predictor()
    relay = start_relay(predictor, predict_seconds=2, breaker_seconds=60, breaker_most_seconds=60, probe_seconds=60)
    with Page(relay.address) as page:
        page.begin(signer.token())
        assert page.swap().image
        predictor.control("ok", seconds=60)
        for _ in range(3):
            began = time.monotonic()
            assert page.swap().flags == Flag.HELD | Flag.DEGRADED
            assert time.monotonic() - began > 1.9
        status, circuits = readiness(relay)
        assert (status, circuits) == (503, {predictor.url: "open"})
        frames = predictor.seen()["frames"]
        began = time.monotonic()
        for _ in range(5):
            assert page.swap().image == b""
        assert time.monotonic() - began < 5, "an open circuit answers at once: five deadlines are 10 s"
        assert predictor.seen()["frames"] == frames


def test_the_first_frame_of_an_identity_may_take_longer_as_the_server_loads_it(
    start_relay: StartRelay, start_predictor: StartPredictor, signer: Signer
) -> None:
    predictor = start_predictor()
    predictor.control("ok", seconds=1)
    relay = start_relay(predictor, predict_seconds=0.5, predict_cold_seconds=15)
    with Page(relay.address) as page:
        page.begin(signer.token(), "p1")
        assert page.swap().flags == Flag.SWAPPED
        assert page.swap().flags == Flag.HELD | Flag.DEGRADED, "it is loaded now"
        page.socket.send(json.dumps({"type": "options", "identity": "p2", "options": {}}))
        assert page.swap().flags == Flag.SWAPPED
        page.socket.send(json.dumps({"type": "options", "identity": "p2", "options": {"engine": "photo"}}))
        assert page.swap().flags == Flag.SWAPPED, "another engine is loaded anew"
        assert page.swap().flags == Flag.HELD | Flag.DEGRADED


@pytest.mark.slow
def test_frames_of_a_server_that_dies_are_predicted_elsewhere(
    start_relay: StartRelay, start_predictor: StartPredictor, signer: Signer
) -> None:
    first, second = start_predictor(), start_predictor()
    relay = start_relay(first, second, probe_seconds=0.5)
    wait_until(lambda: set(readiness(relay)[1].values()) == {"closed"})
    with Page(relay.address) as page:
        page.begin(signer.token())
        for number in range(20):
            if number == 5:
                first.stop(signal.SIGKILL)
            assert page.swap().flags == Flag.SWAPPED, "one retry elsewhere, and the page sees nothing of it"
        wait_until(lambda: readiness(relay)[1] == {first.url: "open", second.url: "closed"})
        first.start()
        wait_until(lambda: page.swap().flags == Flag.SWAPPED and readiness(relay)[1][first.url] == "closed")


def test_a_restarted_server_is_reached_on_a_fresh_connection(
    start_relay: StartRelay, start_predictor: StartPredictor, signer: Signer
) -> None:
    predictor = start_predictor()
    relay = start_relay(predictor, probe_seconds=30)
    with Page(relay.address) as page:
        page.begin(signer.token())
        assert page.swap().image
        predictor.stop(signal.SIGKILL)
        predictor.start()
        assert page.swap().image, "the kept-alive connection was dead; the server is not"


@pytest.mark.slow
def test_all_servers_down_then_back(start_relay: StartRelay, start_predictor: StartPredictor, signer: Signer) -> None:
    predictor = start_predictor()
    relay = start_relay(predictor, probe_seconds=0.3, breaker_seconds=0.3)
    with Page(relay.address) as page:
        page.begin(signer.token())
        assert page.swap().image
        predictor.stop(signal.SIGKILL)
        wait_until(lambda: not relay.ready())
        assert get(f"{relay.url}/healthz")[0] == 200
        for _ in range(5):
            assert page.swap().flags == Flag.HELD | Flag.DEGRADED
        predictor.start()
        wait_until(relay.ready)
        wait_until(lambda: page.swap().flags == Flag.SWAPPED)


def test_the_newest_frame_wins_and_the_dropped_are_counted(
    start_relay: StartRelay, start_predictor: StartPredictor, signer: Signer
) -> None:
    predictor = start_predictor()
    predictor.control("ok", seconds=3)
    relay = start_relay(predictor)
    with Page(relay.address) as page:
        page.begin(signer.token())
        page.send()
        wait_until(lambda: predictor.seen()["frames"] == 1, what="the first frame's prediction")
        for _ in range(9):
            page.send()
        first, second = page.result(), page.result()
        assert (first.sequence, second.sequence) == (1, 10)
        assert second.image == JPEG + SWAPPED
        assert relay.metric('faceswap_relay_frames_total{what="dropped"}') == 8
        assert predictor.seen()["frames"] == 2


@pytest.mark.slow
def test_a_server_is_sent_no_more_than_it_may_have_and_everybody_gets_a_turn(
    start_relay: StartRelay, start_predictor: StartPredictor, signer: Signer
) -> None:
    predictor = start_predictor()
    predictor.control("ok", seconds=0.03)
    relay = start_relay(predictor, predict_concurrency=2)

    def swaps(_: int) -> int:
        with Page(relay.address) as page:
            page.begin(signer.token())
            return sum(page.swap().flags == Flag.SWAPPED for _ in range(10))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(swaps, range(6))) == [10] * 6
    assert predictor.seen()["most_together"] == 2


@pytest.mark.slow
def test_the_least_busy_server_is_asked(
    start_relay: StartRelay, start_predictor: StartPredictor, signer: Signer
) -> None:
    slow, quick = start_predictor(), start_predictor()
    slow.control("ok", seconds=5)
    relay = start_relay(slow, quick)
    wait_until(lambda: set(readiness(relay)[1].values()) == {"closed"})
    stop = threading.Event()

    def keep_busy() -> None:
        with Page(relay.address) as page:
            page.begin(signer.token())
            while not stop.is_set():
                page.swap()

    with ThreadPoolExecutor(3) as pool:
        workers = [pool.submit(keep_busy) for _ in range(3)]
        wait_until(lambda: quick.seen()["frames"] > 60, what="frames at the quick one")
        stop.set()
        for worker in workers:
            worker.result()
    assert quick.seen()["frames"] > 3 * slow.seen()["frames"]


FRAME = "a frame"


def test_servers_that_are_free_take_turns(
    start_relay: StartRelay, start_predictor: StartPredictor, signer: Signer
) -> None:
    both = start_predictor(), start_predictor()
    relay = start_relay(*both)
    wait_until(lambda: set(readiness(relay)[1].values()) == {"closed"}, what="readiness of both")
    with Page(relay.address) as page:
        page.begin(signer.token())
        for _ in range(20):
            assert page.swap().flags == Flag.SWAPPED
    assert all(predictor.seen()["frames"] >= 8 for predictor in both)


def test_a_breaker_opens_tries_and_closes() -> None:
    breaker = CircuitBreaker(failures=2, seconds=1, most_seconds=3)
    assert breaker.allows(0)
    breaker.fail(FRAME, 0)
    assert breaker.state(0) is Circuit.CLOSED
    breaker.succeed()
    breaker.fail(FRAME, 0)
    breaker.fail(FRAME, 0)
    assert breaker.state(0.9) is Circuit.OPEN
    assert not breaker.allows(0.9)
    assert breaker.state(1.0) is Circuit.HALF_OPEN
    breaker.begin(FRAME, 1.0)
    assert not breaker.allows(1.0), "one frame tries, not all"
    breaker.fail(FRAME, 1.0)
    assert breaker.state(2.9) is Circuit.OPEN, "twice as long after a failed trial"
    breaker.begin(FRAME, 3.0)
    breaker.fail(FRAME, 3.0)
    assert breaker.state(5.9) is Circuit.OPEN
    assert breaker.state(6.0) is Circuit.HALF_OPEN, "and no longer than the most"
    breaker.begin(FRAME, 6.0)
    breaker.let_go(FRAME)
    assert breaker.allows(6.0)
    breaker.begin(FRAME, 6.0)
    breaker.succeed()
    assert breaker.state(6.0) is Circuit.CLOSED


def test_frames_from_before_it_opened_do_not_end_a_trial() -> None:
    breaker = CircuitBreaker(failures=1, seconds=1, most_seconds=8)
    early = "another frame"
    breaker.begin(early, 0)
    breaker.fail(FRAME, 0)
    breaker.begin(FRAME, 1)
    breaker.fail(early, 1)
    breaker.let_go(early)
    assert breaker.state(1) is Circuit.HALF_OPEN
    assert not breaker.allows(1)
    breaker.succeed()
    assert breaker.allows(1)


def test_a_server_that_says_it_is_well_is_tried_at_once() -> None:
    breaker = CircuitBreaker(failures=1, seconds=60, most_seconds=60)
    breaker.fail(FRAME, 0)
    assert breaker.state(1) is Circuit.OPEN
    breaker.may_try_soon(1)
    assert breaker.state(1) is Circuit.HALF_OPEN
