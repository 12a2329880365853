"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class IdentitiesConfig(AppConfig):
    """Identities and revocations."""

    name = "identities"
    verbose_name = _("Identities")
