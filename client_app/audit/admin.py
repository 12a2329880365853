"""The audit log for staff: to read, with whether its chain holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.chain import BrokenChain, verify
from audit.models import AuditEntry
from facedetect.administration import ReadOnlyAdmin
from facedetect.errors import Unavailable
from facedetect.signing import read_private_key

NEWEST = 1000
"""Entries that each look at the list checks; `manage.py audit verify` checks them all."""


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Every entry as it was written."""

    list_display = ("number", "at", "event", "session", "identity", "details")
    list_filter = ("event",)
    search_fields = ("=session", "=identity", "=consent_hash")
    ordering = ("-number",)
    show_full_result_count = False

    @admin.display(description=gettext_lazy("time"), ordering="number")
    def at(self, entry: AuditEntry) -> datetime:
        return datetime.fromtimestamp(entry.at_ms / 1000, UTC)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        broken = ""
        try:
            head = verify(read_private_key(settings.FACESWAP.signing_key).public_key(), newest=NEWEST)
        except (BrokenChain, Unavailable) as error:
            broken = str(error)
        said = broken or _("The newest %(count)d entries hold. Head: %(head)s") % {
            "count": min(NEWEST, head.number),
            "head": head,
        }
        return super().changelist_view(request, {**(extra_context or {}), "broken": bool(broken), "chain": said})
