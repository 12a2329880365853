"""The page, its session tokens, and pictures for those without a camera."""

from __future__ import annotations

import re
import secrets
import time
from functools import cache
from http import HTTPStatus

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_POST, require_safe

from access import acceptance, limits
from access.terms import DOCUMENT
from audit.chain import record
from audit.models import AuditEntry
from facedetect import revocations, signing
from facedetect.configuration import Settings
from facedetect.errors import BadRequest, NotAllowed, Unavailable, UnknownIdentity
from facedetect.gallery import Card, read_gallery
from facedetect.pictures import uploaded_picture
from facedetect.prediction import PredictionClient
from facedetect.telling import tells_errors
from identities.encryption import decrypt
from identities.models import Identity, Revocation
from identities.trainings import trainer
from identities.visitor import owned, remember

FACESWAP: Settings = settings.FACESWAP
SESSION_BYTES = 16
PORTRAIT_CACHE_SECONDS = 3600
NO_IDENTITY = gettext_lazy("The gallery has no identity “%(identity)s”. Reload the page, and choose another one.")
ASSIGNMENTS = re.compile(r"[1-4]:[^:,]{1,64}(,[1-4]:[^:,]{1,64}){0,3}")
"""Of faces, by number, as an address says them."""


def offered(request: HttpRequest) -> dict[str, Card]:
    """The visitor's own identities and the gallery, without what has been revoked."""
    cards = {card.id: card for card in map(own_card, owned(request))} | read_gallery(FACESWAP.gallery_folder)
    gone = revocations.revoked("identity", *cards)
    return {id_: card for id_, card in cards.items() if id_ not in gone}


def own_card(identity: Identity) -> Card:
    """An enrolled identity, as the page shows it; its portrait is in the database."""
    return Card(
        id=identity.pk,
        name=identity.name,
        kind=identity.kind,
        engines=tuple(identity.engines.split()),
        consent_hash=identity.consent.hash,
        provenance="",
        portrait=None,
    )


def identities_of(cards: dict[str, Card]) -> dict[str, str]:
    """The `identities` claim of a token."""
    return {card.id: card.consent_hash for card in cards.values()}


@require_safe
@ensure_csrf_cookie
@never_cache
@tells_errors
def studio(request: HttpRequest) -> HttpResponseBase:
    """The page."""
    return render(
        request,
        "studio/page.html",
        {"cards": list(offered(request).values()), "limits": FACESWAP, **acceptance.shown(request)},
    )


@require_safe
@ensure_csrf_cookie
@never_cache
@tells_errors
def stage(request: HttpRequest) -> HttpResponseBase:
    """The picture and nothing else, for streaming programs: `/stage?identity=p2&mirror=0`.

    `identities=1:p1,2:p3` gives faces an identity each, by number.
    """
    cards, assigned = offered(request), request.GET.get("identities", "")
    if assigned and not ASSIGNMENTS.fullmatch(assigned):
        raise BadRequest(_("Expected `identities` as numbers of faces, 1 to 4, with an identity each: 1:p1,2:p3."))
    for identity in [request.GET.get("identity", ""), *re.findall(r"\d:([^,]+)", assigned)]:
        if identity and identity not in cards:
            raise UnknownIdentity(NO_IDENTITY % {"identity": identity[:64]})
    engines = {card.id: " ".join(card.engines) for card in cards.values()}
    return render(
        request, "studio/stage.html", {"first": next(iter(cards), ""), "engines": engines, **acceptance.shown(request)}
    )


@require_safe
@tells_errors
def portrait(request: HttpRequest, identity: str) -> HttpResponseBase:
    """A card's picture."""
    card = read_gallery(FACESWAP.gallery_folder).get(identity)
    own = next((each for each in owned(request) if each.pk == identity), None)
    if own is not None:
        return HttpResponse(
            decrypt(own.portrait), content_type="image/jpeg", headers={"Cache-Control": "private, no-store"}
        )
    if card is None or card.portrait is None:
        raise UnknownIdentity(NO_IDENTITY % {"identity": identity[:64]})
    response = FileResponse(card.portrait.open("rb"), content_type="image/jpeg")
    response.headers["Cache-Control"] = f"public, max-age={PORTRAIT_CACHE_SECONDS}"
    return response


@require_POST
@never_cache
@tells_errors
def session(request: HttpRequest) -> HttpResponseBase:
    """A session token: of a new session, or of the one whose token is sent as `renew`; for who accepted the terms."""
    visitor = acceptance.require(request)
    held = request.POST.get("renew")
    name = signing.session_of(FACESWAP, held) if held else secrets.token_hex(SESSION_BYTES)
    if held and revocations.revoked("session", name):
        raise NotAllowed(_("This session has been revoked."))
    limits.grant(request, visitor, name)
    acceptance.record(visitor)
    cards = offered(request)
    token = signing.sign_session(FACESWAP, name, identities_of(cards), limits.token_limits())
    if not held:
        details: dict[str, int | str] = {"identities": len(cards), "terms": DOCUMENT}
        record(AuditEntry.Event.SESSION_STARTED, session=name, details=details)
    response = JsonResponse(
        {
            "token": token,
            "session": name,
            "expires": int(time.time()) + signing.SESSION_SECONDS,
            "websocket_url": FACESWAP.websocket_url,
        }
    )
    remember(response, visitor)
    return response


@cache
def prediction_client() -> PredictionClient:
    return PredictionClient(FACESWAP.prediction_url, FACESWAP.prediction_seconds)


@require_POST
@never_cache
@tells_errors
def image(request: HttpRequest) -> HttpResponseBase:
    """A picture in (`picture`, with the `identity` to put on), the swapped picture out, a JPEG."""
    picture, _media = uploaded_picture(request)
    cards, identity = offered(request), request.POST.get("identity", "")
    if identity not in cards:
        raise UnknownIdentity(NO_IDENTITY % {"identity": identity[:64]})
    visitor, name = acceptance.require(request), secrets.token_hex(SESSION_BYTES)
    limits.grant(request, visitor, name, seconds=0)
    acceptance.record(visitor)
    token = signing.sign_session(FACESWAP, name, identities_of(cards), limits.token_limits())
    details: dict[str, int | str] = {"terms": DOCUMENT}
    for model in trainer().models(own for own in owned(request) if own.pk == identity).values():
        details["model"] = model
    record(
        AuditEntry.Event.PICTURE_SWAPPED,
        session=name,
        identity=identity,
        consent_hash=cards[identity].consent_hash,
        details=details,
    )
    instance = {"session": token, "options": {"identity": identity, "faces": "largest", "on_failure": "blur"}}
    answer = prediction_client().swap(picture, instance)
    if not answer.image:
        raise Unavailable(_("The face swapping service gave no picture. Try again in a moment."))
    response = HttpResponse(answer.image, content_type="image/jpeg")
    response.headers["X-Faceswap-Swapped"] = "true" if answer.fields.get("swapped") else "false"
    response.headers["Content-Disposition"] = 'inline; filename="ai-modified.jpg"'
    remember(response, visitor)
    return response


@login_not_required
@require_safe
@never_cache
@tells_errors
def feed(request: HttpRequest) -> HttpResponseBase:
    """What has been revoked after `after`, signed; waits for news up to `wait` seconds."""
    try:
        after, wait = int(request.GET.get("after", "0")), float(request.GET.get("wait", "0"))
    except ValueError:
        raise BadRequest(_("Expected `after` and `wait` to be numbers.")) from None
    entries = revocations.wait_for_entries(after, wait)
    cursor = max([after, *(entry["cursor"] for entry in entries)])
    return JsonResponse({"feed": signing.sign_feed(FACESWAP, cursor, entries)})


@login_not_required
@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok", content_type="text/plain")


@login_not_required
@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """Sessions can be started: the keys, the database and the gallery are there."""
    lacking = []
    try:
        signing.read_private_key(FACESWAP.signing_key)
    except Unavailable as error:
        lacking.append(str(error))
    try:
        Revocation.objects.exists()
    except DatabaseError:
        lacking.append("The database does not answer.")
    if not read_gallery(FACESWAP.gallery_folder):
        lacking.append("The gallery is empty.")
    status = HTTPStatus.SERVICE_UNAVAILABLE if lacking else HTTPStatus.OK
    return HttpResponse("\n".join(lacking) or "ready", status=status, content_type="text/plain")
