"""What App Engine is given: descriptions its own parser accepts, an upload that starts and holds no secret."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.setup.running import START_SECONDS, Running, call, fetch

pytestmark = pytest.mark.slow

PARSE = """
import json, sys
from google.appengine.api import appinfo
print(json.dumps([appinfo.LoadSingleAppInfo(open(name)).ToDict() for name in sys.argv[1:]]))
"""
GALLERY = "prediction_model/identities/gallery"


@pytest.fixture(scope="module")
def parsed(root: Path, make_venv: Callable[[], Path]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`app.yaml` of the client and of the relay, as Google's own parser reads them; it refuses unknown words."""
    bin_folder = make_venv()
    call(["pip", "install", "-q", "appengine-python-standard>=3.1,<4"], root, bin_folder)
    printed = call(["python", "-W", "ignore", "-c", PARSE, "app.yaml", "websocket_server/app.yaml"], root, bin_folder)
    client, relay = json.loads(printed)
    return client, relay


def uploaded(folder: Path) -> list[str]:
    """What `gcloud meta list-files-for-upload` would list: `.gcloudignore` is written and meant like `.gitignore`."""
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    command = ["git", "ls-files", "-z", "--others", "--exclude-from=.gcloudignore"]
    listed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return sorted(filter(None, listed.stdout.split("\0")))


def copy_uploaded(folder: Path, target: Path) -> None:
    for name in uploaded(folder):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes((folder / name).read_bytes())


def entrypoint(description: dict[str, Any], bin_folder: Path, port: int) -> list[str | Path]:
    """The words of the description's entrypoint, as its shell would make them."""
    words = shlex.split(description["entrypoint"].replace("$PORT", str(port)).removeprefix("exec "))
    return [bin_folder / words[0], "--no-control-socket", *words[1:]]


@pytest.fixture(scope="module")
def tree(copy_tree: Callable[[], Path], client_venv: Path) -> Path:
    """A working copy as it looks before a deployment: static files collected, and a `.env` with secrets in it."""
    tree = copy_tree()
    call(["python", "manage.py", "collectstatic", "--noinput"], tree / "client_app", client_venv)
    (tree / ".env").write_text("SECRET_KEY=stays-here\n", encoding="utf-8")
    (tree / "client_app" / "db.sqlite3").touch()
    return tree


def test_descriptions_name_the_environments(parsed: tuple[dict[str, Any], dict[str, Any]]) -> None:
    client, relay = parsed
    assert client["runtime"].startswith("python3")
    assert "env" not in client, "the standard environment"
    assert all(handler["secure"] == "always" for handler in client["handlers"])
    assert relay["env"] == "flex", "the standard environment has no WebSockets"
    assert relay["network"]["session_affinity"] is True
    assert relay["readiness_check"]["path"] == "/readyz"
    assert relay["liveness_check"]["path"] == "/healthz"


def test_the_client_upload_is_the_client_and_its_gallery(tree: Path) -> None:
    names = uploaded(tree)
    for name in ("app.yaml", "requirements.txt", "client_app/manage.py", f"{GALLERY}/p1/portrait.jpg"):
        assert name in names
    assert any(name.startswith("client_app/staticfiles/") and name.endswith(".js") for name in names)
    beside = [name for name in names if not name.startswith(("client_app/", f"{GALLERY}/"))]
    assert beside == ["app.yaml", "requirements.txt"]
    assert {Path(name).name for name in names if name.startswith(GALLERY)} == {"identity.json", "portrait.jpg"}
    assert not [name for name in names if "sqlite" in name or Path(name).name.startswith(".env")]


def test_the_client_upload_is_enough_to_start(
    tree: Path,
    parsed: tuple[dict[str, Any], dict[str, Any]],
    client_venv: Path,
    keys: dict[str, str],
    tmp_path: Path,
    free_port: Callable[[], int],
) -> None:
    copy_uploaded(tree, tmp_path)
    port = free_port()
    variables = {name: str(value) for name, value in parsed[0]["env_variables"].items()}
    variables |= keys | {"SECRET_KEY": "x" * 50, "ALLOWED_HOSTS": "127.0.0.1"}
    with Running(entrypoint(parsed[0], client_venv, port), tmp_path, variables) as server:
        server.wait_for("Booting worker", START_SECONDS)
        status, _ = fetch(f"http://127.0.0.1:{port}/healthz")
    assert status == 200


def test_the_relay_upload_is_enough_to_start(
    tree: Path,
    parsed: tuple[dict[str, Any], dict[str, Any]],
    relay_venv: Path,
    keys: dict[str, str],
    tmp_path: Path,
    free_port: Callable[[], int],
) -> None:
    copy_uploaded(tree / "websocket_server", tmp_path)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".env")]
    port = free_port()
    variables = {name: str(value) for name, value in parsed[1]["env_variables"].items()}
    variables["FACESWAP_VERIFY_KEY"] = keys["FACESWAP_VERIFY_KEY"]
    variables["FACESWAP_PREDICTORS"] = "http://127.0.0.1:9"
    variables["FACESWAP_CLIENT_URL"] = "http://127.0.0.1:9"
    with Running(entrypoint(parsed[1], relay_venv, port), tmp_path, variables) as server:
        server.wait_for("Booting worker", START_SECONDS)
        status, _ = fetch(f"http://127.0.0.1:{port}/healthz")
    assert status == 200
