"""`manage.py settle_trainings`: take down how trainings ended whose owners have not looked; for a nightly job."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from facedetect.operator import Operator
from identities.trainings import Trainer


class Command(BaseCommand):
    """Asks the prediction service about every training that has not ended here."""

    help = "Ask the prediction service how trainings stand, and write down those that have ended."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{Trainer(Operator(settings.FACESWAP)).settle_all()} still run")
