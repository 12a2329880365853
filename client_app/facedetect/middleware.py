"""What Django does not do by itself: a header for every answer, and a sentence for what it refuses without one."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed, StreamingHttpResponse
from django.http.multipartparser import MultiPartParserError
from django.utils.translation import gettext as _

from facedetect.bodies import UNRECEIVED
from facedetect.errors import BadRequest, FormTooLarge, WrongMethod
from facedetect.telling import UNREADABLE, error_response, logged

PERMISSIONS_POLICY = "camera=(self), microphone=(self), display-capture=(), geolocation=(), payment=(), usb=()"

NO_FORM = (MultiPartParserError, TooManyFieldsSent, TooManyFilesSent, TypeError)
"""What refuses the body of a form; the last is Python's own parser, at `name*0=x; name*=y` in the head of a part."""

Handler = Callable[[HttpRequest], HttpResponseBase]


def permissions_policy(get_response: Handler) -> Handler:
    """Only this page may ask for the camera; nothing that it might embed."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        return response

    return handle


def heads_alone(get_response: Handler) -> Handler:
    """HEAD gets the head of what GET would get. Django leaves the body to the server, and gunicorn logs a warning."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.method == "HEAD":
            if isinstance(response, StreamingHttpResponse):
                response.streaming_content = ()
            elif isinstance(response, HttpResponse):
                response.headers.setdefault("Content-Length", str(len(response.content)))
                response.content = b""
        return response

    return handle


def tell_refusals(get_response: Handler) -> Handler:
    """Tell the visitor, in the place of a view, why the request's body was given up (`bodies.ReceivedBodies`) or is no
    form, and what methods an address knows."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        error = request.META.get(UNRECEIVED)
        if error is not None:
            return error_response(request, error)
        try:
            request.POST  # noqa: B018 - read here, where what Django does not expect of it can be told
        except RequestDataTooBig:
            most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE >> 10
            sentence = _("Expected a form of at most %(most)d kB. Write less, and send it again.") % {"most": most}
            return error_response(request, FormTooLarge(sentence))
        except NO_FORM:
            return error_response(request, BadRequest(UNREADABLE))
        response = get_response(request)
        if not isinstance(response, HttpResponseNotAllowed):
            return response
        allowed = response.headers["Allow"]
        told = error_response(request, WrongMethod(_("Expected %(methods)s at this address.") % {"methods": allowed}))
        told.headers["Allow"] = allowed
        return logged(told)  # by Django, with the answer that this replaces

    return handle
