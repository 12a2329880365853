"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccessConfig(AppConfig):
    """Terms, login and limits."""

    name = "access"
    verbose_name = _("Access")
