"""The service as a process of its own, over real sockets: routes, framing, errors, tokens, metrics, shutdown."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from prediction_model.labels.watermark import read
from prediction_model.types import BgrFrame
from tests import ports
from tests.prediction_model.keys import STORE_KEY, Signer, base64url

RAW = "/v1/projects/faceswap/locations/local/endpoints/live:rawPredict"
PREDICT = "/v1/projects/P/models/M:predict"
FRAME = "application/x-faceswap"
START_SECONDS = 120
STOP_SECONDS = 30

Frames = Callable[[str], list[BgrFrame]]


class Service:
    """A running service."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], signer: Signer) -> None:
        self.port, self.process, self.signer = port, process, signer

    def request(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"Content-Type": content_type})
            answer = connection.getresponse()
            return answer.status, answer.headers.get_content_type(), answer.read()
        finally:
            connection.close()

    def frame(self, picture: bytes, instance: dict[str, Any]) -> tuple[int, dict[str, Any], bytes]:
        """One rawPredict: status, JSON, picture."""
        head = json.dumps(instance).encode()
        status, kind, body = self.request("POST", RAW, struct.pack("<I", len(head)) + head + picture, FRAME)
        if kind != FRAME:
            return status, json.loads(body), b""
        (length,) = struct.unpack_from("<I", body)
        return status, json.loads(body[4 : 4 + length]), body[4 + length :]


@contextmanager
def serving(
    port: int,
    *options: str,
    folder: Path,
    python_path: Path | None = None,
    signer: Signer | None = None,
    store_key: bytes = STORE_KEY,
) -> Iterator[Service]:
    """`store_key`: of its enrolled packages; empty: it has none."""
    signer = signer or Signer()
    environment = {
        **os.environ,
        "FACESWAP_VERIFY_KEY": signer.verify_key,
        "FACESWAP_WATERMARK_KEY": base64url(bytes(32)),
        "FACESWAP_STORE_KEY": base64url(store_key),
        "FACESWAP_IDENTITY_STORE": str(folder / "enrolled"),
        "FACESWAP_TRAININGS": str(folder / "trainings"),
        "PYTHONPATH": os.pathsep.join(str(p) for p in (Path.cwd(), python_path) if p),
    }
    command = [sys.executable, "-m", "prediction_model", "serve", "--port", str(port), *options]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    service = Service(port, process, signer)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if service.request("GET", "/readyz")[0] == 200:
                    break
            except OSError:
                pass
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield service
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(ports.free_port(), folder=tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def jpeg(frames: Frames) -> bytes:
    return cv2.imencode(".jpg", frames("w1")[10])[1].tobytes()


def decoded(picture: bytes) -> BgrFrame:
    frame = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert frame is not None
    return np.asarray(frame, np.uint8)


def test_a_frame_is_swapped_and_labelled(service: Service, jpeg: bytes) -> None:
    status, answer, picture = service.frame(jpeg, {"options": {"identity": "p3"}})
    assert status == 200 and answer["swapped"] is True
    assert len(answer["faces"]) == 1 and set(answer["timings_ms"]) >= {
        "decode",
        "find",
        "swap",
        "paste",
        "label",
        "encode",
    }
    live, swapped = decoded(jpeg), decoded(picture)
    x, y, w, h = (int(v) for v in answer["faces"][0]["box"])
    assert np.abs(swapped[y : y + h, x : x + w].astype(int) - live[y : y + h, x : x + w]).mean() > 6
    assert read(swapped, bytes(32)) == 0


def test_a_session_s_frames_carry_its_id(service: Service, jpeg: bytes) -> None:
    status, _, picture = service.frame(
        jpeg, {"session": service.signer.session({"p2": ""}), "options": {"identity": "p2"}}
    )
    assert status == 200
    assert read(decoded(picture), bytes(32)) == 0x01234567


@pytest.mark.parametrize(
    ("token", "status", "kind"),
    [
        (lambda signer: signer.session({"p1": ""}), 403, "identity_not_allowed"),
        (lambda signer: signer.session({"p2": ""}, exp=int(time.time()) - 1), 401, "bad_token"),
        (lambda signer: Signer().session({"p2": ""}), 401, "bad_token"),
        (lambda signer: "forged", 401, "bad_token"),
    ],
    ids=["for another identity", "expired", "of another signer", "no token"],
)
def test_a_token_that_does_not_hold_gets_no_frame(
    service: Service, jpeg: bytes, token: Callable[[Signer], str], status: int, kind: str
) -> None:
    got, answer, picture = service.frame(jpeg, {"session": token(service.signer), "options": {"identity": "p2"}})
    assert (got, answer["error"]["type"], picture) == (status, kind, b"")


def test_a_bare_jpeg_gets_a_bare_jpeg(service: Service, jpeg: bytes) -> None:
    status, kind, picture = service.request("POST", RAW, jpeg, "image/jpeg")
    assert (status, kind) == (200, "image/jpeg")
    assert read(decoded(picture), bytes(32)) == 0


@pytest.mark.parametrize("path", [PREDICT, "/v1/projects/P/models/M/versions/V:predict", RAW.replace("rawP", "p")])
def test_google_s_json_routes_answer(service: Service, jpeg: bytes, path: str) -> None:
    text = base64.b64encode(jpeg).decode()
    body = json.dumps({"instances": [{"image": {"b64": text}}, "not base64!", text]}).encode()
    status, kind, answer = service.request("POST", path, body)
    assert (status, kind) == (200, "application/json")
    whole, bad, bare = json.loads(answer)["predictions"]
    assert whole["swapped"] is True
    assert bad["error"]["code"] == 400
    assert decoded(base64.b64decode(bare)).shape == (480, 640, 3)


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "status"),
    [
        ("GET", "/nowhere", b"", "application/json", 404),
        ("GET", PREDICT, b"", "application/json", 405),
        ("POST", PREDICT, b"{", "application/json", 400),
        ("POST", PREDICT, b'{"nope": 1}', "application/json", 400),
        ("POST", PREDICT, b"[" * 2000, "application/json", 400),
        ("POST", PREDICT, b'{"instances": [], "parameters": {"instances": []}}', "application/json", 400),
        ("POST", RAW, b"", FRAME, 400),
        ("POST", RAW, b"\xff\xff\xff\xff{}", FRAME, 400),
        ("POST", RAW, b"\x02\0\0\0[]", FRAME, 400),
        ("POST", RAW, b"\x02\0\0\0{}", FRAME, 400),
        ("POST", RAW, b"\x02\0\0\0{}noise", FRAME, 400),
        ("POST", RAW, b"hello", "text/plain", 400),
        ("POST", RAW, b"\x1e\0\0\0" + b'{"options":{"identity":"p99"}}' + b"x", FRAME, 404),
    ],
)
def test_a_bad_request_gets_a_typed_error(
    service: Service, method: str, path: str, body: bytes, content_type: str, status: int
) -> None:
    got, kind, answer = service.request(method, path, body, content_type)
    assert (got, kind) == (status, "application/json")
    error = json.loads(answer)["error"]
    assert error["code"] == status and error["type"] and error["status"] and error["message"].endswith(".")


def test_an_oversize_request_is_refused_unread(service: Service) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    connection.putrequest("POST", RAW)
    connection.putheader("Content-Length", str(1 << 40))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413 and json.loads(answer.read())["error"]["type"] == "request_too_large"
    connection.close()


def test_the_service_lives_after_all_of_this_and_counts_it(service: Service, jpeg: bytes) -> None:
    assert service.frame(jpeg, {})[0] == 200
    page = service.request("GET", "/metrics")[2].decode()
    assert 'faceswap_prediction_requests_total{route="rawPredict",status="200"}' in page
    assert 'faceswap_prediction_stage_seconds_count{stage="swap"}' in page
    assert service.request("GET", "/healthz")[0] == 200


@pytest.mark.slow
def test_two_workers_share_their_counts(tmp_path: Path, free_port: Callable[[], int], jpeg: bytes) -> None:
    with serving(free_port(), "--workers", "2", folder=tmp_path) as service:
        for _ in range(12):
            assert service.frame(jpeg, {})[0] == 200
        page = service.request("GET", "/metrics")[2].decode()
    count = next(
        line for line in page.splitlines() if line.startswith('faceswap_prediction_requests_total{route="rawPredict"')
    )
    assert float(count.rsplit(" ", 1)[1]) == 12


def test_another_class_is_served_the_same_way(
    tmp_path: Path, free_port: Callable[[], int], root: Path, jpeg: bytes
) -> None:
    examples = root / "docs" / "examples"
    with serving(free_port(), "--class", "negative:Negative", folder=tmp_path, python_path=examples) as service:
        status, answer, picture = service.frame(jpeg, {})
    assert (status, answer["swapped"]) == (200, False)
    assert np.abs(255 - decoded(picture).astype(int) - decoded(jpeg)).mean() < 4


@pytest.mark.parametrize("name", ["nowhere:Class", "json:JSONDecoder", "json"])
def test_a_class_that_cannot_be_served_is_one_sentence(name: str) -> None:
    command = [sys.executable, "-m", "prediction_model", "serve", "--class", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert done.stderr.startswith("--class: ") and len(done.stderr.splitlines()) == 1


def test_sigterm_stops_the_service(tmp_path: Path, free_port: Callable[[], int]) -> None:
    with serving(free_port(), folder=tmp_path) as service:
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(STOP_SECONDS) == 0
