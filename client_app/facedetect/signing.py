"""The JWTs that client_app alone can sign (EdDSA, Ed25519): session and operator tokens, consents, the feed."""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.utils.translation import gettext as _

from facedetect.configuration import Settings
from facedetect.errors import NotAllowed, Unavailable

ALGORITHM = "EdDSA"
ISSUER = "faceswap-client"
PREDICTION_AUDIENCE = "faceswap-prediction"
SESSION_AUDIENCES = ["faceswap-relay", PREDICTION_AUDIENCE]
CONSENT_AUDIENCE = "faceswap-consent"
REVOCATIONS_AUDIENCE = "faceswap-revocations"
SESSION_SECONDS = 300
OPERATOR_SECONDS = 60
RENEWAL_GRACE_SECONDS = 3600
"""How long after its end a token can still be renewed: a laptop that slept goes on as the same session."""


def read_private_key(text: str) -> Ed25519PrivateKey:
    """A key as `FACESWAP_SIGNING_KEY` holds it: base64url without padding. Raises Unavailable with a sentence."""
    if not text:
        raise Unavailable(
            _("This server has no signing key yet: start it once with `python3 run.py`, which makes one.")
        )
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return Ed25519PrivateKey.from_private_bytes(raw)
    except (binascii.Error, ValueError):
        raise Unavailable(
            _("FACESWAP_SIGNING_KEY cannot be read: expected 32 bytes in base64url. Copy it from `.env` again.")
        ) from None


def _sign(settings: Settings, claims: Mapping[str, Any], seconds: int) -> str:
    now = int(time.time())
    key = read_private_key(settings.signing_key)
    return jwt.encode({"iss": ISSUER, "iat": now, "exp": now + seconds, **claims}, key, algorithm=ALGORITHM)


def sign_session(settings: Settings, session: str, identities: Mapping[str, str], limits: Mapping[str, int]) -> str:
    """The token of `session` (32 hex digits), which may use `identities`: id → hash of its consent ("": synthetic).

    `limits` are `fps`, `pixels` and `minutes`.
    """
    claims = {
        "aud": SESSION_AUDIENCES,
        "sub": session,
        "jti": secrets.token_hex(16),
        "identities": dict(identities),
        "limits": dict(limits),
    }
    return _sign(settings, claims, SESSION_SECONDS)


def sign_feed(settings: Settings, cursor: int, entries: list[dict[str, Any]]) -> str:
    """One answer of the feed of revocations."""
    return _sign(settings, {"aud": REVOCATIONS_AUDIENCE, "cursor": cursor, "entries": entries}, SESSION_SECONDS)


def sign_consent(settings: Settings, identity: str, kind: str, subject: str, document: str, expires: int) -> str:
    """The consent that an identity's package carries, until `expires` (Unix seconds).

    `kind` is `self` or `release`; `document` is the SHA-256 of what was agreed to.
    """
    claims = {"aud": CONSENT_AUDIENCE, "sub": identity, "kind": kind, "subject": subject, "document": document}
    return _sign(settings, claims, expires - int(time.time()))


def sign_operator(settings: Settings) -> str:
    """What the prediction service's studio calls ask for; good for one call."""
    return _sign(settings, {"aud": [PREDICTION_AUDIENCE], "scope": "operator"}, OPERATOR_SECONDS)


def session_of(settings: Settings, token: str, grace_seconds: int = RENEWAL_GRACE_SECONDS) -> str:
    """The session of a token that this server signed, and that ended not longer ago than that. Raises NotAllowed."""
    try:
        claims = jwt.decode(
            token,
            read_private_key(settings.signing_key).public_key(),
            algorithms=[ALGORITHM],
            audience=SESSION_AUDIENCES[0],
            issuer=ISSUER,
            leeway=grace_seconds,
            options={"require": ["iss", "aud", "iat", "exp", "sub"]},
        )
    except jwt.InvalidTokenError:
        raise NotAllowed(_("This session has ended, or never began here: start another one.")) from None
    return str(claims["sub"])
