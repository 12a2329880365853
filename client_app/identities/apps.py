"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class IdentitiesConfig(AppConfig):
    """Identities and revocations."""

    name = "identities"
