"""`python manage.py runserver` is enough on a new machine: it brings a developer's database up to date first."""

from __future__ import annotations

from django.conf import settings
from django.contrib.staticfiles.management.commands.runserver import Command as StaticFilesRunserver
from django.core.management import call_command


class Command(StaticFilesRunserver):
    """Django's own, with the migrations it would otherwise only warn about."""

    def check_migrations(self) -> None:
        if settings.DEBUG:
            call_command("migrate", interactive=False, verbosity=0)
        super().check_migrations()
