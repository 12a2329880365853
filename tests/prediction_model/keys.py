"""Keys and tokens as the page's server makes them, for tests of what they open."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SESSION = "0123456789abcdef" * 2
STORE_KEY = bytes(range(32))
"""Of enrolled packages."""


def base64url(raw: bytes) -> str:
    """As a key stands in the environment."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Signer:
    """A key pair and what it signs."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()

    @property
    def verify_key(self) -> str:
        """As `FACESWAP_VERIFY_KEY` holds it."""
        return base64url(self._key.public_key().public_bytes_raw())

    @property
    def signing_key(self) -> str:
        """As `FACESWAP_SIGNING_KEY` holds it."""
        return base64url(self._key.private_bytes_raw())

    def sign(self, claims: dict[str, Any]) -> str:
        """A token of these claims."""
        return jwt.encode(claims, self._key, "EdDSA")

    def session(self, identities: dict[str, str], /, **changes: Any) -> str:
        """A session's token; `changes` replace claims, None removes one."""
        now = int(time.time())
        claims = {
            "iss": "faceswap-client", "aud": ["faceswap-relay", "faceswap-prediction"], "sub": SESSION,
            "iat": now, "exp": now + 300, "jti": "1", "identities": identities,
        }  # fmt: skip
        return self.sign({name: value for name, value in {**claims, **changes}.items() if value is not None})

    def consent(self, identity: str, kind: str, **changes: Any) -> tuple[str, str]:
        """A consent and its hash."""
        now = int(time.time())
        claims = {
            "iss": "faceswap-client", "aud": "faceswap-consent", "sub": identity, "kind": kind, "subject": "An Actor",
            "document": hashlib.sha256(b"signed").hexdigest(), "iat": now, "exp": now + 3600,
        }  # fmt: skip
        token = self.sign({**claims, **changes})
        return token, hashlib.sha256(token.encode()).hexdigest()
