"""run.py on a machine that has only Python."""

from __future__ import annotations

import ast
import fcntl
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from base64 import urlsafe_b64decode
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import run
from tests.setup.running import INSTALL_SECONDS, START_SECONDS, Running, clean_environment, fetch, left_in, processes_in

SERVICES = ("prediction", "relay", "client")


@pytest.fixture(scope="module")
def ports() -> int:
    """The first of three neighbouring ports that nothing listens on."""
    for first in range(18000, 30000, 3):
        probes = [socket.socket() for _ in range(3)]
        try:
            for offset, probe in enumerate(probes):
                probe.bind(("127.0.0.1", first + offset))
            return first
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
    raise AssertionError("no three free ports between 18000 and 30000")


@pytest.fixture(scope="module")
def tree(copy_tree: Callable[[], Path]) -> Path:
    return copy_tree()


def command(python: Path, ports: int, *options: str) -> list[str]:
    return [str(python), "run.py", "--no-browser", "--port", str(ports), *options]


def env_file(tree: Path) -> dict[str, str]:
    lines = (tree / ".env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture(scope="module")
def set_up(tree: Path, python: Path, ports: int) -> Path:
    """The tree after its first start, which served the page and was stopped by SIGTERM."""
    with Running(command(python, ports), tree) as first:
        first.wait_for("Open ", INSTALL_SECONDS)
        assert fetch(f"http://127.0.0.1:{ports}/")[0] == 200
        assert len(processes_in(tree)) >= 4, "run.py and three services"
        assert first.stop() == 0
    for step in ("making .venv", "installing the services", "installing the face models"):
        assert step in first.lines
    for name in SERVICES:
        assert any(line.startswith(f"{name:<10} | ready on port ") for line in first.lines)
    assert left_in(tree) == []
    return tree


@pytest.mark.slow
def test_first_start_makes_keys_that_only_the_owner_can_read(set_up: Path) -> None:
    assert (set_up / ".env").stat().st_mode & 0o777 == 0o600
    settings = env_file(set_up)
    seed, public = (urlsafe_b64decode(settings[name] + "=") for name in ("FACESWAP_SIGNING_KEY", "FACESWAP_VERIFY_KEY"))
    assert Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw() == public
    assert len(settings["SECRET_KEY"]) >= 50
    for name in ("FACESWAP_WATERMARK_KEY", "FACESWAP_STORE_KEY"):
        assert len(urlsafe_b64decode(settings[name] + "=")) == 32


@pytest.mark.slow
def test_second_start_installs_nothing_and_keeps_the_settings(set_up: Path, python: Path, ports: int) -> None:
    before = env_file(set_up)
    with (set_up / ".env").open("a", encoding="utf-8") as file:
        file.write("ALLOWED_HOSTS=127.0.0.1,swap.example\n")
    (set_up / ".env").chmod(0o644)
    with Running(command(python, ports), set_up) as second:
        second.wait_for("Open ", START_SECONDS)
        for offset in range(3):
            assert fetch(f"http://127.0.0.1:{ports + offset}/readyz")[0] == 200
        assert second.stop() == 0
    assert "installing" not in second.output
    assert env_file(set_up) == before | {"ALLOWED_HOSTS": "127.0.0.1,swap.example"}
    assert (set_up / ".env").stat().st_mode & 0o777 == 0o600


def test_what_does_not_stop_is_killed_in_time() -> None:
    assert run.STOP_SECONDS + len(SERVICES) * run.LAST_LINES_SECONDS < 5


@pytest.mark.slow
def test_control_c_stops_everything(set_up: Path, python: Path, ports: int) -> None:
    with Running(command(python, ports), set_up) as started:
        started.wait_for("Open ", START_SECONDS)
        os.killpg(started.process.pid, signal.SIGINT)
        assert started.ended() == 0
    assert "Traceback" not in started.output
    assert left_in(set_up) == []


@pytest.mark.slow
@pytest.mark.parametrize("said", ["prediction | ", "relay      | ", "Booting worker"])
def test_an_interrupt_while_services_start_stops_them_as_soon(
    set_up: Path, python: Path, ports: int, said: str
) -> None:
    """gunicorn loses a SIGTERM that meets a worker before it listens to signals, and waits for that worker."""
    with Running(command(python, ports), set_up) as started:
        started.wait_for(said, START_SECONDS)
        assert started.stop() == run.INTERRUPTED
    assert "Traceback" not in started.output
    assert left_in(set_up) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_dies_ends_the_others(set_up: Path, python: Path, ports: int, name: str) -> None:
    with Running(command(python, ports), set_up) as started:
        started.wait_for("Open ", START_SECONDS)
        os.kill(listener(ports + {"client": 0, "relay": 1, "prediction": 2}[name], started.process.pid), signal.SIGKILL)
        assert started.ended() == 1
    assert started.lines[-1] == f"The {name} service died (signal 9); its last lines above say why."
    assert left_in(set_up) == []


def listener(port: int, parent: int) -> int:
    """The child of `parent` whose command line names `port`."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split()
    (found,) = (int(pid) for pid in children if str(port).encode() in Path(f"/proc/{pid}/cmdline").read_bytes())
    return found


@pytest.mark.slow
def test_https_serves_page_and_socket_with_a_self_made_certificate(set_up: Path, python: Path, ports: int) -> None:
    with Running(command(python, ports, "--https"), set_up) as started:
        assert f"https://127.0.0.1:{ports}" in started.wait_for("Open ", START_SECONDS)
        trust = ssl.create_default_context(cafile=str(set_up / "var" / "tls" / "certificate.pem"))
        for port in (ports, ports + 1):
            with urllib.request.urlopen(f"https://127.0.0.1:{port}/healthz", timeout=10, context=trust) as answer:
                assert answer.status == 200
        # The relay's first poll is answered when there is something to revoke: else only after 25 s.
        revoke = [str(set_up / ".venv" / "bin" / "python"), "manage.py", "revoke", "session", "0" * 32]
        subprocess.run(
            revoke, cwd=set_up / "client_app", env=clean_environment(), check=True, stdout=subprocess.DEVNULL
        )
        started.wait_for("following the feed of revocations", START_SECONDS)
        assert started.stop() == 0
    assert (set_up / "var" / "tls" / "key.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_a_whole_network_sees_no_errors_details(set_up: Path, python: Path, ports: int) -> None:
    with Running(command(python, ports, "--host", "0.0.0.0"), set_up) as started:  # noqa: S104
        started.wait_for("Open ", START_SECONDS)
        assert any("so DEBUG=0 keeps errors' details" in line for line in started.lines)
        page = fetch(f"http://127.0.0.1:{ports}/")[1]
        style = re.findall(r'href="(/static/[^"]+base[^"]*\.css)"', page)[0]
        assert fetch(f"http://127.0.0.1:{ports}{style}")[0] == 200
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            fetch(f"http://127.0.0.1:{ports}/nothing")
        told = refused.value.read().decode()
        refused.value.close()
        assert "There is nothing at this address" in told and "ROOT_URLCONF" not in told and "Traceback" not in told
        assert 'value="release"' not in fetch(f"http://127.0.0.1:{ports}/enrol")[1]
        assert started.stop() == 0


def test_a_port_in_use_is_one_sentence_before_anything_is_made(
    copy_tree: Callable[[], Path], python: Path, ports: int
) -> None:
    tree = copy_tree()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", ports + 1))
        taken.listen()
        ended = subprocess.run(command(python, ports), cwd=tree, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        f"Cannot listen on 127.0.0.1:{ports + 1} (Address already in use): choose another --port."
    ]
    assert not (tree / ".venv").exists()


@pytest.mark.slow
def test_a_virtual_environment_that_was_interrupted_is_made_anew(
    monkeypatch: pytest.MonkeyPatch, python: Path, tmp_path: Path
) -> None:
    subprocess.run([python, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    monkeypatch.setattr(run, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(run, "PYTHON", str(tmp_path / ".venv" / "bin" / "python"))
    run.make_venv()
    subprocess.run([run.PYTHON, "-m", "pip", "--version"], check=True, capture_output=True)


def test_a_second_run_waits_until_the_first_has_set_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run, "ROOT", tmp_path)
    entered = threading.Event()

    def second() -> None:
        with run.alone():
            entered.set()

    first = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(first, fcntl.LOCK_EX)
    thread = threading.Thread(target=second)
    thread.start()
    assert not entered.wait(0.3)
    os.close(first)
    thread.join(30)
    assert entered.is_set()


def test_secrets_are_added_and_what_is_there_stays(root: Path, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("# mine\nSECRET_KEY=kept", encoding="utf-8")
    make_secrets(root, env_file).check_returncode()
    text = env_file.read_text(encoding="utf-8")
    assert text.startswith("# mine\nSECRET_KEY=kept\n")
    names = ["SECRET_KEY", *(f"FACESWAP_{name}_KEY" for name in ("SIGNING", "VERIFY", "WATERMARK", "STORE"))]
    assert [line.partition("=")[0] for line in text.splitlines()[1:] if line] == names


def test_a_full_disk_leaves_no_half_written_secrets(root: Path, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    before = f"# {'a' * 1000}\nALLOWED_HOSTS=swap.example\n"
    env_file.write_text(before, encoding="utf-8")
    ended = make_secrets(root, env_file, limit="1")
    assert ended.returncode == 1
    assert "OSError" in ended.stderr
    assert env_file.read_text(encoding="utf-8") == before
    assert list(tmp_path.iterdir()) == [env_file]


def make_secrets(root: Path, env_file: Path, limit: str = "unlimited") -> subprocess.CompletedProcess[str]:
    """Run `make_keys.py secrets` where no file may grow past `limit` blocks, of 1024 bytes at most."""
    command = [sys.executable, "-B", "client_app/make_keys.py", "secrets", str(env_file)]
    shell = ["sh", "-c", f'ulimit -f {limit}; exec "$@"', "sh"]
    return subprocess.run([*shell, *command], cwd=root, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("port", ["0", "-1", "65534"])
def test_a_port_that_is_none_is_one_sentence(root: Path, port: str) -> None:
    ended = subprocess.run(
        [sys.executable, "run.py", f"--port={port}"], cwd=root, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 1
    assert ended.stderr == f"--port must be 1 to 65533, received {port}: choose another.\n"


def test_no_service_is_started_by_a_script_that_names_the_folder_it_was_installed_in() -> None:
    plans = run.plans(run.Addresses(run.command_line().parse_args([])), workers=1)
    assert [plan.command[:2] for plan in plans.values()] == [[run.PYTHON, "-m"]] * 3


@pytest.mark.slow
def test_a_failed_install_is_one_sentence(copy_tree: Callable[[], Path], python: Path, ports: int) -> None:
    tree = copy_tree()
    (tree / "requirements.txt").write_text("django==0.0.1\n", encoding="utf-8")
    environment = clean_environment() | {"PIP_NO_INDEX": "1"}
    ended = subprocess.run(
        command(python, ports), cwd=tree, capture_output=True, text=True, timeout=120, env=environment
    )
    assert ended.returncode == 1
    (sentence,) = ended.stderr.splitlines()
    assert sentence.startswith("Installing the services failed; ")
    assert "No matching distribution found for " in sentence


def test_a_python_too_old_is_one_sentence(root: Path) -> None:
    source = (root / "run.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 6))
    assert "from __future__" not in source, "an old Python refuses a future feature that it does not know"
    pretend = "import runpy, sys; sys.version_info = (3, 6, 9); sys.version = '3.6.9'; runpy.run_path('run.py')"
    ended = subprocess.run([sys.executable, "-c", pretend], cwd=root, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert ended.stderr == "run.py needs Python 3.11 or newer, received 3.6.9: install one and start it with that.\n"


def test_host_and_port_reach_every_setting_they_imply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "read_env_file", dict)
    for name in ("ALLOWED_HOSTS", "FACESWAP_ORIGINS", "FACESWAP_WEBSOCKET_URL"):
        monkeypatch.delenv(name, raising=False)
    at = run.Addresses(run.command_line().parse_args(["--host", "192.0.2.7", "--port", "9000", "--https"]))
    settings = at.environment()
    assert at.page == "https://192.0.2.7:9000"
    assert settings["ALLOWED_HOSTS"].split(",") == ["192.0.2.7", "localhost", "127.0.0.1"]
    assert "https://192.0.2.7:9000" in settings["FACESWAP_ORIGINS"].split(",")
    assert settings["FACESWAP_WEBSOCKET_URL"] == "wss://192.0.2.7:9001/websocket"
    assert settings["FACESWAP_CLIENT_URL"] == "https://192.0.2.7:9000"
    assert settings["FACESWAP_PREDICTORS"] == settings["FACESWAP_PREDICTION_URL"] == "http://127.0.0.1:9002"


def addresses(*options: str) -> run.Addresses:
    return run.Addresses(run.command_line().parse_args(list(options)))


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "read_env_file", dict)
    for name in ("DEBUG", "FACESWAP_HTTPS", "FACESWAP_RELEASES"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nothing_set")
@pytest.mark.parametrize("host", ["0.0.0.0", "0", "", "192.0.2.7"])  # noqa: S104
@pytest.mark.parametrize("https", [True, False])
def test_where_others_can_connect_nothing_is_for_developers(host: str, https: bool) -> None:
    at = addresses("--host", host, *(["--https"] if https else []))
    settings = at.environment()
    assert (settings["DEBUG"], settings["FACESWAP_RELEASES"]) == ("0", "staff")
    assert settings.get("FACESWAP_HTTPS") == (None if https else "0")
    sentence = at.warning(settings)
    assert "so DEBUG=0 keeps errors' details from them, and only staff" in sentence
    assert sentence.endswith(".") and ("without --https" in sentence) != https


@pytest.mark.usefixtures("nothing_set")
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
def test_on_this_machine_alone_the_services_are_a_developers(host: str) -> None:
    at = addresses("--host", host)
    assert not at.for_others
    assert not {"DEBUG", "FACESWAP_RELEASES", "FACESWAP_HTTPS"} & set(at.environment())


@pytest.mark.usefixtures("nothing_set")
def test_who_sets_debug_for_a_whole_network_is_told_what_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "read_env_file", lambda: {"DEBUG": "1"})
    at = addresses("--host", "0.0.0.0")  # noqa: S104
    settings = at.environment()
    assert not {"DEBUG", "FACESWAP_HTTPS"} & set(settings), "left to .env"
    assert "DEBUG=1, FACESWAP_RELEASES=staff: README says what that lets" in at.warning(settings)


@pytest.mark.usefixtures("nothing_set")
def test_who_serves_behind_a_proxy_that_encrypts_keeps_its_cookies_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUG", "0")
    at = addresses("--host", "0.0.0.0")  # noqa: S104
    settings = at.environment()
    assert "FACESWAP_HTTPS" not in settings
    assert at.needs_proxy(settings) and "--https" not in at.warning(settings)


@pytest.mark.usefixtures("nothing_set")
@pytest.mark.parametrize(
    ("options", "written", "needs"),
    [
        ([], {}, False),
        ([], {"DEBUG": "off"}, True),
        ([], {"DEBUG": "0", "FACESWAP_HTTPS": "0"}, False),
        (["--https"], {"DEBUG": "0"}, False),
        (["--host", "0.0.0.0"], {}, False),  # noqa: S104
    ],
)
def test_no_page_is_announced_that_only_leads_to_https(
    monkeypatch: pytest.MonkeyPatch, options: list[str], written: dict[str, str], needs: bool
) -> None:
    monkeypatch.setattr(run, "read_env_file", lambda: written)
    at = addresses(*options)
    assert at.needs_proxy(at.environment()) is needs


def test_a_setting_of_the_person_outranks_what_run_implies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "read_env_file", lambda: {"FACESWAP_WEBSOCKET_URL": "wss://swap.example/websocket"})
    monkeypatch.setenv("ALLOWED_HOSTS", "swap.example")
    settings = run.Addresses(run.command_line().parse_args([])).environment()
    assert "FACESWAP_WEBSOCKET_URL" not in settings, "left to .env, which the services read"
    assert settings["ALLOWED_HOSTS"] == "swap.example"
