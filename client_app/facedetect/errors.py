"""What can go wrong in the client, as a visitor is told it.

ClientError 500
├── BadRequest 400
│   ├── NoSuchPage 404
│   ├── UnknownIdentity 404
│   ├── NoSuchEnrolment 404
│   ├── WrongMethod 405
│   ├── TrainingRuns 409
│   ├── PictureTooLarge 413
│   ├── FormTooLarge 413
│   ├── FileTooLarge 413
│   └── UnsupportedFile 415
├── RefusedPicture 422
├── PoorPicture 422
├── UnmarkedFile 422
├── NotLoggedIn 401
├── SlowUpload 408
├── NotAllowed 403
│   ├── TermsNotAccepted 403
│   └── TooManyIdentities 409
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


class NoSuchPage(BadRequest):
    """There is nothing at this address."""

    status = 404
    type = "not_found"


class WrongMethod(BadRequest):
    """There is something at this address, for another method."""

    status = 405
    type = "method_not_allowed"


class UnknownIdentity(BadRequest):
    """An identity that the gallery does not have."""

    status = 404
    type = "unknown_identity"


class NoSuchEnrolment(BadRequest):
    """It has ended, or is another visitor's."""

    status = 404
    type = "no_such_enrolment"


class TrainingRuns(BadRequest):
    """The visitor has a training that has not ended."""

    status = 409
    type = "training_runs"


class PictureTooLarge(BadRequest):
    """More bytes than `FACESWAP_PICTURE_BYTES`."""

    status = 413
    type = "picture_too_large"


class FormTooLarge(BadRequest):
    """More bytes than a form without files has."""

    status = 413
    type = "form_too_large"


class FileTooLarge(BadRequest):
    """More bytes than the host of this server accepts."""

    status = 413
    type = "file_too_large"


class UnsupportedFile(BadRequest):
    """Neither a picture nor a film that can carry a signature."""

    status = 415
    type = "unsupported_file"


class RefusedPicture(ClientError):
    """The prediction service cannot use this picture."""

    status = 422
    type = "refused_picture"


class PoorPicture(ClientError):
    """A picture that cannot become an identity; the sentence says what to do better."""

    status = 422
    type = "poor_picture"


class UnmarkedFile(ClientError):
    """A file without this session's watermark: nobody has foreign files signed here."""

    status = 422
    type = "unmarked_file"


class SlowUpload(ClientError):
    """A request's body that did not come in time."""

    status = 408
    type = "slow_upload"


class NotAllowed(ClientError):
    """A session, identity or request that has been revoked, or was never granted."""

    status = 403
    type = "not_allowed"


class TermsNotAccepted(NotAllowed):
    """The visitor has not accepted the terms in force."""

    type = "terms_not_accepted"


class TooManyIdentities(NotAllowed):
    """As many enrolled faces as one visitor, or one address, may have."""

    status = 409
    type = "too_many_identities"


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
