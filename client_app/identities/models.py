"""What the client keeps about identities: portraits and descriptors encrypted, and no frame of a session."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

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


class Consent(models.Model):
    """What an identity's use rests on: who agreed to what, until when. It outlives the face, as the proof of it."""

    subject: models.CharField[str, str] = models.CharField(max_length=128, help_text="who agreed")
    document: models.CharField[str, str] = models.CharField(max_length=64, help_text="SHA-256 of what was agreed to")
    token: models.TextField[str, str] = models.TextField(help_text="signed, as the package carries it")
    hash: models.CharField[str, str] = models.CharField(max_length=64, help_text="SHA-256 of the token")
    given: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now_add=True)
    expires: models.DateTimeField[datetime, datetime] = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.given:%Y-%m-%d} {self.subject}"


class Identity(models.Model):
    """An enrolled identity, whose package the prediction service holds. Revoked, only its id is left."""

    id: models.CharField[str, str] = models.CharField(primary_key=True, max_length=64)
    owner: models.CharField[str, str] = models.CharField(max_length=32, db_index=True, help_text="the visitor's id")
    name: models.CharField[str, str] = models.CharField(max_length=64, blank=True)
    kind: models.CharField[str, str] = models.CharField(
        max_length=8, choices=[("self", "self"), ("release", "release")]
    )
    engines: models.CharField[str, str] = models.CharField(max_length=64, default="photo", help_text="space-separated")
    consent: models.OneToOneField[Consent, Consent] = models.OneToOneField(Consent, on_delete=models.PROTECT)
    portrait: models.BinaryField[bytes, bytes | memoryview] = models.BinaryField(help_text="encrypted; empty: revoked")
    created: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now_add=True)
    revoked: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "identities"

    def __str__(self) -> str:
        return self.id


class Enrolment(models.Model):
    """A `self` enrolment whose live check is not done yet. It is deleted when that ends, and after half an hour."""

    id: models.CharField[str, str] = models.CharField(primary_key=True, max_length=32)
    owner: models.CharField[str, str] = models.CharField(max_length=32)
    name: models.CharField[str, str] = models.CharField(max_length=64)
    picture: models.BinaryField[bytes, bytes | memoryview] = models.BinaryField(help_text="encrypted")
    descriptor: models.BinaryField[bytes, bytes | memoryview] = models.BinaryField(help_text="encrypted")
    challenges: models.CharField[str, str] = models.CharField(
        max_length=64, help_text="in their order, space-separated"
    )
    done: models.PositiveSmallIntegerField[int, int] = models.PositiveSmallIntegerField(default=0)
    rested: models.BooleanField[bool, bool] = models.BooleanField(default=False)
    frames: models.PositiveIntegerField[int, int] = models.PositiveIntegerField(default=0)
    created: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return self.id


class UnfinishedPackage(models.Model):
    """An identity whose package the prediction service may hold, and which is not enrolled yet, or revoked."""

    id: models.CharField[str, str] = models.CharField(primary_key=True, max_length=64)
    begun: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.id


class Training(models.Model):
    """A model that learns an identity's photograph at the prediction service, or how that ended."""

    class Outcome(models.TextChoices):
        """How it ended."""

        BETTER = "better"
        NOT_BETTER = "not_better"
        FAILED = "failed"
        CANCELLED = "cancelled"
        REVOKED = "revoked"

    identity: models.ForeignKey[Identity, Identity] = models.ForeignKey(Identity, on_delete=models.CASCADE)
    owner: models.CharField[str, str] = models.CharField(max_length=32, help_text="the visitor's id")
    training: models.CharField[str, str] = models.CharField(
        max_length=16, blank=True, help_text="the prediction service's id; empty: just being started"
    )
    outcome: models.CharField[str, str] = models.CharField(max_length=10, choices=Outcome.choices, blank=True)
    reason: models.CharField[str, str] = models.CharField(max_length=300, blank=True, help_text="one sentence")
    model: models.CharField[str, str] = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 of the model that came into use"
    )
    started: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now_add=True)
    ended: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["owner"], condition=models.Q(ended=None), name="one_training_a_visitor")
        ]

    def __str__(self) -> str:
        return f"{self.identity.pk} {self.outcome or 'running'}"


class RemovalRequest(models.Model):
    """Somebody asks that a face be taken down; an answer is due within 48 hours."""

    contact: models.EmailField[str, str] = models.EmailField()
    what: models.TextField[str, str] = models.TextField(
        max_length=2000, help_text="which identity, or where it was seen"
    )
    identity: models.CharField[str, str] = models.CharField(
        max_length=64, blank=True, help_text="id of the identity that it turned out to be about"
    )
    received: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now_add=True)
    due: models.DateTimeField[datetime, datetime] = models.DateTimeField()
    closed: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.received:%Y-%m-%d %H:%M} {self.contact}"
