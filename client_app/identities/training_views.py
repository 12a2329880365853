"""Training a model of one's own face: start, progress, preview, cancel."""

from __future__ import annotations

from dataclasses import asdict

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from facedetect.errors import UnknownIdentity
from facedetect.telling import tells_errors
from identities.models import Identity
from identities.trainings import trainer
from identities.visitor import owned


def own(request: HttpRequest, identity: str) -> Identity:
    """The visitor's own identity of that id. Raises UnknownIdentity."""
    for found in owned(request):
        if found.pk == identity:
            return found
    raise UnknownIdentity(_("You have no such face."))


@require_safe
@never_cache
@tells_errors
def trainings(request: HttpRequest) -> HttpResponseBase:
    """Whether models can be trained here, and how those of the visitor's identities stand."""
    available, reason = trainer().available()
    told = {identity.pk: trainer().told(identity) for identity in owned(request)}
    engines = {identity.pk: identity.engines.split() for identity in owned(request)}  # as they are now
    known = {id_: {**asdict(each), "engines": engines[id_]} for id_, each in told.items() if each and id_ in engines}
    return JsonResponse({"available": available, "reason": reason, "trainings": known})


@require_POST
@never_cache
@tells_errors
def train(request: HttpRequest, identity: str) -> HttpResponseBase:
    """Start a training in the background."""
    return JsonResponse(asdict(trainer().start(own(request, identity))), status=202)


@require_POST
@never_cache
@tells_errors
def cancel(request: HttpRequest, identity: str) -> HttpResponseBase:
    """Stop it; what there is of it is deleted."""
    trainer().cancel(own(request, identity))
    return JsonResponse({"cancelled": identity})


@require_safe
@tells_errors
def preview(request: HttpRequest, identity: str) -> HttpResponseBase:
    """The sheet of faces that the training has not seen: for its owner, and kept by nobody."""
    sheet = trainer().preview(own(request, identity))
    return HttpResponse(sheet, content_type="image/jpeg", headers={"Cache-Control": "private, no-store"})
