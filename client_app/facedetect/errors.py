"""What can go wrong in the client, as a visitor is told it.

ClientError 500
├── BadRequest 400
│   ├── UnknownIdentity 404
│   └── PictureTooLarge 413
├── RefusedPicture 422
├── NotLoggedIn 401
├── NotAllowed 403
│   └── TermsNotAccepted 403
├── TooMuch 429
└── Unavailable 503
"""

from __future__ import annotations


class ClientError(Exception):
    """A sentence for the visitor: expected, received, remedy."""

    status = 500
    type = "internal"
    retry_after: int | None = None
    """Seconds, where it is known when to come again."""


class BadRequest(ClientError):
    """The request lacks something, or holds what cannot be read."""

    status = 400
    type = "bad_request"


class UnknownIdentity(BadRequest):
    """An identity that the gallery does not have."""

    status = 404
    type = "unknown_identity"


class PictureTooLarge(BadRequest):
    """More bytes than `FACESWAP_PICTURE_BYTES`."""

    status = 413
    type = "picture_too_large"


class RefusedPicture(ClientError):
    """The prediction service cannot use this picture."""

    status = 422
    type = "refused_picture"


class NotAllowed(ClientError):
    """A session, identity or request that has been revoked, or was never granted."""

    status = 403
    type = "not_allowed"


class TermsNotAccepted(NotAllowed):
    """The visitor has not accepted the terms in force."""

    type = "terms_not_accepted"


class NotLoggedIn(ClientError):
    """This server asks for a login (`FACESWAP_LOGIN=required`)."""

    status = 401
    type = "not_logged_in"


class TooMuch(ClientError):
    """More than a limit allows; the message says when to come again."""

    status = 429
    type = "too_much"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(ClientError):
    """Something that this needs is missing or does not answer."""

    status = 503
    type = "unavailable"
