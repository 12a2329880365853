"""What only Google's routes have: addresses, credentials, quotas and limits. Nothing here leaves this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from errors import PredictionUnavailable
from predictors import PredictionRequest, ai_platform, vertex
from predictors.google_api import Address
from settings import Settings
from tests.websocket_server.faulty_server import FaultyServer

ENDPOINT = "/v1/projects/P/locations/us-central1/endpoints/7"
SHARED = f"https://us-central1-aiplatform.googleapis.com{ENDPOINT}"
DEDICATED = f"https://7.us-central1-123.prediction.vertexai.goog{ENDPOINT}"
FRAME = PredictionRequest(b"\xff\xd8\xff", "", "p1", {}, trace="0" * 31 + "1")


Connect = Callable[[str], vertex.VertexPredictor]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connect to an endpoint of Vertex AI's."""
    made: list[vertex.VertexPredictor] = []

    def connect_to(address: str) -> vertex.VertexPredictor:
        made.append(vertex.connect(address, Settings(predict_seconds=10, predict_cold_seconds=10)))
        return made[-1]

    yield connect_to
    for predictor in made:
        predictor.close()


@pytest.fixture
def faulty() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        yield server


# --- addresses


@pytest.mark.parametrize(
    "address",
    [
        "us-central1-aiplatform.googleapis.com",
        "https://us-central1-aiplatform.googleapis.com",
        "https://us-central1-aiplatform.googleapis.com/v1/projects/P/models/M",
        f"{SHARED}:explain",
        f"{SHARED}/extra",
        f"ftp://127.0.0.1{ENDPOINT}",
        f"https://key:secret@us-central1-aiplatform.googleapis.com{ENDPOINT}",
    ],
)
def test_an_address_that_is_no_endpoints(connect: Connect, address: str) -> None:
    with pytest.raises(SystemExit, match=r"FACESWAP_PREDICTORS: expected .*received"):
        connect(address)


def test_a_password_in_an_address_is_not_repeated(connect: Connect) -> None:
    with pytest.raises(SystemExit) as refused:
        connect(f"https://key:secret@us-central1-aiplatform.googleapis.com{ENDPOINT}")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "origin",
    [
        "https://prediction.example.com",
        "https://googleapis.com.example.com",
        "https://evilgoogleapis.com",
        "http://us-central1-aiplatform.googleapis.com",
    ],
)
def test_credentials_go_to_google_over_https_and_nowhere_else(connect: Connect, origin: str) -> None:
    with pytest.raises(SystemExit, match="host of Google's over https"):
        connect(origin + ENDPOINT)


def test_ai_platform_has_no_raw_predict() -> None:
    with pytest.raises(SystemExit, match="rawPredict"):
        ai_platform.connect("http://127.0.0.1:1/v1/projects/P/models/M:rawPredict", Settings())


def test_what_an_address_says(connect: Connect) -> None:
    shared, dedicated, local = (
        Address.parse(text, vertex.RESOURCE, vertex.EXAMPLE)
        for text in (SHARED, f"{DEDICATED}:predict", f"http://[::1]:8002{ENDPOINT}")
    )
    assert (shared.resource, shared.method) == (ENDPOINT.removeprefix("/v1/"), "")
    assert (shared.request_bytes, dedicated.request_bytes) == (1_500_000, 10_000_000)
    assert [each.is_loopback for each in (shared, dedicated, local)] == [False, False, True]
    assert connect(f"{SHARED}:rawPredict").name == SHARED


def test_the_paths_that_are_asked(connect: Connect, faulty: FaultyServer) -> None:
    model = "/v1/projects/P/models/M"
    for made in (
        ai_platform.connect(faulty.url + model, Settings()),
        ai_platform.connect(f"{faulty.url}{model}/versions/V:predict", Settings()),
        connect(faulty.url + ENDPOINT),
        connect(f"{faulty.url}{ENDPOINT}:predict"),
    ):
        with pytest.raises(PredictionUnavailable):
            made.predict(FRAME)
        made.close()
    asked = [path.partition("?")[0] for path in faulty.paths]
    assert asked == [
        f"{model}:predict",
        f"{model}/versions/V:predict",
        f"{ENDPOINT}:rawPredict",
        f"{ENDPOINT}:predict",
    ]


# --- quotas, permission, interruption


def test_nothing_is_sent_while_a_quota_recovers(connect: Connect, faulty: FaultyServer) -> None:
    faulty.fault = "quota"
    made = connect(faulty.url + ENDPOINT)
    assert made.ready()
    with pytest.raises(PredictionUnavailable, match="429"):
        made.predict(FRAME)
    assert not made.ready(), "so the relay sends its frames elsewhere"
    with pytest.raises(PredictionUnavailable, match="left alone"):
        made.predict(FRAME)
    assert faulty.requests == 1


def test_permission_that_google_denies_is_not_the_sessions_fault(connect: Connect, faulty: FaultyServer) -> None:
    faulty.fault = "not permitted"
    with pytest.raises(PredictionUnavailable, match=r"403: see docs/deploying\.md"):
        connect(faulty.url + ENDPOINT).predict(FRAME)


# --- credentials


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of this machine's, and no look at Google's metadata server."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


class TokenServer(HTTPServer):
    """Gives access tokens for assertions, as Google's does: https://datatracker.ietf.org/doc/html/rfc7523"""

    tokens = 0
    seconds = 3600


class TokenHandler(BaseHTTPRequestHandler):
    server: TokenServer

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.tokens += 1
        token = {"access_token": f"token-{self.server.tokens}", "expires_in": self.server.seconds}
        body = json.dumps({**token, "token_type": "Bearer"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def token_server() -> Iterator[TokenServer]:
    server = TokenServer(("127.0.0.1", 0), TokenHandler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def application_default_credentials(
    nothing_known: None, token_server: TokenServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A service account made up for the test, whose tokens this machine gives."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    account = {
        "type": "service_account",
        "project_id": "P",
        "private_key_id": "1",
        "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "client_email": "relay@p.iam.gserviceaccount.com",
        "token_uri": f"http://127.0.0.1:{token_server.server_port}/token",
    }
    path = tmp_path / "account.json"
    path.write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))


def test_ready_fetches_credentials_so_that_no_frame_has_to(
    connect: Connect, application_default_credentials: None, token_server: TokenServer
) -> None:
    made = connect(SHARED)
    assert made.ready()
    assert made.ready()
    assert token_server.tokens == 1, "a token is used for as long as it holds"
    token_server.seconds = 1
    fleeting = connect(SHARED)
    assert fleeting.ready()
    fleeting.ready()
    assert token_server.tokens == 3, "and replaced before it ends"


def test_without_credentials_it_is_not_ready(
    connect: Connect, nothing_known: None, caplog: pytest.LogCaptureFixture
) -> None:
    made = connect(SHARED)
    assert not made.ready()
    assert not made.ready()
    assert caplog.text.count("DefaultCredentialsError") == 1, "said once, not every second"
    with pytest.raises(PredictionUnavailable):
        made.predict(FRAME)


def test_a_token_server_that_is_down_is_no_exception(
    connect: Connect, application_default_credentials: None, token_server: TokenServer
) -> None:
    made = connect(SHARED)
    assert made.ready()
    token_server.shutdown()
    token_server.server_close()
    assert not connect(SHARED).ready()
