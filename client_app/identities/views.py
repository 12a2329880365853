"""Enrolling one's face, deleting it, and asking for another's removal."""

from __future__ import annotations

import secrets
from datetime import timedelta
from functools import cache

from django import forms
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from access import limits
from audit.chain import record
from audit.models import AuditEntry
from facedetect.configuration import Settings
from facedetect.errors import BadRequest, NotAllowed, PictureTooLarge, UnknownIdentity
from facedetect.operator import Operator
from facedetect.pictures import uploaded_picture
from facedetect.telling import tells_errors
from facedetect.text import JOINERS, LINES, check_text
from identities.enrolment import TERMS, Enroller, Release
from identities.models import Identity, RemovalRequest
from identities.visitor import new_visitor, owned, remember, visitor_of

FACESWAP: Settings = settings.FACESWAP
FRAME_BYTES = 1 << 20
REMOVAL_HOURS = 48
MOST_CONTACT = 254
"""Characters of an e-mail address that the database takes."""
MOST_WORDS = 2000


@cache
def enroller() -> Enroller:
    return Enroller(FACESWAP, Operator(FACESWAP))


def may_release(request: HttpRequest) -> bool:
    """Whether this visitor may add somebody else: a release's document is seen by nobody here."""
    return FACESWAP.anyone_releases or bool(getattr(request.user, "is_staff", False))


@require_safe
@ensure_csrf_cookie
@never_cache
@tells_errors
def enrol(request: HttpRequest) -> HttpResponseBase:
    """The page."""
    about = {"terms": TERMS, "identities": owned(request), "may_release": may_release(request)}
    return render(request, "identities/enrol.html", about)


@require_POST
@never_cache
@tells_errors
def enrolments(request: HttpRequest) -> HttpResponseBase:
    """Start a `self` enrolment, or make a `release` one: `kind`, `name`, `picture`, `agreed`, a release's fields."""
    if request.POST.get("agreed") != "yes":
        raise NotAllowed(_("Nobody's face is used without consent: agree first."))
    by_release = request.POST.get("kind") == "release"
    if by_release and not may_release(request):
        raise NotAllowed(_("Only the operator's staff adds other people, by their release: add your own face."))
    visitor = visitor_of(request) or new_visitor()
    limits.grant(request, visitor, secrets.token_hex(16), seconds=0)  # as often as pictures: each looks at a face
    address, name = limits.counted_address(request), request.POST.get("name", "")
    picture, media = uploaded_picture(request)
    if by_release:
        fields = (request.POST.get(field, "") for field in ("subject", "document", "expires"))
        identity = enroller().release(visitor, address, name, picture, media, Release.read(*fields))
        response = JsonResponse({"identity": identity.pk}, status=201)
    else:
        enrolment = enroller().start(visitor, address, name, picture, media)
        challenges = enrolment.challenges.split()
        response = JsonResponse(
            {"enrolment": enrolment.pk, "challenges": len(challenges), "next": challenges[0]}, status=201
        )
    remember(response, visitor)
    return response


@require_POST
@never_cache
@tells_errors
def frames(request: HttpRequest, enrolment: str) -> HttpResponseBase:
    """One camera frame of the live check, JPEG, as the body: how many challenges are done, and what comes next."""
    length = int(request.META.get("CONTENT_LENGTH") or 0)
    if not 0 < length <= FRAME_BYTES:
        raise PictureTooLarge(_("Expected one camera frame of at most 1 MB."))
    frame = request.read(length)
    check, same, identity = enroller().see(visitor_of(request), enrolment, frame, "image/jpeg")
    return JsonResponse(
        {
            "done": check.done,
            "next": check.next,
            "ready": check.rested,
            "same": same,
            "identity": identity.pk if identity else None,
        }
    )


@require_POST
@never_cache
@tells_errors
def revoke(request: HttpRequest, identity: str) -> HttpResponseBase:
    """Delete one's own identity: it stops everywhere within a second, and all that shows the face goes."""
    visitor = visitor_of(request)
    found = Identity.objects.filter(pk=identity, owner=visitor).first() if visitor else None
    if found is None:
        raise UnknownIdentity(_("You have no such face."))
    enroller().revoke(found)
    return JsonResponse({"revoked": identity})


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
@ensure_csrf_cookie
@never_cache
@tells_errors
def removal(request: HttpRequest) -> HttpResponseBase:
    """The public page on which anybody asks for a face to be taken down."""
    if request.method != "POST":
        return render(request, "identities/removal.html", {"hours": REMOVAL_HOURS})
    contact, what = request.POST.get("contact", "").strip(), request.POST.get("what", "").strip()
    try:
        forms.EmailField(max_length=MOST_CONTACT).clean(contact)
    except ValidationError:
        raise BadRequest(_("Expected an e-mail address, for the answer.")) from None
    check_text(contact)
    if not 0 < len(what) <= MOST_WORDS:
        raise BadRequest(_("Expected a description of the face, in at most 2000 characters."))
    check_text(what, JOINERS + LINES)
    limits.grant(request, new_visitor(), secrets.token_hex(16), seconds=0)  # an address asks as often as for pictures
    due = timezone.now() + timedelta(hours=REMOVAL_HOURS)
    asked = RemovalRequest.objects.create(contact=contact, what=what, due=due)
    record(AuditEntry.Event.REMOVAL_REQUESTED, details={"request": asked.pk})
    return render(request, "identities/removal.html", {"hours": REMOVAL_HOURS, "asked": asked}, status=201)
