"""What can go wrong in the client, as a visitor is told it.

ClientError 500
├── BadRequest 400
│   ├── UnknownIdentity 404
│   └── PictureTooLarge 413
├── RefusedPicture 422
├── NotAllowed 403
└── Unavailable 503
"""

from __future__ import annotations


class ClientError(Exception):
    """A sentence for the visitor: expected, received, remedy."""

    status = 500
    type = "internal"


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


class Unavailable(ClientError):
    """Something that this needs is missing or does not answer."""

    status = 503
    type = "unavailable"
