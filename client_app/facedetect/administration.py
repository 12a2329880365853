"""What the admin's pages have in common."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

admin.site.site_header = admin.site.site_title = _("Face swap, live")


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # it takes no parameter when it runs
    """Rows that are shown and never edited: what they say was signed, logged or encrypted elsewhere."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def may_change(self, request: HttpRequest) -> bool:
        """Whether a member of staff has Django's permission to change these rows: for what a page lets them do."""
        return super().has_change_permission(request)

    def may_delete(self, request: HttpRequest) -> bool:
        """The same of deleting."""
        return super().has_delete_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
