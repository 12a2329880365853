"""A page as the relay's tests play it: tokens as client_app signs them, and a stream over a real WebSocket."""

from __future__ import annotations

import base64
import json
import math
import time
import uuid
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from protocol import Frame, Result, decode, encode_frame

JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")
RECEIVE_SECONDS = 10.0


class Signer:
    """client_app's key."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()

    @property
    def verify_key(self) -> str:
        return base64.urlsafe_b64encode(self._key.public_key().public_bytes_raw()).decode().rstrip("=")

    def sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self._key, algorithm="EdDSA")

    def token(self, seconds: float = 300.0, **changes: Any) -> str:
        """A session token that holds for so many seconds, and for less than one more, as the client's `exp` is whole;
        `changes` replace claims, None removes one."""
        now = time.time()
        claims = {
            "iss": "faceswap-client",
            "aud": ["faceswap-relay", "faceswap-prediction"],
            "sub": uuid.uuid4().hex,
            "iat": int(now),
            "exp": math.ceil(now + seconds),
            "jti": uuid.uuid4().hex,
            "identities": {"p1": "", "p2": ""},
            "limits": {"fps": 30, "pixels": 921600, "minutes": 60},
        }
        merged = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return self.sign(merged)

    def feed(self, cursor: int, entries: list[dict[str, Any]]) -> str:
        now = int(time.time())
        claims = {"iss": "faceswap-client", "aud": "faceswap-revocations", "iat": now, "exp": now + 60}
        return self.sign({**claims, "cursor": cursor, "entries": entries})


def wait_until_expired(token: str) -> None:
    """Until `token` holds no longer."""
    expires = jwt.decode(token, options={"verify_signature": False})["exp"]
    while time.time() < expires:
        time.sleep(0.05)


def hello(token: str, identity: str = "p1", **options: Any) -> str:
    return json.dumps({"type": "hello", "version": 1, "token": token, "identity": identity, "options": options})


class Page:
    """One session, spoken by hand: every message received is kept."""

    def __init__(self, address: str, **arguments: Any) -> None:
        self._stack = ExitStack()
        connection = connect(address, compression=None, max_size=None, close_timeout=3, proxy=None, **arguments)
        self.socket: ClientConnection = self._stack.enter_context(connection)
        self.texts: list[dict[str, Any]] = []
        self.sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye, with 1000."""
        self._stack.close()

    def begin(self, token: str, identity: str = "p1", **options: Any) -> dict[str, Any]:
        """hello → ready."""
        self.socket.send(hello(token, identity, **options))
        return self.text("ready")

    def send(self, image: bytes = JPEG, sequence: int | None = None) -> int:
        """Send a frame; its sequence."""
        self.sequence = self.sequence + 1 if sequence is None else sequence
        self.socket.send(encode_frame(Frame(self.sequence, time.monotonic_ns() // 1000, image)))
        return self.sequence

    def receive(self, seconds: float = RECEIVE_SECONDS) -> Result | dict[str, Any] | str:
        message = self.socket.recv(timeout=seconds)
        if isinstance(message, bytes):
            result = decode(message)
            assert isinstance(result, Result)
            return result
        if not message.startswith("{"):
            return message
        text: dict[str, Any] = json.loads(message)
        self.texts.append(text)
        return text

    def text(self, type_: str, seconds: float = RECEIVE_SECONDS) -> dict[str, Any]:
        """The next text message of this type; others before it are skipped."""
        deadline = time.monotonic() + seconds
        while True:
            message = self.receive(max(0.01, deadline - time.monotonic()))
            if isinstance(message, dict) and message["type"] == type_:
                return message

    def result(self, seconds: float = RECEIVE_SECONDS) -> Result:
        """The next result; text messages before it are skipped."""
        deadline = time.monotonic() + seconds
        while True:
            message = self.receive(max(0.01, deadline - time.monotonic()))
            if isinstance(message, Result):
                return message

    def swap(self, image: bytes = JPEG) -> Result:
        """One frame there and back."""
        self.send(image)
        return self.result()

    def close_code(self, seconds: float = RECEIVE_SECONDS) -> int:
        """Read until the relay closes; the code on the wire."""
        deadline = time.monotonic() + seconds
        try:
            while True:
                self.receive(max(0.01, deadline - time.monotonic()))
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006
