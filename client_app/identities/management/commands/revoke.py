"""`python manage.py revoke identity p3`: stops it within a second, everywhere, and says so in the audit log."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from facedetect.revocations import revoke
from identities.models import Revocation


class Command(BaseCommand):
    help = "Revoke an identity or a session: live sessions stop within a second, new tokens leave it out."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=Revocation.Kind.values)
        parser.add_argument("id", help="of the identity (p3) or the session (32 hex digits)")

    def handle(self, *args: Any, **options: Any) -> None:
        revocation = revoke(Revocation.Kind(options["kind"]), options["id"])
        self.stdout.write(f"Revoked {revocation}; it is number {revocation.pk} of the feed.")
