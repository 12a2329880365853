"""What is kept about visitors: which terms they accepted, and for a day, how much they used. No name, no address."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

MOST = 100_000_000
"""No limit can be set higher."""


class TermsAcceptance(models.Model):
    """A visitor accepted one version of the terms."""

    visitor: models.CharField[str, str] = models.CharField(_("visitor"), max_length=32)
    version: models.CharField[str, str] = models.CharField(_("version"), max_length=16)
    document: models.CharField[str, str] = models.CharField(
        _("document"), max_length=64, help_text=_("SHA-256 of the terms' text")
    )
    at: models.DateTimeField[datetime, datetime] = models.DateTimeField(_("time"), auto_now_add=True, db_index=True)

    class Meta:
        verbose_name = _("acceptance of the terms")
        verbose_name_plural = _("acceptances of the terms")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["visitor", "version"], name="one_acceptance_of_each_version")
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.visitor[:8]}"


class Grant(models.Model):
    """A session that got tokens, a picture that was swapped, or a request for removal; kept for a day, to count it."""

    session: models.CharField[str, str] = models.CharField(primary_key=True, max_length=32)
    visitor: models.CharField[str, str] = models.CharField(max_length=32)
    address: models.CharField[str, str] = models.CharField(
        max_length=64, help_text="keyed hash; the address is not kept"
    )
    started: models.DateTimeField[datetime, datetime] = models.DateTimeField()
    until: models.DateTimeField[datetime, datetime] = models.DateTimeField(db_index=True, help_text="its tokens' end")
    seconds: models.PositiveIntegerField[int, int] = models.PositiveIntegerField(help_text="for which it had tokens")

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["visitor", "until"]),
            models.Index(fields=["address", "until"]),
        ]

    def __str__(self) -> str:
        return self.session


class Limit(models.Model):
    """A limit that an operator changed in the admin; empty, the setting of the same name holds."""

    class Name(models.TextChoices):
        """Fields of `configuration.Settings`."""

        VISITOR_SESSIONS_PER_HOUR = "visitor_sessions_per_hour", _("sessions and pictures of a visitor, an hour")
        VISITOR_MINUTES_PER_DAY = "visitor_minutes_per_day", _("minutes of a visitor's sessions, a day")
        ADDRESS_SESSIONS_PER_HOUR = "address_sessions_per_hour", _("sessions and pictures of an address, an hour")
        ADDRESS_MINUTES_PER_DAY = "address_minutes_per_day", _("minutes of an address's sessions, a day")
        ADDRESS_IDENTITIES = "address_identities", _("enrolled faces of an address")
        SESSION_FPS = "session_fps", _("frames a second of a session")
        SESSION_PIXELS = "session_pixels", _("pixels of a session's frame")
        SESSION_MINUTES = "session_minutes", _("minutes of a session")

    name: models.CharField[str, str] = models.CharField(
        _("limit"), primary_key=True, max_length=32, choices=Name.choices
    )
    value: models.PositiveIntegerField[int | None, int | None] = models.PositiveIntegerField(
        _("value"), null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(MOST)]
    )

    class Meta:
        verbose_name = _("limit")
        verbose_name_plural = _("limits")
        ordering: ClassVar[list[str]] = ["name"]

    def __str__(self) -> str:
        return self.name
