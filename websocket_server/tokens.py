"""Session tokens: JWTs that client_app alone signs (EdDSA, Ed25519); the relay checks them at hello and renewal."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from errors import BadToken

ISSUER = "faceswap-client"
AUDIENCE = "faceswap-relay"
ALGORITHM = "EdDSA"
PUBLIC_KEY_BYTES = 32
SESSION_ID = re.compile(r"[0-9a-f]{32}")
MAX_IDENTITIES = 1000


@dataclass(frozen=True, slots=True)
class SessionToken:
    """The claims of a token that holds."""

    session: str
    """32 hex digits."""
    identities: Mapping[str, str]
    """Identity → hash of its consent; "" for a synthetic one."""
    expires: float
    """Unix seconds."""
    fps: float | None
    """Most frames a second; None where the token says nothing."""
    pixels: int | None
    """Most pixels of a frame."""
    seconds: float | None
    """Longest session."""


def read_public_key(text: str) -> Ed25519PublicKey:
    """A key as `FACESWAP_VERIFY_KEY` holds it: base64url without padding. Raises SystemExit with a sentence."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != PUBLIC_KEY_BYTES:
        raise SystemExit(
            f"FACESWAP_VERIFY_KEY cannot be read: expected {PUBLIC_KEY_BYTES} bytes in base64url, received {len(raw)}. "
            "Copy it from client_app's `.env`."
        )
    return Ed25519PublicKey.from_public_bytes(raw)


class TokenVerifier:
    """Checks tokens against one public key. Without a key nothing holds."""

    def __init__(self, verify_key: str) -> None:
        self._key = read_public_key(verify_key) if verify_key else None

    @property
    def has_key(self) -> bool:
        """Whether any token can hold."""
        return self._key is not None

    def claims(self, token: str, audience: str) -> dict[str, Any]:
        """The claims of `token`, whose signature, issuer, audience and expiry hold. Raises BadToken."""
        if self._key is None:
            raise BadToken("This relay has no key to check tokens with. Set FACESWAP_VERIFY_KEY and start it again.")
        try:
            return jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=audience,
                issuer=ISSUER,
                # A clock that is behind the client's must not refuse a fresh token; `exp` is what bounds it.
                options={"require": ["iss", "aud", "iat", "exp"], "verify_iat": False},
            )
        except jwt.ExpiredSignatureError:
            raise BadToken("The session token has expired. Fetch a fresh one from the page's server.") from None
        except jwt.InvalidAudienceError:
            raise BadToken("The session token is for somebody else. Fetch one for the relay.") from None
        except (jwt.InvalidTokenError, UnicodeEncodeError):
            raise BadToken("The session token does not hold. Fetch a fresh one from the page's server.") from None

    def session(self, token: str) -> SessionToken:
        """The session token `token`. Raises BadToken."""
        claims = self.claims(token, AUDIENCE)
        session, identities, limits = claims.get("sub"), claims.get("identities"), claims.get("limits", {})
        if not isinstance(session, str) or not SESSION_ID.fullmatch(session):
            raise BadToken("Expected the session token to name a session of 32 hex digits.")
        if not isinstance(identities, dict) or not _is_hash_by_identity(identities):
            raise BadToken("Expected the session token to name its identities.")
        if not isinstance(limits, dict):
            raise BadToken("Expected the limits of the session token to be an object.")
        pixels, minutes = _limit(limits, "pixels"), _limit(limits, "minutes")
        return SessionToken(
            session=session,
            identities=identities,
            expires=float(claims["exp"]),
            fps=_limit(limits, "fps"),
            pixels=None if pixels is None else int(pixels),
            seconds=None if minutes is None else minutes * 60,
        )


def _is_hash_by_identity(value: Mapping[str, Any]) -> bool:
    return len(value) <= MAX_IDENTITIES and all(isinstance(each, str) for each in value.values())


def _limit(limits: Mapping[str, Any], name: str) -> float | None:
    value = limits.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        raise BadToken(f"Expected limit {name} of the session token to be above 0.")
    return float(value)
