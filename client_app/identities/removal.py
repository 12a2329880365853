"""What becomes of a request for removal: the face is revoked, or there was none to revoke. Either closes it."""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.chain import record
from audit.models import AuditEntry
from facedetect import revocations
from facedetect.errors import BadRequest
from facedetect.gallery import read_gallery
from facedetect.operator import Operator
from identities.enrolment import Enroller
from identities.models import Identity, RemovalRequest, Revocation


@cache
def enroller() -> Enroller:
    """The one that revokes for the admin."""
    return Enroller(settings.FACESWAP, Operator(settings.FACESWAP))


def is_known(identity: str) -> bool:
    """Whether it was enrolled here, or is one of the gallery's."""
    return Identity.objects.filter(pk=identity).exists() or identity in read_gallery(settings.FACESWAP.gallery_folder)


def revoke_and_close(request: RemovalRequest) -> None:
    """Revoke the identity that the request is about, everywhere, then close it.

    Raises BadRequest for a request that names none that is known, and Unavailable where not all could be deleted: the
    identity is stopped then, the request stays open, and this can be repeated.
    """
    if not is_known(request.identity):
        raise BadRequest(_("Expected the id of an identity: open the request and fill it in."))
    enrolled = Identity.objects.filter(pk=request.identity).first()
    if enrolled is not None:
        enroller().revoke(enrolled)
    elif not revocations.revoked("identity", request.identity):
        revocations.revoke(Revocation.Kind.IDENTITY, request.identity)
    close(request, "revoked")


def close(request: RemovalRequest, outcome: str) -> None:
    """Stop the request's clock, and say so in the audit log. A closed one stays as it is."""
    with transaction.atomic():
        if RemovalRequest.objects.filter(pk=request.pk, closed=None).update(closed=timezone.now()):
            details: dict[str, int | str] = {"request": request.pk, "outcome": outcome}
            record(AuditEntry.Event.REMOVAL_CLOSED, identity=request.identity, details=details)
