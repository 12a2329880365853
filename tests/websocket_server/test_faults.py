"""Faults to survive, each on real processes: load, overload, soak, bad pictures, dead and hung prediction servers,
SIGTERM.

Elsewhere: a bad network in `test_bad_network`, slow and silent peers and violations in `test_sockets`, fuzzing in
`test_protocol` and `fuzz_protocol`, revoked, forged and expired tokens in `test_revocations`, `test_session` and
`test_limits`. How long a frame takes is measured by `python -m benchmarks relay`; no test here fails because the
machine is busy.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from benchmarks.pages import Load, Measured, play_page, slope_per_ten_minutes
from protocol import Flag, Result
from tests.websocket_server.conftest import environment_of
from tests.websocket_server.page import JPEG, Page, Signer, hello
from tests.websocket_server.servers import PredictionServer, RelayServer, get, run_apart, wait_until

pytestmark = pytest.mark.slow

StartRelay = Callable[..., RelayServer]
StartPredictor = Callable[..., PredictionServer]

MIB = 1 << 20
LOAD_SECONDS = 60.0
SOAK_SECONDS = 180.0
RECONNECTS = 200
BAD_PICTURES = 10_000
FUZZED = 60_000
SERVICE_SECONDS = 0.02


def play(relay: RelayServer, signer: Signer, load: Load) -> Measured:
    """So many pages against `relay`."""
    measured = Measured()

    async def play_all() -> None:
        ends = time.perf_counter() + load.seconds
        pages = (
            play_page(relay.address, load, hello(signer.token()), number / load.pages / load.fps, ends, measured)
            for number in range(load.pages)
        )
        await asyncio.gather(*pages)

    run_apart(play_all())
    return measured


class Soak:
    """Half load for `SOAK_SECONDS`, on a relay and a prediction server of its own, while other tests run."""

    def __init__(self, signer: Signer, folder: Path) -> None:
        self.predictor = PredictionServer()
        self.predictor.start()
        environment = environment_of(signer, self.predictor, sessions_per_address=1000)
        self.relay = RelayServer(environment, folder / "relay.log")
        self.relay.start()
        wait_until(self.relay.ready)
        self.signer = signer
        self.memory: list[tuple[float, float]] = []
        self.measured = Measured()
        self.done = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        sampler = threading.Thread(target=self._sample, daemon=True)
        sampler.start()
        self.measured = play(self.relay, self.signer, Load(pages=6, fps=15, frame_bytes=40_000, seconds=SOAK_SECONDS))
        self.done = True
        sampler.join()

    def _sample(self) -> None:
        began = time.monotonic()
        while not self.done:
            time.sleep(1)
            if time.monotonic() - began > SOAK_SECONDS / 2:  # until then caches and arenas fill
                self.memory.append((time.monotonic(), self.relay.resident_bytes()))

    def join(self) -> None:
        self._thread.join(SOAK_SECONDS + 60)
        assert self.done

    def stop(self) -> None:
        self.done = True
        self.relay.stop(signal.SIGQUIT)
        self.predictor.stop()


@pytest.fixture(scope="module", autouse=True)
def soak(signer: Signer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soak]:
    """Begun with the first test of this module, and judged by the last: it takes three minutes."""
    soak = Soak(signer, tmp_path_factory.mktemp("soak"))
    yield soak
    soak.stop()


def test_1_load(start_relay: StartRelay, start_predictor: StartPredictor, signer: Signer) -> None:
    relay = start_relay(start_predictor(), sessions_per_address=100)
    measured = play(relay, signer, Load(pages=25, fps=15, frame_bytes=40_000, seconds=LOAD_SECONDS))
    assert measured.errors == 0
    assert measured.frames > 25 * LOAD_SECONDS
    wait_until(lambda: relay.metric("faceswap_relay_sessions") == relay.metric("faceswap_relay_greenlets") == 0)


def test_2_overload_drops_frames_and_queues_none(
    start_relay: StartRelay, start_predictor: StartPredictor, signer: Signer
) -> None:
    predictor = start_predictor()
    predictor.control("ok", seconds=SERVICE_SECONDS)
    relay = start_relay(predictor, sessions_per_address=100, predict_concurrency=1)
    load = Load(pages=10, fps=15, frame_bytes=20_000, seconds=10)  # three times what one server can take
    with ThreadPoolExecutor(1) as pool:
        playing = pool.submit(play, relay, signer, load)
        time.sleep(0.8 * load.seconds)
        together = predictor.seen()["most_together"]  # before the pages leave what they asked for unfinished
        measured = playing.result()
    dropped = relay.metric('faceswap_relay_frames_total{what="dropped"}')
    frames_in = relay.metric('faceswap_relay_frames_total{what="in"}')
    predicted = predictor.seen()["frames"]
    assert measured.errors == 0
    assert together == 1
    assert dropped > frames_in / 3
    # One queued a session at most: whatever was neither predicted nor dropped sat in a mailbox when its page left, but
    # for the one that was on its way to the server.
    assert 0 <= frames_in - predicted - dropped <= load.pages + 1
    # The age of a frame is bounded by the design, two frame periods and the service; a busy machine adds its own.
    assert statistics.quantiles(measured.round_trips, n=20)[-1] < 3 * (2 * 1000 / load.fps + SERVICE_SECONDS * 1000)


def test_6_bad_pictures(start_relay: StartRelay, start_predictor: StartPredictor, signer: Signer) -> None:
    relay = start_relay(start_predictor(), fps=1e6, messages_per_second=1e6)
    huge = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (30_000).to_bytes(4, "big") * 2 + bytes(20)
    kinds = [b"", b"\x00", bytes(range(256)), b"GIF89a" + bytes(30), huge, b"\xfe\xd8" + JPEG, b"{}"]
    with Page(relay.address) as page:
        page.begin(signer.token(limits={"fps": 1e6, "pixels": 921600}))
        for number in range(BAD_PICTURES):
            result = page.swap(kinds[number % len(kinds)])
            assert (result.sequence, result.flags, result.image) == (page.sequence, Flag.HELD, b"")
            if number % 100 == 99:
                page.send(sequence=page.sequence)  # replayed
                page.send(sequence=page.sequence - 50)  # and backwards
                page.sequence += 50
        assert page.swap().flags == Flag.SWAPPED
        codes = [each["code"] for each in page.texts if each["type"] == "error"]
        assert len(codes) == BAD_PICTURES + 2 * (BAD_PICTURES // 100)
        assert set(codes) == {"empty_picture", "too_many_pixels", "unreadable_picture", "stale_sequence"}


def golden_messages(root: Path) -> Iterator[bytes]:
    """Everything that the stream's contract shows of what is sent, valid or not."""
    contracts = root / "tests" / "contracts" / "stream"
    binary = json.loads((contracts / "binary.json").read_text(encoding="utf-8"))
    yield from (bytes.fromhex(each["hex"]) for part in ("frames", "results", "malformed") for each in binary[part])
    text = json.loads((contracts / "text.json").read_text(encoding="utf-8"))
    yield from (json.dumps(each).encode() for part in ("from_page", "from_relay") for each in text[part])
    yield from (each["text"].encode() for each in text["malformed_hello"])


def test_7_the_decoder_under_atheris(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has no wheel for this machine")
    fuzzer = Path(__file__).with_name("fuzz_protocol.py")
    # The most memory that a process has had counts as its own even if that was its parent's: no limit of it can hold.
    limits = ["-max_len=4096", "-rss_limit_mb=0", "-malloc_limit_mb=256"]
    command = [sys.executable, str(fuzzer), f"-runs={FUZZED}", "-seed=1", *limits]
    command.append(str(tmp_path))  # what it begins with, and where it keeps what reached further
    for number, message in enumerate(golden_messages(root)):
        (tmp_path / f"{number:03d}").write_bytes(message)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=180, cwd=fuzzer.parent)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert f"Done {FUZZED} runs" in ended.stderr


class Viewer:
    """A page that keeps swapping in a thread of its own, and remembers when each result came."""

    def __init__(self, relay: RelayServer, signer: Signer) -> None:
        self.results: list[tuple[float, Result]] = []
        self.page = Page(relay.address)
        self.page.begin(signer.token())
        self.close_code: int | None = None
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._future: Future[None] = self._pool.submit(self._view)

    def _view(self) -> None:
        try:
            while not self._stop.is_set():
                result = self.page.swap()
                self.results.append((time.monotonic(), result))
                time.sleep(0.03)
        except ConnectionClosed:
            self.close_code = self.page.close_code()  # having read what came before

    def wait_for_good(self, since: float, seconds: float) -> None:
        """Wait until a swapped frame came after `since`."""

        def came() -> bool:
            return any(at > since and result.flags & Flag.SWAPPED for at, result in list(self.results))

        wait_until(came, seconds, "a good frame")

    def wait_for_close(self, seconds: float) -> None:
        wait_until(lambda: self.close_code is not None, seconds, "the close")

    def stop(self) -> None:
        self._stop.set()
        self._future.result(15)
        self._pool.shutdown()
        self.page.close()
        for _, result in self.results:
            assert result.image.startswith(JPEG + b"swapped") or not result.image, "nothing unlabelled, ever"


def wait_for_traffic(predictor: PredictionServer) -> None:
    wait_until(lambda: predictor.seen()["frames"] > 10, what="traffic")


@pytest.fixture
def view(signer: Signer) -> Iterator[Callable[[RelayServer], Viewer]]:
    """Start a viewer; stopped, and its pictures looked at, afterwards."""
    viewers: list[Viewer] = []

    def start(relay: RelayServer) -> Viewer:
        viewers.append(Viewer(relay, signer))
        return viewers[-1]

    yield start
    for viewer in viewers:
        viewer.stop()


def test_8_a_prediction_server_killed_mid_frame(
    start_relay: StartRelay, start_predictor: StartPredictor, view: Callable[[RelayServer], Viewer]
) -> None:
    first, second = start_predictor(), start_predictor()
    relay = start_relay(first, second)
    for predictor in (first, second):
        predictor.control("ok", seconds=0.1)
    viewers = [view(relay) for _ in range(4)]
    wait_for_traffic(first)
    first.stop(signal.SIGKILL)
    killed = time.monotonic()
    for viewer in viewers:
        viewer.wait_for_good(killed + 0.05, 2)
        assert viewer.close_code is None


def test_8_a_prediction_server_that_hangs(
    start_relay: StartRelay, start_predictor: StartPredictor, view: Callable[[RelayServer], Viewer]
) -> None:
    predictor = start_predictor()
    relay = start_relay(predictor, predict_seconds=1)
    viewer = view(relay)
    wait_until(lambda: len(viewer.results) > 5)
    assert predictor.popen is not None
    predictor.popen.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: not relay.ready(), what="the circuit")
        wait_until(lambda: viewer.results[-1][1].flags == Flag.HELD | Flag.DEGRADED, what="degraded")
        wait_until(lambda: any(each.get("state") == "degraded" for each in viewer.page.texts), what="degraded stats")
    finally:
        predictor.popen.send_signal(signal.SIGCONT)
    woken = time.monotonic()
    viewer.wait_for_good(woken, 20)
    assert viewer.close_code is None


def test_9_all_prediction_servers_down(
    start_relay: StartRelay, start_predictor: StartPredictor, view: Callable[[RelayServer], Viewer]
) -> None:
    predictors = [start_predictor(), start_predictor()]
    relay = start_relay(*predictors)
    viewer = view(relay)
    wait_until(lambda: len(viewer.results) > 5)
    for predictor in predictors:
        predictor.stop(signal.SIGKILL)
    wait_until(lambda: not relay.ready())
    until = time.monotonic() + 10
    while time.monotonic() < until:
        assert get(f"{relay.url}/healthz")[0] == 200
        assert get(f"{relay.url}/readyz")[0] == 503
        time.sleep(0.5)
    predictors[0].start()
    back = time.monotonic()
    viewer.wait_for_good(back, 20)
    wait_until(relay.ready)
    assert viewer.close_code is None


def test_10_sigterm_under_load(
    start_relay: StartRelay, start_predictor: StartPredictor, view: Callable[[RelayServer], Viewer]
) -> None:
    predictor = start_predictor()
    predictor.control("ok", seconds=0.1)
    relay = start_relay(predictor, sessions_per_address=100)
    viewers = [view(relay) for _ in range(10)]
    wait_for_traffic(predictor)
    seconds = relay.stop(signal.SIGTERM)
    assert seconds <= 10
    for viewer in viewers:
        viewer.wait_for_close(20)
        assert viewer.close_code == 1001
        assert viewer.page.texts[-1]["type"] == "bye"
        assert viewer.page.texts[-1]["code"] == 1001
        assert not [each for each in viewer.page.texts if each["type"] == "error"]


def test_10_one_backend_then_three_then_one(
    start_relay: StartRelay, start_predictor: StartPredictor, view: Callable[[RelayServer], Viewer]
) -> None:
    stays, *others = start_predictor(), start_predictor(), start_predictor()
    for other in others:
        other.stop(signal.SIGKILL)
    relay = start_relay(stays, *others, predict_concurrency=8)
    viewers = [view(relay) for _ in range(6)]
    wait_for_traffic(stays)
    for other in others:
        other.start()
    for other in others:
        wait_for_traffic(other)
    for other in others:
        other.stop(signal.SIGKILL)
    went = time.monotonic()
    for viewer in viewers:
        viewer.wait_for_good(went, 20)
    for viewer in viewers:
        lost = [result for _, result in viewer.results if not result.flags & Flag.SWAPPED]
        assert len(lost) <= len(others), "only frames in flight, one for each server that went"
        assert viewer.close_code is None


def test_3_reconnects_leave_nothing_behind(
    start_relay: StartRelay, start_predictor: StartPredictor, signer: Signer
) -> None:
    relay = start_relay(start_predictor())

    def reconnect(times: int) -> None:
        for _ in range(times):
            with Page(relay.address) as page:
                page.begin(signer.token())
                assert page.swap().image
        wait_until(lambda: relay.metric("faceswap_relay_sessions") == relay.metric("faceswap_relay_greenlets") == 0)

    reconnect(20)
    descriptors, memory = relay.descriptors(), relay.resident_bytes()
    reconnect(RECONNECTS)
    wait_until(lambda: relay.descriptors() <= descriptors, what="descriptors back to the start")
    assert relay.resident_bytes() - memory <= 2 * MIB


ENDS: dict[str, Callable[[Page], object]] = {
    "goodbye": lambda page: None,
    "connection lost": lambda page: page.socket.socket.shutdown(socket.SHUT_RDWR),
    "no JSON": lambda page: page.socket.send("no JSON"),
    "no token": lambda page: page.socket.send(json.dumps({"type": "renew", "token": "none"})),
}


@pytest.mark.parametrize("mode", ["ok", "hang"])
def test_3_no_session_waits_for_the_garbage_collector(
    mode: str, start_predictor: StartPredictor, signer: Signer, tmp_path: Path
) -> None:
    """However they end, sessions leave nothing in memory, though each had a picture and 64 KiB to receive it in."""
    config = tmp_path / "no_collector.py"
    config.write_text("import gc\ndef post_worker_init(worker): gc.disable()\n", encoding="utf-8")
    predictor = start_predictor()
    environment = environment_of(
        signer, predictor, predict_seconds=0.05, predict_cold_seconds=0.05, breaker_failures=1000
    )
    relay = RelayServer(environment, tmp_path / "relay.log", options=("--config", str(config)))
    relay.start()

    def sessions(times: int) -> None:
        for _ in range(times):
            for end in ENDS.values():
                with Page(relay.address) as page:
                    page.begin(signer.token())
                    page.swap(JPEG.ljust(40_000, b"\0"))
                    end(page)
        wait_until(lambda: relay.metric("faceswap_relay_sessions") == 0)

    try:
        wait_until(relay.ready)
        predictor.control(mode, seconds=1)
        sessions(5)
        memory = relay.resident_bytes()
        sessions(25)
        assert relay.resident_bytes() - memory <= 2 * MIB
    finally:
        relay.stop(signal.SIGQUIT)


def test_3_soak(soak: Soak) -> None:
    soak.join()
    assert soak.measured.errors == 0
    assert soak.measured.frames > SOAK_SECONDS
    assert slope_per_ten_minutes(soak.memory) < MIB
    wait_until(lambda: soak.relay.metric("faceswap_relay_sessions") == 0)
