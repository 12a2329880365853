"""What an operator may set: read once, from the environment, then from the root `.env`; never changed afterwards."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, ClassVar

import environ
from django.core.exceptions import ImproperlyConfigured

ROOT = Path(__file__).resolve().parent.parent.parent
ENV_FILE = ROOT / ".env"
PREFIX = "FACESWAP_"
CHOICES = {"login": ("open", "required"), "releases": ("", "anyone", "staff")}
"""What some texts may be."""
DATABASE_CONNECT_SECONDS = 5
"""Deadline of a connection to PostgreSQL; the system's own would be minutes."""
DATABASE_IDLE_SECONDS = 60
"""How long a connection to PostgreSQL is kept for the next request."""
DJANGO_NAMES = ("secret_key", "debug", "allowed_hosts", "database_url")
"""Settings that keep the names everybody knows from Django."""


def setting(default: Any, help: str, secret: bool = False) -> Any:
    """A field whose environment name is `environment_name` of its own; a `secret` one is in no log and no error page,
    where Django shows settings by their `repr`."""
    return field(default=default, repr=not secret, metadata={"help": help})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of the client. `help` in a field's metadata is its line in the README's table."""

    debug: bool = setting(True, "0 where others can reach it: keys must be set, HTTPS is required, errors stay private")
    https: bool = setting(
        True, "0 where `DEBUG` is 0 and the page is served over plain HTTP, in a network that you trust"
    )
    secret_key: str = setting("", "Django's secret, 50 characters or more", secret=True)
    allowed_hosts: tuple[str, ...] = setting(("localhost", "127.0.0.1"), "names of this server, comma-separated")
    database_url: str = setting("sqlite:///client_app/db.sqlite3", "the database: sqlite or postgres", secret=True)
    signing_key: str = setting(
        "", "private Ed25519 key of session tokens: base64url, no padding, of its 32 bytes", secret=True
    )
    websocket_url: str = setting("ws://127.0.0.1:8001/websocket", "the relay, as a visitor's browser reaches it")
    prediction_url: str = setting("http://127.0.0.1:8002", "the prediction service, for pictures without a camera")
    prediction_seconds: float = setting(15.0, "deadline of one picture")
    gallery: str = setting("prediction_model/identities/gallery", "folder of the identity packages that are offered")
    behind_proxy: bool = setting(False, "1 where a proxy sets X-Forwarded-Proto (App Engine is known without it)")
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = setting(
        (), "networks whose X-Forwarded-For is believed, comma-separated"
    )
    login: str = setting("open", "`required`: everything but the public pages asks for a login; `open`: nothing does")
    releases: str = setting(
        "", "who adds others by a signed release: `staff` or `anyone`; empty: anyone while `DEBUG` is on, else staff"
    )
    login_failures: int = setting(5, "wrong passwords from one address after which it is locked out")
    login_lockout_minutes: int = setting(15, "for how long")
    visitor_sessions_per_hour: int = setting(60, "most sessions and pictures of one visitor who is not logged in")
    visitor_minutes_per_day: int = setting(720, "most minutes of that visitor's sessions")
    address_sessions_per_hour: int = setting(240, "the same of one address (IPv6: one /64), whoever is behind it")
    address_minutes_per_day: int = setting(7200, "most minutes of that address's sessions")
    address_identities: int = setting(32, "most enrolled faces of that address; one visitor has at most 8")
    session_fps: int = setting(30, "most frames a second of one session")
    session_pixels: int = setting(1280 * 720, "most pixels of a session's frame")
    session_minutes: int = setting(60, "longest session, in minutes")
    picture_bytes: int = setting(12 << 20, "largest picture that `POST /image` takes")
    export_bytes: int = setting(31 << 20, "largest snapshot or recording to sign or verify; App Engine takes 32 MB")
    export_certificate: str = setting("var/c2pa", "folder of `certificate.pem` and `key.pem`, which sign exports")

    @property
    def anyone_releases(self) -> bool:
        """Whether every visitor may add somebody else by a release, whose document nobody here sees."""
        return self.releases == "anyone" or (self.debug and not self.releases)

    @property
    def gallery_folder(self) -> Path:
        """`gallery`, seen from the repository."""
        return ROOT / self.gallery


def environment_name(name: str) -> str:
    """`signing_key` → `FACESWAP_SIGNING_KEY`; `debug` → `DEBUG`."""
    return name.upper() if name in DJANGO_NAMES else PREFIX + name.upper()


def database(url: str) -> dict[str, Any]:
    """Django's description of the database at `url`; a sqlite file is seen from the repository.

    Raises SystemExit, with one sentence that does not repeat the url (a password may be in it).
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # it would print the password
            found = dict(environ.Env.db_url_config(url))
    except (ValueError, ImproperlyConfigured):
        found = {}
    if found.get("ENGINE") == "django.db.backends.sqlite3":
        if found["NAME"] != ":memory:":
            found["NAME"] = str(ROOT / found["NAME"])
        # A transaction writes from its first statement on: what it has counted is still so when it adds one more.
        return {**found, "OPTIONS": {"transaction_mode": "IMMEDIATE", **found.get("OPTIONS", {})}}
    if found.get("ENGINE") != "django.db.backends.postgresql" or not found.get("NAME"):
        raise SystemExit(
            "DATABASE_URL cannot be read: expected sqlite:///FILE, or postgres://USER:PASSWORD@HOST/DATABASE with "
            "percent signs for what is special in the password. Correct it and start again."
        )
    if find_spec("psycopg") is None:
        raise SystemExit(
            "DATABASE_URL asks for PostgreSQL, whose driver is not installed: pip install 'psycopg[binary]'."
        )
    found["OPTIONS"] = {"connect_timeout": DATABASE_CONNECT_SECONDS, **found.get("OPTIONS", {})}
    return {**found, "CONN_MAX_AGE": DATABASE_IDLE_SECONDS, "CONN_HEALTH_CHECKS": True}


def _parse(env: environ.Env, name: str, default: Any) -> Any:
    variable = environment_name(name)
    try:
        if name == "trusted_proxies":
            return tuple(ip_network(part.strip(), strict=False) for part in env.list(variable) if part.strip())
        if isinstance(default, tuple):
            return tuple(part for part in env.list(variable) if part)
        if isinstance(default, bool):
            return env.bool(variable)
        if isinstance(default, str):
            text = env.str(variable).strip()
            if text not in CHOICES.get(name, (text,)):
                raise ValueError(f"expected {' or '.join(filter(None, CHOICES[name]))}, received {text!r}")
            return text
        number = type(default)(env.str(variable))
        if not 0 < number < float("inf"):
            raise ValueError(f"expected more than 0, received {number}")
        return number
    except ValueError as error:
        raise SystemExit(f"{variable} cannot be read: {error}. Correct it and start again.") from None


def load(environment: Mapping[str, str] | None = None, env_file: Path = ENV_FILE, needs_keys: bool = True) -> Settings:
    """The settings of this process: `environment` (default: the process's own) first, then `env_file`, then defaults.

    Raises SystemExit, with one sentence, for a value that cannot be read, and for a missing key where `DEBUG=0`
    (unless `needs_keys` is false: collecting static files signs nothing).
    """

    class Env(environ.Env):  # type: ignore[misc]
        """django-environ keeps what it reads on its class; this one's is not the process's environment."""

        ENVIRON: ClassVar[dict[str, str]] = dict(os.environ if environment is None else environment)

    env = Env()
    if env_file.is_file():
        env.read_env(str(env_file), overwrite=False)
    given = {
        each.name: _parse(env, each.name, each.default)
        for each in fields(Settings)
        if environment_name(each.name) in env.ENVIRON
    }
    settings = Settings(**given)
    if needs_keys and not settings.debug:
        for name in ("secret_key", "signing_key"):
            if not getattr(settings, name):
                raise SystemExit(
                    f"{environment_name(name)} is not set, and DEBUG=0 does not start without it: "
                    "run `python3 run.py` once and copy it from the `.env` that it makes."
                )
    return settings
