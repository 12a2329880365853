"""Which visitor has accepted which version of the terms: the server keeps it, and asks for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from access.models import TermsAcceptance
from access.terms import DOCUMENT, SENTENCES, VERSION
from facedetect.errors import TermsNotAccepted
from identities.visitor import MAX_AGE_SECONDS, new_visitor, visitor_of

FIELD = "terms"
"""Of a form: the version that its page showed and the visitor accepted."""


def accepted(visitor: str) -> bool:
    """Whether this visitor has accepted the terms in force."""
    return bool(visitor) and TermsAcceptance.objects.filter(visitor=visitor, version=VERSION).exists()


def shown(request: HttpRequest) -> dict[str, Any]:
    """What a page needs to ask for them."""
    return {"terms_version": VERSION, "terms": SENTENCES, "terms_accepted": accepted(visitor_of(request))}


def require(request: HttpRequest) -> str:
    """The visitor, who has accepted the terms in force, earlier or with this form. Raises TermsNotAccepted."""
    visitor = visitor_of(request)
    if not accepted(visitor) and request.POST.get(FIELD) != VERSION:
        raise TermsNotAccepted(_("Accept the terms first: reload the page to read them as they are now."))
    return visitor or new_visitor()


def record(visitor: str) -> None:
    """Keep that the visitor accepted the terms in force, for as long as a browser keeps the visitor's id."""
    made = TermsAcceptance.objects.get_or_create(visitor=visitor, version=VERSION, defaults={"document": DOCUMENT})[1]
    if made:
        TermsAcceptance.objects.filter(at__lt=timezone.now() - timedelta(seconds=MAX_AGE_SECONDS)).delete()
