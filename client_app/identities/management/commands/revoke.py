"""`python manage.py revoke identity p3`: stops it within a second, everywhere, and says so in the audit log.

Of an enrolled identity picture, package, weights and trainings are deleted as well.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from facedetect.errors import ClientError
from facedetect.operator import Operator
from facedetect.revocations import revoke
from identities.enrolment import Enroller
from identities.models import Identity, Revocation


class Command(BaseCommand):
    help = "Revoke an identity or a session: live sessions stop within a second, new tokens leave it out."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=Revocation.Kind.values)
        parser.add_argument("id", help="of the identity (p3) or the session (32 hex digits)")

    def handle(self, *args: Any, **options: Any) -> None:
        kind, target = Revocation.Kind(options["kind"]), options["id"]
        enrolled = Identity.objects.filter(pk=target).first() if kind == Revocation.Kind.IDENTITY else None
        if enrolled is None:
            revocation = revoke(kind, target)
        else:
            try:
                Enroller(settings.FACESWAP, Operator(settings.FACESWAP)).revoke(enrolled)
            except ClientError as error:
                raise CommandError(f"{target} is stopped, but not all of it could be deleted: {error}") from None
            revocation = Revocation.objects.filter(kind=kind, target=target).latest("pk")
        self.stdout.write(f"Revoked {revocation}; it is number {revocation.pk} of the feed.")
