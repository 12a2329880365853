"""What the client keeps about identities. No picture and no frame is among it."""

from __future__ import annotations

from datetime import datetime

from django.db import models


class Revocation(models.Model):
    """Something that may not be used any more. Its primary key is the cursor of the feed."""

    class Kind(models.TextChoices):
        """What was revoked."""

        IDENTITY = "identity"
        SESSION = "session"

    kind: models.CharField[str, str] = models.CharField(max_length=8, choices=Kind.choices)
    target: models.CharField[str, str] = models.CharField(
        max_length=64, db_index=True, help_text="id of the identity or session"
    )
    at: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.target}"
