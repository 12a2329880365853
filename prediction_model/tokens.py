"""Session tokens and consents: JWTs that client_app alone signs (EdDSA, Ed25519), checked here with its public key."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from prediction_model.errors import BadToken
from prediction_model.settings import read_key

ISSUER = "faceswap-client"
SESSION_AUDIENCE = "faceswap-prediction"
CONSENT_AUDIENCE = "faceswap-consent"
OPERATOR = "operator"
SESSION_ID = re.compile(r"[0-9a-f]{32}")
MAX_TOKEN_CHARACTERS = 16_384
CACHED_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Session:
    """What a session token allows."""

    session: str
    """32 hex digits."""
    identities: Mapping[str, str]
    """Identity → hash of its consent; "" for a synthetic one."""
    expires: float
    """Unix seconds."""

    @property
    def payload(self) -> int:
        """The session's first 32 bits, which the watermark carries."""
        return int(self.session[:8], 16)


class TokenVerifier:
    """Checks tokens against one public key; without a key nothing holds. Thread-safe."""

    def __init__(self, verify_key: str) -> None:
        key = read_key("FACESWAP_VERIFY_KEY", verify_key) if verify_key else None
        self._key = Ed25519PublicKey.from_public_bytes(key) if key else None
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self._lock = threading.Lock()

    def session(self, token: Any) -> Session:
        """The session of `token`. A token is verified once and then remembered by its hash, until it expires.

        Raises:
            BadToken: it does not hold.
        """
        if not isinstance(token, str) or not token.isascii() or len(token) > MAX_TOKEN_CHARACTERS:
            raise BadToken("Expected the session token as text. Fetch one from the page's server.")
        digest = hashlib.sha256(token.encode()).digest()
        with self._lock:
            session = self._sessions.get(digest)
        if session is None:
            session = self._read(token)
            with self._lock:
                self._sessions[digest] = session
                while len(self._sessions) > CACHED_TOKENS:
                    self._sessions.popitem(last=False)
        if session.expires <= time.time():
            raise BadToken("The session token has expired. Fetch a fresh one from the page's server.")
        return session

    def operator(self, token: str) -> None:
        """Check an operator's token, which studio calls need. Raises BadToken."""
        if self.claims(token, SESSION_AUDIENCE).get("scope") != OPERATOR:
            raise BadToken("Expected an operator's token; this one is for a session.")

    def consent(self, token: str) -> dict[str, Any]:
        """The claims of a consent: `sub`, `kind`, `subject`, `document`, `exp`. Raises BadToken."""
        return self.claims(token, CONSENT_AUDIENCE)

    def claims(self, token: str, audience: str) -> dict[str, Any]:
        """The claims of `token`, whose signature, issuer, audience and expiry hold. Raises BadToken."""
        if self._key is None:
            raise BadToken("This service has no key to check tokens with. Set FACESWAP_VERIFY_KEY and start it again.")
        try:
            return jwt.decode(
                token,
                self._key,
                algorithms=["EdDSA"],
                audience=audience,
                issuer=ISSUER,
                # A clock that is behind the client's must not refuse a fresh token; `exp` is what bounds it.
                options={"require": ["iss", "aud", "iat", "exp"], "verify_iat": False},
            )
        except jwt.ExpiredSignatureError:
            raise BadToken("The token has expired. Fetch a fresh one from the page's server.") from None
        except jwt.InvalidTokenError:
            raise BadToken("The token does not hold. Fetch a fresh one from the page's server.") from None

    def _read(self, token: str) -> Session:
        claims = self.claims(token, SESSION_AUDIENCE)
        session, identities = claims.get("sub"), claims.get("identities")
        if not isinstance(session, str) or not SESSION_ID.fullmatch(session):
            raise BadToken("Expected the session token to name a session of 32 hex digits.")
        if not isinstance(identities, dict) or not all(isinstance(value, str) for value in identities.values()):
            raise BadToken("Expected the session token to name its identities.")
        return Session(session, identities, float(claims["exp"]))
