"""A relay and a prediction server, real processes on free ports, shared by tests that leave them as they were."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.websocket_server.page import Page, Signer
from tests.websocket_server.servers import PredictionServer, RelayServer, wait_until

HERE = Path(__file__).resolve().parent

StartRelay = Callable[..., RelayServer]


@pytest.fixture(scope="session")
def signer() -> Signer:
    """client_app's key."""
    return Signer()


@pytest.fixture(scope="session")
def contracts() -> Path:
    """Golden files of the stream."""
    return HERE.parent / "contracts" / "stream"


def environment_of(signer: Signer, *predictors: PredictionServer, **settings: object) -> dict[str, str]:
    """Of a relay for tests: no feed unless asked for, and time for a prediction on a machine that is busy."""
    given = {f"FACESWAP_{name.upper()}": str(value) for name, value in settings.items()}
    urls = ",".join(each.url for each in predictors)
    return {
        "FACESWAP_VERIFY_KEY": signer.verify_key,
        "FACESWAP_PREDICTORS": urls or "http://127.0.0.1:9",
        "FACESWAP_CLIENT_URL": "",
        "FACESWAP_PREDICT_SECONDS": "10",
        **given,
    }


@pytest.fixture
def start_predictor() -> Iterator[Callable[..., PredictionServer]]:
    """Start a prediction server of the test's own; stopped afterwards."""
    started: list[PredictionServer] = []

    def start(port: int | None = None) -> PredictionServer:
        server = PredictionServer(port)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def start_relay(signer: Signer, tmp_path: Path) -> Iterator[StartRelay]:
    """Start a relay of the test's own, with settings by their field names; stopped afterwards."""
    started: list[RelayServer] = []

    def start(*predictors: PredictionServer, **settings: object) -> RelayServer:
        relay = RelayServer(environment_of(signer, *predictors, **settings), tmp_path / f"relay-{len(started)}.log")
        started.append(relay)
        relay.start()
        if predictors:
            wait_until(relay.ready, what="readiness")
        return relay

    yield start
    for relay in started:
        relay.stop(signal.SIGQUIT)


@pytest.fixture(scope="session")
def predictor() -> Iterator[PredictionServer]:
    """A prediction server that answers at once."""
    server = PredictionServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def relay(
    signer: Signer, predictor: PredictionServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RelayServer]:
    """A relay with room for many, before `predictor`."""
    environment = environment_of(
        signer,
        predictor,
        hello_seconds=30,
        stats_seconds=0.5,
        sessions_per_address=100,
        origins="http://localhost:8000",
    )
    server = RelayServer(environment, tmp_path_factory.mktemp("relay") / "relay.log")
    server.start()
    wait_until(server.ready, what="readiness")
    yield server
    server.stop(signal.SIGQUIT)


@pytest.fixture
def open_page(relay: RelayServer) -> Iterator[Callable[[], Page]]:
    """Connect to the shared relay; closed afterwards."""
    pages: list[Page] = []

    def open_() -> Page:
        page = Page(relay.address)
        pages.append(page)
        return page

    yield open_
    for page in pages:
        page.close()
