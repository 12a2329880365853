"""Google's own model server with our custom prediction routine in it, by the Dockerfile's steps, without Docker."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prediction_model.serving.http import join_frame, split_frame
from tests.ports import free_port
from tests.prediction_model.serving.conftest import (
    Environment,
    docker_command,
    docker_environment,
    get,
    post,
)

pytestmark = pytest.mark.slow

FRAME = "application/x-faceswap"
JPEG_HEAD = b"\xff\xd8\xff"


@pytest.fixture(scope="module")
def server(
    root: Path, vertex_environment: Environment, exported: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The container's command with the container's environment, and what Vertex AI adds to it; its url.

    The model folder is fetched by URL, as it is from `gs://`.
    """
    url = f"http://127.0.0.1:{(port := free_port())}"
    added = {"AIP_HTTP_PORT": str(port), "AIP_STORAGE_URI": exported.as_uri(), "VERTEX_CPR_WEB_CONCURRENCY": "1"}
    variables = {**docker_environment(root), **added}
    folder = tmp_path_factory.mktemp("server")
    with vertex_environment.serving(docker_command(root), folder, f"{url}{variables['AIP_HEALTH_ROUTE']}", variables):
        yield url


@pytest.fixture(scope="module")
def predict_url(root: Path, server: str) -> str:
    return server + docker_environment(root)["AIP_PREDICT_ROUTE"]


def instance(face: bytes, identity: str = "p8") -> dict[str, object]:
    return {"image": {"b64": base64.b64encode(face).decode()}, "options": {"identity": identity, "engine": "photo"}}


def test_json(predict_url: str, face: bytes) -> None:
    body = json.dumps({"instances": [instance(face), {"image": {"b64": "!"}}], "parameters": {}}).encode()
    status, answer = post(predict_url, body)
    assert status == 200
    good, bad = json.loads(answer)["predictions"]
    assert good["swapped"] is True
    assert base64.b64decode(good["image"]["b64"]).startswith(JPEG_HEAD)
    assert bad["error"]["type"] == "bad_instance", "a bad instance does not fail its neighbour"


def test_raw_bytes(predict_url: str, face: bytes) -> None:
    frame = join_frame({"options": {"identity": "p8", "engine": "photo"}}, face)
    status, answer = post(predict_url, frame, FRAME)
    assert status == 200
    told, picture = split_frame(answer)
    assert told["swapped"] is True
    assert picture.startswith(JPEG_HEAD)
    assert picture != face


def test_a_bare_picture(predict_url: str, face: bytes) -> None:
    status, answer = post(predict_url, face, "image/jpeg")
    assert status == 200
    assert answer.startswith(JPEG_HEAD)
    assert answer != face


def test_it_serves_the_folder_it_was_given_and_no_other(predict_url: str, face: bytes) -> None:
    _, answer = post(predict_url, json.dumps({"instances": [instance(face, "p2")]}).encode())
    assert json.loads(answer)["predictions"][0]["error"]["type"] == "unknown_identity"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"{}", "application/json"),
        (b"\xff\xff\xff\xff", FRAME),
        (struct.pack("<I", 2) + b"{}no picture", FRAME),
        (b"no picture", "image/jpeg"),
        (b"text", "text/plain"),
    ],
)
def test_bad_requests_are_400_in_the_contracts_words(predict_url: str, body: bytes, content_type: str) -> None:
    status, answer = post(predict_url, body, content_type)
    assert status == 400
    assert set(json.loads(answer)["error"]) == {"code", "status", "type", "message"}


def test_frames_side_by_side(predict_url: str, face: bytes) -> None:
    frame = join_frame({"options": {"identity": "p8", "engine": "photo"}}, face)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: post(predict_url, frame, FRAME), range(8)))
    assert [status for status, _ in answers] == [200] * 8
    assert len({split_frame(answer)[1] for _, answer in answers}) == 1, "the same frame, the same answer"


def test_it_is_healthy_while_it_predicts(root: Path, server: str, predict_url: str, face: bytes) -> None:
    frame = join_frame({"options": {"identity": "p8", "engine": "photo"}}, face)
    with ThreadPoolExecutor(4) as pool:
        frames = [pool.submit(post, predict_url, frame, FRAME) for _ in range(8)]
        assert get(server + docker_environment(root)["AIP_HEALTH_ROUTE"])[0] == 200
        assert {each.result()[0] for each in frames} == {200}
