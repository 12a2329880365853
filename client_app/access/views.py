"""The terms as a page of their own, for everybody to read."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from access.terms import SENTENCES, VERSION


@login_not_required
@require_safe
@never_cache
def terms(request: HttpRequest) -> HttpResponseBase:
    """The page."""
    return render(request, "access/terms.html", {"terms": SENTENCES, "terms_version": VERSION})
