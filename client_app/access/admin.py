"""Limits, and who accepted the terms, for staff."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from access.models import Limit, TermsAcceptance
from facedetect.administration import ReadOnlyAdmin


@admin.register(TermsAcceptance)
class TermsAcceptanceAdmin(ReadOnlyAdmin):
    """Which visitor, by a random number, accepted which version."""

    list_display = ("visitor", "version", "at")
    list_filter = ("version",)
    search_fields = ("visitor",)
    ordering = ("-at",)


@admin.register(Limit)
class LimitAdmin(ReadOnlyAdmin):
    """Every limit in one list; an empty value leaves it to the setting."""

    list_display = ("name", "value", "setting")
    list_display_links = None
    list_editable = ("value",)

    def has_change_permission(self, request: HttpRequest, obj: Limit | None = None) -> bool:
        return self.may_change(request)

    @admin.display(description=_("where it is empty: the setting's"))
    def setting(self, limit: Limit) -> int:
        return int(getattr(settings.FACESWAP, limit.name))
