"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class AccessConfig(AppConfig):
    """Terms, login and limits."""

    name = "access"
