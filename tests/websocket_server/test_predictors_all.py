"""One suite over every way to reach the prediction tier: the same answer, and the same error for the same fault.

Google's own client drives the real prediction service, and a server that fails as it is told to, over loopback.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from errors import PredictionLate, PredictionRefused, PredictionUnavailable
from predictors import PredictionRequest, Predictor, connect_all
from protocol import Flag
from settings import Settings
from tests.ports import free_port
from tests.websocket_server.faulty_server import FaultyServer
from tests.websocket_server.page import Page, Signer
from tests.websocket_server.servers import Process, RelayServer, get, wait_until

ROUTES = {
    "http": ("http", ""),
    "ai_platform": ("ai_platform", "/v1/projects/P/models/M/versions/V"),
    "vertex-predict": ("vertex", "/v1/projects/P/locations/L/endpoints/E:predict"),
    "vertex-rawPredict": ("vertex", "/v1/projects/P/locations/L/endpoints/E:rawPredict"),
}
DEADLINE_SECONDS = 10.0
"""For what is answered at once, on a machine that is busy."""
LATE_SECONDS = 1.0
"""For what never comes."""
JPEG_HEAD = b"\xff\xd8\xff"

Connect = Callable[..., Predictor]


@pytest.fixture(params=ROUTES)
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Connect by one way to a server's url."""
    kind, path = ROUTES[request.param]
    made: list[Predictor] = []

    def connect_to(url: str, seconds: float = DEADLINE_SECONDS) -> Predictor:
        settings = Settings(
            predictor=kind, predictors=(url + path,), predict_seconds=seconds, predict_cold_seconds=seconds
        )
        (predictor,) = connect_all(settings)
        made.append(predictor)
        return predictor

    yield connect_to
    for predictor in made:
        predictor.close()


@pytest.fixture(scope="module")
def service(root: Path, signer: Signer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The real prediction service, by its own command."""
    port = free_port()
    server = Process(
        [sys.executable, "-m", "prediction_model", "serve", "--port", str(port)],
        port,
        root,
        {"FACESWAP_VERIFY_KEY": signer.verify_key, "PYTHONDONTWRITEBYTECODE": "1"},
        tmp_path_factory.mktemp("service") / "log",
    )
    server.start()
    wait_until(lambda: get(f"{server.url}/readyz")[0] == 200, what="the prediction service")
    yield server
    server.stop()


@pytest.fixture
def faulty() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        yield server


@pytest.fixture(scope="module")
def face(root: Path) -> bytes:
    """A JPEG with one face: nobody's."""
    return (root / "prediction_model/identities/gallery/p5/portrait.jpg").read_bytes()


def frame(image: bytes = JPEG_HEAD + b"a picture", token: str = "", track: object = None) -> PredictionRequest:
    return PredictionRequest(image, token, "p1", {"engine": "photo", "quality": 90}, track, trace="0" * 31 + "1")


def test_the_right_answer(connect: Connect, service: Process, face: bytes, signer: Signer) -> None:
    predictor = connect(service.url)
    assert predictor.ready()
    first = predictor.predict(frame(face, signer.token()))
    assert first.swapped
    assert len(first.faces) == 1
    assert first.image.startswith(JPEG_HEAD)
    assert first.image != face
    assert first.timings_ms["swap"] > 0
    assert first.track
    second = predictor.predict(frame(face, signer.token(), first.track))
    assert second.swapped, "the track that came back is one that may be sent again"


def test_a_router_is_told_the_identity_and_nothing_it_could_misread(faulty: FaultyServer) -> None:
    (predictor,) = connect_all(Settings(predictors=(faulty.url,)))
    for identity, sent in (("p1", "p1"), ("p\r\nHost: x", "p%0D%0AHost%3A%20x"), ("é", "%C3%A9")):
        with pytest.raises(PredictionUnavailable):
            predictor.predict(PredictionRequest(JPEG_HEAD, "", identity, {}, trace="0" * 31 + "1"))
        assert faulty.headers[-1]["serve_multiplexed_model_id"] == sent
    predictor.close()


@pytest.mark.parametrize(
    ("address", "host"),
    [("http://[::1]:8002", "[::1]:8002"), ("http://büro.example/at", "xn--bro-hoa.example"), ("http://a:1", "a:1")],
)
def test_a_server_is_called_by_the_name_of_its_address(address: str, host: str) -> None:
    (predictor,) = connect_all(Settings(predictors=(address,)))
    assert predictor.name == f"http://{host}"


@pytest.mark.parametrize("address", ["http://127.0.0.1:99999", "http://a..b", "http://", "ftp://a"])
def test_an_address_that_there_cannot_be_is_refused_in_a_sentence(address: str) -> None:
    with pytest.raises(SystemExit, match="FACESWAP_PREDICTORS: expected addresses like"):
        connect_all(Settings(predictors=(address,)))


def test_the_same_bytes_whichever_way(service: Process, face: bytes, signer: Signer) -> None:
    token = signer.token()
    images = set()
    for kind, path in ROUTES.values():
        (predictor,) = connect_all(
            Settings(predictor=kind, predictors=(service.url + path,), predict_seconds=DEADLINE_SECONDS)
        )
        images.add(predictor.predict(frame(face, token)).image)
        predictor.close()
    assert len(images) == 1


def test_a_picture_that_cannot_be_read_is_the_frames_fault(connect: Connect, service: Process, signer: Signer) -> None:
    predictor = connect(service.url)
    with pytest.raises(PredictionRefused, match="JPEG") as refused:
        predictor.predict(frame(b"no picture at all", signer.token()))
    assert refused.value.http_status == 400
    assert refused.value.code == "unreadable_picture"


def test_a_token_of_somebody_elses_is_the_sessions_fault(connect: Connect, service: Process, face: bytes) -> None:
    with pytest.raises(PredictionRefused) as refused:
        connect(service.url).predict(frame(face, Signer().token()))
    assert refused.value.about_the_token


@pytest.mark.parametrize(
    ("fault", "status", "type_"),
    [("bad picture", 400, "unreadable_picture"), ("no consent", 403, "identity_not_allowed")],
)
def test_4xx(connect: Connect, faulty: FaultyServer, fault: str, status: int, type_: str) -> None:
    faulty.fault = fault
    with pytest.raises(PredictionRefused) as refused:
        connect(faulty.url).predict(frame())
    assert (refused.value.http_status, refused.value.code) == (status, type_)
    assert str(refused.value) == f"Refused with {status}."
    assert faulty.requests == 1


@pytest.mark.parametrize(
    "fault",
    [
        "fail",
        "overloaded",
        "reset",
        "cut short",
        "bad JSON",
        "infinite JSON",
        "half a character",
        "a track without end",
        "another answer",
    ],
)
def test_a_fault_of_the_servers(connect: Connect, faulty: FaultyServer, fault: str) -> None:
    faulty.fault = fault
    with pytest.raises(PredictionUnavailable) as unavailable:
        connect(faulty.url).predict(frame())
    assert faulty.requests >= 1
    assert not re.search(r"127\.0\.0\.1|projects|models|endpoints", str(unavailable.value)), "visitors read it"


def test_every_frame_carries_its_trace(connect: Connect, faulty: FaultyServer) -> None:
    with pytest.raises(PredictionUnavailable):
        connect(faulty.url).predict(frame())
    assert faulty.headers[-1]["traceparent"] == frame().traceparent


def test_a_server_that_is_not_there(connect: Connect) -> None:
    with pytest.raises(PredictionUnavailable):
        connect(f"http://127.0.0.1:{free_port()}").predict(frame())


def test_the_deadline(connect: Connect, faulty: FaultyServer) -> None:
    predictor = connect(faulty.url, seconds=LATE_SECONDS)
    faulty.fault = "hang"
    with pytest.raises(PredictionLate, match=r"did not answer in time"):
        predictor.predict(frame())
    assert faulty.requests == 1, "a frame that is late is not sent again"
    faulty.fault = "bad picture"
    with pytest.raises(PredictionRefused):
        predictor.predict(frame())
    assert faulty.connections == 2, "an answer that was not waited for must not be taken for the next one's"


def test_more_than_the_limit_of_a_shared_endpoint(connect: Connect, faulty: FaultyServer) -> None:
    with pytest.raises(PredictionRefused) as refused:
        connect(faulty.url).predict(frame(JPEG_HEAD + os.urandom(1_600_000)))
    assert (refused.value.http_status, refused.value.code) == (413, "request_too_large")
    faulty.fault = "bad picture"
    with pytest.raises(PredictionRefused) as refused:
        connect(faulty.url).predict(frame(JPEG_HEAD + os.urandom(1_100_000)))
    assert refused.value.http_status == 400, "just below the limit, base64 included, it is sent"


def test_quota(connect: Connect, faulty: FaultyServer) -> None:
    faulty.fault = "quota"
    with pytest.raises(PredictionUnavailable, match="429"):
        connect(faulty.url).predict(frame())


def test_one_connection_serves_many_frames(connect: Connect, faulty: FaultyServer) -> None:
    faulty.fault = "bad picture"
    predictor = connect(faulty.url)
    for _ in range(5):
        with pytest.raises(PredictionRefused):
            predictor.predict(frame())
    assert (faulty.requests, faulty.connections) == (5, 1)


def test_a_connection_that_died_while_idle_costs_no_frame(connect: Connect, faulty: FaultyServer) -> None:
    faulty.fault = "bad picture"
    predictor = connect(faulty.url)
    with pytest.raises(PredictionRefused):
        predictor.predict(frame())
    faulty.close_connections()
    with pytest.raises(PredictionRefused):
        predictor.predict(frame(JPEG_HEAD + os.urandom(200_000)))
    assert faulty.connections == 2


@pytest.fixture
def relay_before(signer: Signer, tmp_path: Path) -> Iterator[Callable[[str, str, float], RelayServer]]:
    """Start a relay that reaches a server's url by one of the ways, with a deadline."""
    started: list[RelayServer] = []

    def start(way: str, url: str, seconds: float) -> RelayServer:
        kind, path = ROUTES[way]
        environment = {
            "FACESWAP_VERIFY_KEY": signer.verify_key,
            "FACESWAP_CLIENT_URL": "",
            "FACESWAP_PREDICTOR": kind,
            "FACESWAP_PREDICTORS": url + path,
            "FACESWAP_PREDICT_SECONDS": str(seconds),
            "FACESWAP_PREDICT_COLD_SECONDS": str(seconds),
        }
        relay = RelayServer(environment, tmp_path / "relay.log")
        started.append(relay)
        relay.start()
        wait_until(relay.ready, what="readiness")
        return relay

    yield start
    for relay in started:
        relay.stop(signal.SIGQUIT)


StartRelay = Callable[[str, str, float], RelayServer]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ai_platform", "vertex-predict", "vertex-rawPredict"])
def test_a_page_is_served_by_googles_client(
    way: str, relay_before: StartRelay, service: Process, face: bytes, signer: Signer
) -> None:
    with Page(relay_before(way, service.url, 10).address) as page:
        page.begin(signer.token(), engine="photo")
        for _ in range(3):
            result = page.swap(face)
            assert result.image.startswith(JPEG_HEAD)
            assert result.metadata["swapped"]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ai_platform", "vertex-rawPredict"])
def test_a_slow_answer_to_one_page_holds_up_no_other(
    way: str, relay_before: StartRelay, faulty: FaultyServer, signer: Signer
) -> None:
    faulty.fault = "hang"
    relay = relay_before(way, faulty.url, 30)
    with Page(relay.address) as first, Page(relay.address) as second:
        first.begin(signer.token())
        second.begin(signer.token())
        first.send()
        second.send()
        wait_until(lambda: faulty.requests == 2, what="both frames at the server, neither waiting for the other")
        assert get(f"{relay.url}/healthz")[0] == 200, "and the relay itself goes on"
        faulty.wake.set()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ai_platform", "vertex-rawPredict"])
def test_a_late_answer_is_taken_for_no_other_frames(
    way: str, relay_before: StartRelay, faulty: FaultyServer, signer: Signer
) -> None:
    faulty.fault = "hang"
    with Page(relay_before(way, faulty.url, 2).address) as page:
        page.begin(signer.token())
        assert page.swap().flags == Flag.HELD | Flag.DEGRADED
        faulty.fault = "bad picture"
        assert page.swap().image == b""
        assert page.texts[-1]["code"] == "unreadable_picture", "the second frame's own answer"
    assert faulty.connections == 2, "on a fresh connection"
