"""Signing what the page saves, and reading what somebody found."""

from __future__ import annotations

import dataclasses
import datetime
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_http_methods, require_POST

from access import limits
from audit.chain import record
from audit.models import AuditEntry
from exports import certificate, findings, provenance
from exports.certificate import SigningIdentity
from exports.marks import Marks, read_marks
from facedetect import revocations
from facedetect.configuration import ROOT, Settings
from facedetect.errors import BadRequest, FileTooLarge, NotAllowed, Unavailable, UnknownIdentity, UnmarkedFile
from facedetect.gallery import Card
from facedetect.operator import Operator
from facedetect.signing import session_of
from facedetect.telling import tells_errors
from facedetect.views import NO_IDENTITY, identities_of, offered
from identities.trainings import trainer
from identities.visitor import new_visitor, owned

FACESWAP: Settings = settings.FACESWAP
MOST_AT_A_TIME = 2
"""Files that are signed at a time, each up to `FACESWAP_EXPORT_BYTES`, and as many that are verified: the next ones are
asked to come again. Anybody may verify, and a film takes seconds: that must not keep anybody from signing."""
LATE_SECONDS = 24 * 3600
"""How long after its token a file of a session is still signed: the page keeps what could not be signed at once."""
TOKEN_HEADER = "X-Faceswap-Session"  # noqa: S105 - a header's name
IDENTITY_HEADER = "X-Faceswap-Identity"

_signing, _verifying = (threading.BoundedSemaphore(MOST_AT_A_TIME) for _place in range(2))


@cache
def signing_identity() -> SigningIdentity:
    return certificate.load(ROOT / FACESWAP.export_certificate)


@cache
def operator() -> Operator:
    return Operator(FACESWAP)


@contextmanager
def uploaded(request: HttpRequest, places: threading.BoundedSemaphore) -> Iterator[tuple[bytes, str]]:
    """The request's body, which is the file itself, and its media type. It is in memory already (`facedetect.bodies`),
    and never touches a disk.

    Raises FileTooLarge, UnsupportedFile, BadRequest, and Unavailable while others' files are being looked at.
    """
    length = request.headers.get("Content-Length", "")
    if not length.isdecimal() or not int(length):
        raise BadRequest(_("Expected a file with its Content-Length; received none. Choose a file."))
    if int(length) > FACESWAP.export_bytes:
        raise FileTooLarge(
            _("Expected a file of at most %(most)d MB. Choose a shorter one.") % {"most": FACESWAP.export_bytes >> 20}
        )
    if not places.acquire(blocking=False):
        raise Unavailable(_("Too many files are being looked at. Try again in a moment."))
    try:
        data = request.read(int(length))
        yield data, provenance.media_type(data)
    finally:
        places.release()


def worn(request: HttpRequest) -> dict[str, Card]:
    """The identities that the page says it put on, all of them offered to this visitor."""
    cards = offered(request)
    named = [each.strip() for each in request.headers.get(IDENTITY_HEADER, "").split(",")]
    if len(named) > provenance.MOST_IDENTITIES:
        raise BadRequest(
            _("Expected at most %(most)d identities. Save a shorter film.") % {"most": provenance.MOST_IDENTITIES}
        )
    for identity in named:
        if identity not in cards:
            raise UnknownIdentity(NO_IDENTITY % {"identity": identity[:64]})
    return {identity: cards[identity] for identity in named}


@require_POST
@never_cache
@tells_errors
def sign(request: HttpRequest) -> HttpResponseBase:
    """A snapshot or recording in, the same file out, signed; only where its watermark is this session's."""
    session = session_of(FACESWAP, request.headers.get(TOKEN_HEADER, ""), LATE_SECONDS)
    if revocations.revoked("session", session):
        raise NotAllowed(_("This session has been revoked."))
    cards = worn(request)
    with uploaded(request, _signing) as (data, media):
        if not read_marks(operator(), data, media).belong_to(session):
            raise UnmarkedFile(
                _("Expected a file made by this session; its watermark says otherwise, or cannot be read.")
            )
        signer = signing_identity()
        signer.check(datetime.datetime.now(datetime.UTC))
        signed = provenance.sign(data, media, signer, session, identities_of(cards))
    models = trainer().models(identity for identity in owned(request) if identity.pk in cards)
    for card in cards.values():
        details: dict[str, int | str] = {"media": media, "bytes": len(signed), "sha256": sha256(signed).hexdigest()}
        if card.id in models:
            details["model"] = models[card.id]
        record(
            AuditEntry.Event.EXPORT_SIGNED,
            session=session,
            identity=card.id,
            consent_hash=card.consent_hash,
            details=details,
        )
    response = HttpResponse(signed, content_type=media)
    ending = provenance.MEDIA_TYPES[media]
    response.headers["Content-Disposition"] = f'attachment; filename="ai-modified-{session[:8]}.{ending}"'
    return response


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
@ensure_csrf_cookie
@never_cache
@tells_errors
def verify(request: HttpRequest) -> HttpResponseBase:
    """The public page where anybody learns what a file's marks say; a POST of the file answers with them, as JSON."""
    if request.method != "POST":
        return render(request, "exports/verify.html", {"most_bytes": FACESWAP.export_bytes})
    limits.grant(request, new_visitor(), secrets.token_hex(16), seconds=0)  # an address asks as often as for pictures
    marks: Marks | None
    with uploaded(request, _verifying) as (data, media):
        found = provenance.read(data, media, signing_identity())
        try:
            marks = read_marks(operator(), data, media)
        except Unavailable:
            marks = None
    return JsonResponse(
        {
            "signature": dataclasses.asdict(found) if found else None,
            "watermark": {"frames": marks.frames, "sessions": marks.sessions} if marks else None,
            "verdict": findings.verdict(found, marks),
            "sentences": findings.sentences(found, marks),
        }
    )
