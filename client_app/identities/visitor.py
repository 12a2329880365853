"""Who owns an enrolled identity: a random id in a signed cookie. No name, no address, no login."""

from __future__ import annotations

import re
import secrets

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from identities.models import Identity

COOKIE = "faceswap_visitor"
SALT = "faceswap.visitor"
MAX_AGE_SECONDS = 400 * 24 * 3600
"""As long as browsers keep any cookie."""
ID = re.compile(r"[0-9a-f]{32}")


def visitor_of(request: HttpRequest) -> str:
    """The visitor's id, or "" for one who has none yet."""
    value = request.get_signed_cookie(COOKIE, default="", salt=SALT, max_age=MAX_AGE_SECONDS)
    return value if value and ID.fullmatch(value) else ""


def owned(request: HttpRequest) -> list[Identity]:
    """The identities of this visitor that have not been revoked, the newest first; their pictures stay in the database
    until somebody asks for one."""
    visitor = visitor_of(request)
    found = Identity.objects.filter(owner=visitor, revoked=None, consent__expires__gt=timezone.now())
    return list(found.select_related("consent").defer("portrait").order_by("-created")) if visitor else []


def new_visitor() -> str:
    return secrets.token_hex(16)


def remember(response: HttpResponseBase, visitor: str) -> None:
    """Let the browser keep the visitor's id."""
    response.set_signed_cookie(
        COOKIE,
        visitor,
        salt=SALT,
        max_age=MAX_AGE_SECONDS,
        httponly=True,
        secure=settings.CSRF_COOKIE_SECURE,
        samesite="Lax",
    )
