"""The prediction service on Ray Serve, from its tarball in its own environment: answers, limits, a replica killed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import pytest
from websockets.sync.client import connect

from benchmarks.pages import FRAME as FRAME_TYPE
from benchmarks.pages import HEADER, Signer
from benchmarks.scaling.servers import MARK, Server
from prediction_model.prediction import ModelPrediction
from prediction_model.serving.http import FRAME, join_frame, split_frame
from tests.ports import free_port
from tests.prediction_model.conftest import Frames
from tests.prediction_model.serving.conftest import Environment, ask, get, post

pytestmark = pytest.mark.slow

RAW_PREDICT = "/v1/projects/P/locations/L/endpoints/E:rawPredict"
PREDICT = "/v1/projects/P/models/M:predict"
SWAPPED, HELD = 1, 2
SESSIONS = 4
RECOVERY_SECONDS = 300.0


@pytest.fixture(scope="module")
def signer() -> Signer:
    """client_app's key."""
    return Signer()


@pytest.fixture(scope="module")
def service(ray_environment: Environment, signer: Signer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two replicas on this machine, which give the model up to four frames in one call."""
    server = Server(free_port(), uuid.uuid4().hex, 0.0)
    # Ray's sockets lie in this folder, and a socket's path is at most 107 bytes long.
    ray_folder = tempfile.mkdtemp(prefix="fs-ray-")
    variables = {MARK: server.mark, "RAY_TMPDIR": ray_folder, "FACESWAP_VERIFY_KEY": signer.verify_key}
    command = ["python", "-m", "prediction_model", "serve-ray", "--port", str(server.port)]
    command += ["--replicas", "2", "--cpus", "0.5", "--batch", "4"]
    folder = tmp_path_factory.mktemp("ray")
    try:
        with ray_environment.serving(command, folder, url(server, "/readyz"), variables):
            yield server
    finally:
        left = server.processes
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(ray_folder, ignore_errors=True)
    assert not left, "SIGTERM stops every process of Ray's"


def url(server: Server, path: str) -> str:
    return f"http://127.0.0.1:{server.port}{path}"


def replicas(server: Server) -> list[int]:
    """Process ids of the replicas."""
    return [pid for pid in server.processes if b"ServeReplica" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.fixture(scope="module")
def jpegs(frames: Frames) -> list[bytes]:
    """Eight frames of a wearer."""
    return [cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames("w1")[:8]]


def test_the_same_answers_as_one_process_gives(service: Server, model: ModelPrediction, jpegs: list[bytes]) -> None:
    options = {"identity": "p8", "engine": "photo"}
    expected = [model.predict_frame(jpeg, {"options": options}) for jpeg in jpegs]
    with ThreadPoolExecutor(len(jpegs)) as pool:
        bodies = [join_frame({"options": options}, jpeg) for jpeg in jpegs]
        answers = list(pool.map(lambda body: post(url(service, RAW_PREDICT), body, FRAME), bodies))
    assert [status for status, _ in answers] == [200] * len(jpegs)
    for (_, body), (picture, told) in zip(answers, expected, strict=True):
        answer, answered_picture = split_frame(body)
        assert answered_picture == picture, "batched with other sessions' frames, and the same to the byte"
        assert answer["faces"] == told["faces"]
    assert all(told["swapped"] for _, told in expected)


def test_several_instances_and_a_bad_one(service: Server, jpegs: list[bytes]) -> None:
    image = {"b64": base64.b64encode(jpegs[0]).decode()}
    body = {"instances": [{"image": image}, {"image": {"b64": "!"}}]}
    status, answer = post(url(service, PREDICT), json.dumps(body).encode())
    assert status == 200
    good, bad = json.loads(answer)["predictions"]
    assert good["swapped"] is True
    assert bad["error"]["type"] == "bad_instance"


def test_routes_and_errors_are_the_services_own(service: Server, jpegs: list[bytes]) -> None:
    assert get(url(service, "/healthz"))[0] == 200
    assert b"faceswap_prediction_requests" in get(url(service, "/metrics"))[1]
    assert get(url(service, "/nowhere"))[0] == 404
    status, answer = post(url(service, RAW_PREDICT), b"no picture", "image/jpeg")
    assert (status, json.loads(answer)["error"]["type"]) == (400, "unreadable_picture")


def test_frames_of_an_identity_are_asked_for_by_name(service: Server, jpegs: list[bytes]) -> None:
    headers = {"Content-Type": FRAME, "serve_multiplexed_model_id": "p3"}
    body = join_frame({"options": {"identity": "p3", "engine": "photo"}}, jpegs[0])
    for _ in range(3):
        request = urllib.request.Request(url(service, RAW_PREDICT), body, headers)  # noqa: S310
        assert ask(request)[0] == 200


def test_what_it_has_no_room_for_is_turned_away_at_once(service: Server, jpegs: list[bytes]) -> None:
    body = join_frame({}, jpegs[0])
    statuses: list[int] = []
    deadline = time.monotonic() + RECOVERY_SECONDS
    with ThreadPoolExecutor(60) as pool:
        # Where these 60 come too slowly to be too many at once, others follow.
        while 503 not in statuses:
            assert time.monotonic() < deadline, "it takes as much as comes"
            statuses += pool.map(lambda _: post(url(service, RAW_PREDICT), body, FRAME)[0], range(60))
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 8


def test_kuberays_configuration_is_rays(root: Path, ray_environment: Environment, tmp_path: Path) -> None:
    page = (root / "docs" / "deploying.md").read_text(encoding="utf-8")
    (service,) = [block for block in page.split("```yaml\n")[1:] if "kind: RayService" in block]
    (tmp_path / "service.yaml").write_text(service.partition("```")[0], encoding="utf-8")
    code = """
import dataclasses, yaml
from ray.serve.schema import ServeDeploySchema
from prediction_model.serving.ray_app import Options, build
spec = yaml.safe_load(open("service.yaml"))["spec"]
(application,) = ServeDeploySchema(**yaml.safe_load(spec["serveConfigV2"])).applications
assert application.import_path == f"{build.__module__}:{build.__name__}"
build(application.args)
"""
    (tmp_path / "check.py").write_text(code, encoding="utf-8")
    ray_environment.run("python check.py", tmp_path)


class Session:
    """A page's session, played on a thread: one frame after the other until told to stop."""

    def __init__(self, address: str, hello: str, jpegs: list[bytes]) -> None:
        self.flags: list[int] = []
        self.fault: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, args=(address, hello, jpegs))
        self._thread.start()

    def _play(self, address: str, hello: str, jpegs: list[bytes]) -> None:
        try:
            with connect(address, compression=None, max_size=None, proxy=None) as page:
                page.send(hello)
                sequence = 0
                while not self._stop.is_set():
                    sequence += 1
                    jpeg = jpegs[sequence % len(jpegs)]
                    page.send(HEADER.pack(1, FRAME_TYPE, 0, sequence, time.monotonic_ns() // 1000) + jpeg)
                    while isinstance(message := page.recv(timeout=30), str):
                        pass
                    _, _, flags, answered, _ = HEADER.unpack_from(message)
                    assert answered == sequence
                    assert flags & SWAPPED or not picture_of(message), "no picture that was not swapped"
                    self.flags.append(flags)
                    time.sleep(0.05)
        except Exception as error:  # told by the test's own thread
            self.fault = error

    @property
    def swaps(self) -> int:
        return sum(1 for flags in list(self.flags) if flags & SWAPPED)

    def end(self) -> None:
        self._stop.set()
        self._thread.join(40)


def picture_of(result: bytes) -> bytes:
    (length,) = struct.unpack_from("<I", result, HEADER.size)
    return result[HEADER.size + 4 + length :]


@contextmanager
def relay_before(service: Server, signer: Signer, root: Path) -> Iterator[str]:
    """The relay, by the README's command, before `service`; the address of its stream."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "-k", "flask_sockets.worker"]
    variables = {
        "FACESWAP_VERIFY_KEY": signer.verify_key,
        "FACESWAP_CLIENT_URL": "",
        "FACESWAP_PREDICTORS": url(service, ""),
        "FACESWAP_PREDICT_SECONDS": "3",
    }
    process = subprocess.Popen(
        [*command, "--no-control-socket", "main:app"],
        cwd=root / "websocket_server",
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: get(f"http://127.0.0.1:{port}/readyz")[0] == 200, "the relay is ready")
        yield f"ws://127.0.0.1:{port}/websocket"
    finally:
        process.terminate()
        process.wait(20)


def wait_until(holds: object, what: str) -> None:
    assert callable(holds)
    deadline = time.monotonic() + RECOVERY_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {RECOVERY_SECONDS:.0f} s: {what}"
        time.sleep(0.1)


def test_a_replica_killed_under_load_costs_frames_and_no_session(
    service: Server, signer: Signer, root: Path, jpegs: list[bytes]
) -> None:
    before = replicas(service)
    assert len(before) == 2
    with relay_before(service, signer, root) as address:
        sessions = [Session(address, signer.hello(), jpegs) for _ in range(SESSIONS)]
        try:
            wait_until(lambda: all(each.swaps >= 5 for each in sessions), "every session is served")
            os.kill(before[0], signal.SIGKILL)
            swaps = [each.swaps for each in sessions]
            wait_until(
                lambda: all(each.swaps >= was + 20 for each, was in zip(sessions, swaps, strict=True)),
                "every session is served again",
            )
            wait_until(lambda: len(set(replicas(service)) - {before[0]}) == 2, "Ray has replaced the replica")
            assert all(get(url(service, path))[0] == 200 for path in ("/healthz", "/readyz"))
        finally:
            for each in sessions:
                each.end()
    assert [each.fault for each in sessions] == [None] * SESSIONS, "no session ended, none saw a picture unswapped"
