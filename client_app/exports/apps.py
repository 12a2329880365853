"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class ExportsConfig(AppConfig):
    """Signed exports and their verification."""

    name = "exports"
