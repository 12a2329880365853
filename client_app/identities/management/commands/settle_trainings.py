"""`manage.py settle_trainings`: take down how trainings ended whose owners have not looked; for a nightly job."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from identities.trainings import trainer


class Command(BaseCommand):
    """Asks the prediction service about every training that has not ended here."""

    help = "Ask the prediction service how trainings stand, and write down those that have ended."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{trainer().settle_all()} still run")
