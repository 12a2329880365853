"""What the client keeps about identities: portraits and descriptors encrypted, and no frame of a session."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class Revocation(models.Model):
    """Something that may not be used any more. Its primary key is the cursor of the feed."""

    class Kind(models.TextChoices):
        """What was revoked."""

        IDENTITY = "identity", _("identity")
        SESSION = "session", _("session")

    kind: models.CharField[str, str] = models.CharField(_("kind"), max_length=8, choices=Kind.choices)
    target: models.CharField[str, str] = models.CharField(
        _("what"), max_length=64, db_index=True, help_text=_("id of the identity or session")
    )
    at: models.DateTimeField[datetime, datetime] = models.DateTimeField(_("time"), auto_now_add=True)

    class Meta:
        verbose_name = _("revocation")
        verbose_name_plural = _("revocations")

    def __str__(self) -> str:
        return f"{self.kind} {self.target}"


class Consent(models.Model):
    """What an identity's use rests on: who agreed to what, until when. It outlives the face, as the proof of it."""

    subject: models.CharField[str, str] = models.CharField(_("person"), max_length=128, help_text=_("who agreed"))
    document: models.CharField[str, str] = models.CharField(
        _("document"), max_length=64, help_text=_("SHA-256 of what was agreed to")
    )
    token: models.TextField[str, str] = models.TextField(help_text="signed, as the package carries it")
    hash: models.CharField[str, str] = models.CharField(_("hash"), max_length=64, help_text=_("SHA-256 of the token"))
    given: models.DateTimeField[datetime, datetime] = models.DateTimeField(_("given"), auto_now_add=True)
    expires: models.DateTimeField[datetime, datetime] = models.DateTimeField(_("ends"))

    class Meta:
        verbose_name = _("consent")
        verbose_name_plural = _("consents")

    def __str__(self) -> str:
        return f"{self.given:%Y-%m-%d} {self.subject}"


class Identity(models.Model):
    """An enrolled identity, whose package the prediction service holds. Revoked, only its id is left."""

    id: models.CharField[str, str] = models.CharField(_("id"), primary_key=True, max_length=64)
    owner: models.CharField[str, str] = models.CharField(
        _("owner"), max_length=32, db_index=True, help_text=_("the visitor's id")
    )
    name: models.CharField[str, str] = models.CharField(_("name"), max_length=64, blank=True)
    kind: models.CharField[str, str] = models.CharField(
        _("kind"), max_length=8, choices=[("self", _("own face")), ("release", _("by a release"))]
    )
    engines: models.CharField[str, str] = models.CharField(
        _("engines"), max_length=64, default="photo", help_text=_("space-separated")
    )
    consent: models.OneToOneField[Consent, Consent] = models.OneToOneField(
        Consent, on_delete=models.PROTECT, verbose_name=_("consent")
    )
    portrait: models.BinaryField[bytes, bytes | memoryview] = models.BinaryField(help_text="encrypted; empty: revoked")
    address: models.CharField[str, str] = models.CharField(
        max_length=64, blank=True, default="", help_text="keyed hash, to count; empty: not counted"
    )
    created: models.DateTimeField[datetime, datetime] = models.DateTimeField(_("created"), auto_now_add=True)
    revoked: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(
        _("revoked"), null=True, blank=True
    )

    class Meta:
        verbose_name = _("identity")
        verbose_name_plural = _("identities")

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
    address: models.CharField[str, str] = models.CharField(
        max_length=64, blank=True, default="", help_text="keyed hash, to count; empty: not counted"
    )
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

        BETTER = "better", _("better")
        NOT_BETTER = "not_better", _("not better")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")
        REVOKED = "revoked", _("revoked")

    identity: models.ForeignKey[Identity, Identity] = models.ForeignKey(
        Identity, on_delete=models.CASCADE, verbose_name=_("identity")
    )
    owner: models.CharField[str, str] = models.CharField(_("owner"), max_length=32, help_text=_("the visitor's id"))
    training: models.CharField[str, str] = models.CharField(
        _("training"), max_length=16, blank=True, help_text=_("the prediction service's id; empty: just being started")
    )
    outcome: models.CharField[str, str] = models.CharField(
        _("outcome"), max_length=10, choices=Outcome.choices, blank=True
    )
    reason: models.CharField[str, str] = models.CharField(max_length=300, blank=True, help_text="one sentence")
    model: models.CharField[str, str] = models.CharField(
        _("model"), max_length=64, blank=True, help_text=_("SHA-256 of the model that came into use")
    )
    started: models.DateTimeField[datetime, datetime] = models.DateTimeField(_("started"), auto_now_add=True)
    ended: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(
        _("ended"), null=True, blank=True
    )

    class Meta:
        verbose_name = _("training")
        verbose_name_plural = _("trainings")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["owner"], condition=models.Q(ended=None), name="one_training_a_visitor")
        ]

    def __str__(self) -> str:
        return f"{self.identity.pk} {self.outcome or 'running'}"


class RemovalRequest(models.Model):
    """Somebody asks that a face be taken down; an answer is due within 48 hours."""

    contact: models.EmailField[str, str] = models.EmailField(_("e-mail address"))
    what: models.TextField[str, str] = models.TextField(
        _("words"), max_length=2000, help_text=_("which identity, or where it was seen")
    )
    identity: models.CharField[str, str] = models.CharField(
        _("identity"), max_length=64, blank=True, help_text=_("id of the identity that it turned out to be about")
    )
    received: models.DateTimeField[datetime, datetime] = models.DateTimeField(_("received"), auto_now_add=True)
    due: models.DateTimeField[datetime, datetime] = models.DateTimeField(_("due"))
    closed: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(
        _("closed"), null=True, blank=True
    )

    class Meta:
        verbose_name = _("request for removal")
        verbose_name_plural = _("requests for removal")

    def __str__(self) -> str:
        return f"{self.received:%Y-%m-%d %H:%M} {self.contact}"
