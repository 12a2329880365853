"""The relay's settings: read once, from the environment, then from the root `.env`; never changed afterwards."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, TypeAlias

ENV_FILE = Path(__file__).resolve().parent.parent / ".env"
PREFIX = "FACESWAP_"
DEBUG_ON = ("1", "true", "on", "ok", "y", "yes")
"""As the client reads it (django-environ): anything else is 0."""

CONNECTIONS_PER_SESSION = 2
"""One, and the one that a page closes while it reconnects."""
CONNECTIONS_BESIDE = 20
"""For requests that are no sessions."""

Network: TypeAlias = IPv4Network | IPv6Network


def setting(default: Any, help: str) -> Any:
    """A field whose environment name is `FACESWAP_` and its own name in capitals."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of the relay. `help` in a field's metadata is its line in the README's table."""

    verify_key: str = setting("", "public Ed25519 key of session tokens: base64url, no padding, of its 32 bytes")
    origins: tuple[str, ...] = setting(
        ("http://localhost:8000", "http://127.0.0.1:8000"),
        "origins whose pages may open a WebSocket, comma-separated; `*` lets any",
    )
    trusted_proxies: tuple[Network, ...] = setting((), "networks whose X-Forwarded-For is believed, comma-separated")
    client_url: str = setting("http://127.0.0.1:8000", "client_app, for its feed of revocations; empty: no feed")

    predictor: str = setting("http", "how to reach the prediction tier: http, ai_platform or vertex")
    predictors: tuple[str, ...] = setting(
        ("http://127.0.0.1:8002",), "addresses of prediction servers, comma-separated"
    )
    predict_seconds: float = setting(1.0, "deadline of one prediction")
    predict_cold_seconds: float = setting(15.0, "deadline of the first one of an identity, which is loaded for it")
    predict_concurrency: int = setting(4, "most frames at one prediction server at a time")
    breaker_failures: int = setting(3, "failures in a row after which a prediction server is left alone")
    breaker_seconds: float = setting(1.0, "for how long at first; doubles with each failed trial")
    breaker_most_seconds: float = setting(8.0, "and never longer than this")
    probe_seconds: float = setting(1.0, "time between two looks at a prediction server's /readyz")

    window: int = setting(2, "frames a page may have unacknowledged")
    message_bytes: int = setting(1 << 20, "largest message a page may send")
    pixels: int = setting(1280 * 720, "most pixels of a frame; a token may allow fewer")
    fps: float = setting(30.0, "most frames a second sent to prediction, per token; a token may allow fewer")
    messages_per_second: float = setting(120.0, "messages a second after which a page is put out (4005)")
    session_seconds: float = setting(3600.0, "longest session, reconnects included; a token may allow less")
    sessions: int = setting(200, "most sessions of one worker process")
    sessions_per_address: int = setting(10, "most sessions from one address (IPv6: one /64)")
    sessions_per_token: int = setting(2, "most sessions with one token: one, and its reconnect")

    request_seconds: float = setting(5.0, "time to send the HTTP request before the upgrade")
    hello_seconds: float = setting(5.0, "time to send the hello after the upgrade")
    idle_seconds: float = setting(60.0, "longest time without a message")
    ping_seconds: float = setting(10.0, "silence after which the relay sends a ping")
    dead_seconds: float = setting(25.0, "silence after which a connection is dead: half a message is silence too")
    slow_reader_seconds: float = setting(10.0, "longest time one message may wait for the page to read")
    close_seconds: float = setting(2.0, "time for the closing handshake")
    stats_seconds: float = setting(1.0, "time between two stats messages; after 10 s of silence a page connects again")

    @property
    def connections_per_address(self) -> int:
        """Most TCP connections of one address: room for its sessions, those that close, and plain requests beside."""
        return CONNECTIONS_PER_SESSION * self.sessions_per_address + CONNECTIONS_BESIDE

    @property
    def longest_predict_seconds(self) -> float:
        """Of every prediction: what predictors bound their own waiting by."""
        return max(self.predict_seconds, self.predict_cold_seconds)


def environment_name(name: str) -> str:
    """`message_bytes` → `FACESWAP_MESSAGE_BYTES`."""
    return PREFIX + name.upper()


def read_env_file(path: Path) -> dict[str, str]:
    """`NAME=value` lines of a `.env`; comments and blank lines are skipped, quotes around a value removed."""
    values = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    for line in lines:
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            values[name.strip()] = value.strip().strip("\"'")
    return values


def _parse(name: str, text: str, default: Any) -> Any:
    """`text` as the type of `default`; what a type cannot hold exits with a sentence."""
    try:
        if name == "trusted_proxies":
            return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
        if isinstance(default, tuple):
            return tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
        if isinstance(default, str):
            return text.strip()
        number = type(default)(text)
        if not 0 < number < float("inf"):
            raise ValueError(f"expected more than 0, received {text}")
        return number
    except ValueError as error:
        raise SystemExit(f"{environment_name(name)} cannot be read: {error}. Correct it and start again.") from None


def load(environment: Mapping[str, str] | None = None, env_file: Path = ENV_FILE) -> Settings:
    """The settings of this process: `environment` (default: the process's own) first, then `env_file`, then defaults.

    Raises SystemExit, with one sentence, for a value that cannot be read, and for a missing key where `DEBUG=0`.
    """
    values = {**read_env_file(env_file), **(os.environ if environment is None else environment)}
    given = {
        each.name: _parse(each.name, values[environment_name(each.name)], each.default)
        for each in fields(Settings)
        if environment_name(each.name) in values
    }
    settings = Settings(**given)
    if not settings.verify_key and values.get("DEBUG", "1").strip().lower() not in DEBUG_ON:
        raise SystemExit(
            "FACESWAP_VERIFY_KEY is not set. Copy it from client_app's `.env`, or run `python3 run.py` once."
        )
    return settings
