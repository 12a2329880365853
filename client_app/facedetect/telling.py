"""How a visitor is told what went wrong: a sentence, with its status, as JSON or on a page of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.exceptions import DisallowedHost
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from facedetect.errors import BadRequest, ClientError, NoSuchPage, NotAllowed, Unavailable

LOG = logging.getLogger(__name__)

UNREADABLE = gettext_lazy("This request cannot be read. Reload the page, and try again.")

View = Callable[..., HttpResponseBase]


def tells_errors(view: View) -> View:
    """A ClientError becomes its status and sentence."""

    @wraps(view)
    def handle(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except DatabaseError as error:
            LOG.error("the database does not answer: %s", error)
            told = error_response(request, Unavailable(_("The database does not answer. Try again in a moment.")))
            return logged(told)
        except ClientError as error:
            return error_response(request, error)

    return handle


def error_response(request: HttpRequest, error: ClientError, way_back: bool = True) -> HttpResponse:
    """JSON, or a page for what a browser sent by itself, with a `way_back` to the studio. The page is made of the
    sentence alone, without the request: nothing that its context processors ask for need be there."""
    response: HttpResponse
    if request.headers.get("Accept", "").startswith("text/html"):
        page = render_to_string("studio/message.html", {"message": str(error), "way_back": way_back})
        response = HttpResponse(page, status=error.status)
    else:
        body = {"error": {"code": error.status, "type": error.type, "message": str(error)}}
        response = JsonResponse(body, status=error.status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def logged(response: HttpResponse) -> HttpResponse:
    """`response`, of which Django logs no line of its own: its reason has been logged."""
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's view for a form without its CSRF token."""
    return error_response(request, NotAllowed(_("This page is out of date, or cookies are blocked: reload it.")))


def unreadable(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's view for a request that it refuses; its host's name it refuses before a language is chosen."""
    with translation.override(translation.get_language_from_request(request)):
        if isinstance(exception, DisallowedHost):
            sentence = _("This server does not go by that name: its operator can add it to ALLOWED_HOSTS.")
            return error_response(request, BadRequest(sentence), way_back=False)  # it would end here again
        return error_response(request, BadRequest(UNREADABLE))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's view for what the account of a visitor may not do."""
    return error_response(request, NotAllowed(_("Your account may not do this. Ask the operator.")))


def no_such_page(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's view for an address with nothing at it."""
    return error_response(request, NoSuchPage(_("There is nothing at this address. Go back to the studio.")))


def failure(request: HttpRequest) -> HttpResponse:
    """Django's view for a mistake of this server: it needs no database, nor even the page itself."""
    sentence = _("Something went wrong on this server. Try again; if it goes on, tell the operator when it happened.")
    try:
        return error_response(request, ClientError(sentence))
    except Exception:
        LOG.exception("the page of an error cannot be made")
        return HttpResponse(sentence, status=ClientError.status, content_type="text/plain")
