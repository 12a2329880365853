"""The login that `FACESWAP_LOGIN=required` asks for, and what happens to somebody who guesses passwords."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from facedetect.errors import NotLoggedIn, TooMuch
from facedetect.telling import error_response


class LoginRequired(LoginRequiredMiddleware):
    """Sends a visitor to the login page, and tells a script in one sentence."""

    def handle_no_permission(  # type: ignore[override]  # the one above only ever redirects
        self, request: HttpRequest, view_func: Any
    ) -> HttpResponse:
        if request.headers.get("Accept", "").startswith("text/html"):
            return super().handle_no_permission(request, view_func)
        return error_response(request, NotLoggedIn(_("You are not logged in. Reload the page to log in.")))


def locked_out(request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any]) -> HttpResponse:
    """django-axes' answer to an address with too many wrong passwords."""
    minutes = settings.FACESWAP.login_lockout_minutes
    sentence = _("Too many wrong passwords came from your address. Come back in %(minutes)d minutes.")
    return error_response(request, TooMuch(sentence % {"minutes": minutes}, 60 * minutes))
