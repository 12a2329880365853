"""`manage.py revoke_expired`: delete every face whose consent has ended; for a nightly job. Enrolments do it too."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from identities.removal import enroller


class Command(BaseCommand):
    """Revokes them as their owners would."""

    help = "Delete the pictures, packages and models of identities whose consent has ended."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"Revoked {enroller().revoke_expired()} whose consent had ended.")
