"""The audit log's entries. No picture, no descriptor and no address is among them."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from django.db import models
from django.utils.translation import gettext_lazy as _


class AppendOnly(TypeError):
    """Expected to add an entry; entries are never changed or deleted."""


class EntryQuerySet(models.QuerySet["AuditEntry"]):
    """Refuses what would rewrite history. (Whoever edits the database itself is found by `manage.py audit verify`.)"""

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnly("Expected to add an entry; the audit log's entries are never changed.")

    def delete(self) -> NoReturn:
        raise AppendOnly("Expected to add an entry; the audit log's entries are never deleted.")


class AuditEntry(models.Model):
    """One event. `chain` makes it, and checks it."""

    class Event(models.TextChoices):
        """What happened."""

        SESSION_STARTED = "session_started", _("session started")
        PICTURE_SWAPPED = "picture_swapped", _("picture swapped")
        EXPORT_SIGNED = "export_signed", _("file signed")
        IDENTITY_ENROLLED = "identity_enrolled", _("identity enrolled")
        IDENTITY_REVOKED = "identity_revoked", _("identity revoked")
        SESSION_REVOKED = "session_revoked", _("session revoked")
        TRAINING_STARTED = "training_started", _("training started")
        TRAINING_ENDED = "training_ended", _("training ended")
        REMOVAL_REQUESTED = "removal_requested", _("removal requested")
        REMOVAL_CLOSED = "removal_closed", _("request for removal closed")

    number: models.BigIntegerField[int, int] = models.BigIntegerField(_("number"), primary_key=True)
    """1, 2, 3, …: two writers cannot both follow the same entry."""
    at_ms: models.BigIntegerField[int, int] = models.BigIntegerField(
        _("time"), help_text=_("milliseconds since 1970, UTC")
    )
    event: models.CharField[str, str] = models.CharField(
        _("event"), max_length=32, choices=Event.choices, db_index=True
    )
    session: models.CharField[str, str] = models.CharField(_("session"), max_length=32, blank=True, db_index=True)
    identity: models.CharField[str, str] = models.CharField(_("identity"), max_length=64, blank=True, db_index=True)
    consent_hash: models.CharField[str, str] = models.CharField(_("consent's hash"), max_length=64, blank=True)
    details: models.JSONField[dict[str, int | str], dict[str, int | str]] = models.JSONField(
        _("details"), default=dict, blank=True
    )
    """Counts and hashes; whole numbers and texts only, which every database gives back as they were."""
    previous: models.CharField[str, str] = models.CharField(
        _("entry before"), max_length=64, help_text=_("hash of the entry before")
    )
    hash: models.CharField[str, str] = models.CharField(
        _("hash"), max_length=64, help_text=_("SHA-256 of all of the above")
    )
    signature: models.CharField[str, str] = models.CharField(
        _("signature"), max_length=128, help_text=_("Ed25519 over the hash, hex")
    )

    objects: ClassVar[Any] = EntryQuerySet.as_manager()

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        ordering: ClassVar[list[str]] = ["number"]

    def __str__(self) -> str:
        return f"{self.number} {self.event}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert it, once. Raises AppendOnly for an entry that is stored already."""
        if not self._state.adding:
            raise AppendOnly("Expected a new entry; the audit log's entries are never changed.")
        super().save(force_insert=True, using=kwargs.get("using"))

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly("Expected to add an entry; the audit log's entries are never deleted.")
