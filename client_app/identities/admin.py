"""Identities, consents and requests for removal, for staff. No page of it shows a picture or a descriptor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from facedetect.administration import ReadOnlyAdmin
from facedetect.errors import ClientError, Unavailable
from identities import removal
from identities.models import Consent, Identity, RemovalRequest, Revocation, Training
from identities.trainings import RUNNING, Told, trainer


def act(request: HttpRequest, page: Any, rows: QuerySet[Any], action: Callable[[Any], None], done: str) -> None:
    """Do `action` to each row; say which are done, and of each other one why not."""
    finished = []
    for row in rows:
        try:
            action(row)
            finished.append(str(row.pk))
        except ClientError as error:
            page.message_user(request, f"{row.pk}: {error}", messages.ERROR)
    if finished:
        page.message_user(request, f"{done}: {', '.join(finished)}", messages.SUCCESS)


@admin.register(Identity)
class IdentityAdmin(ReadOnlyAdmin):
    """Enrolled identities. Their names and whether they may be used, never their pictures."""

    list_display = ("id", "name", "kind", "state", "created", "consent")
    list_filter = ("kind", ("revoked", admin.EmptyFieldListFilter))
    list_select_related = ("consent",)
    search_fields = ("id", "name", "consent__subject")
    fields = ("id", "name", "kind", "engines", "state", "created", "revoked", "consent")
    ordering = ("-created",)
    actions = ("revoke",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Identity]:
        return super().get_queryset(request).defer("portrait")

    @admin.display(description=gettext_lazy("state"))
    def state(self, identity: Identity) -> str:
        if identity.revoked is not None:
            return _("revoked")
        return _("in use") if identity.consent.expires > timezone.now() else _("consent has ended")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return self.may_change(request)

    @admin.action(description=gettext_lazy("Revoke at once, everywhere"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, rows: QuerySet[Identity]) -> None:
        act(request, self, rows, removal.enroller().revoke, _("Revoked"))


@admin.register(Consent)
class ConsentAdmin(ReadOnlyAdmin):
    """Who agreed to what, until when."""

    list_display = ("subject", "identity", "given", "expires", "hash")
    list_select_related = ("identity",)
    search_fields = ("subject", "hash", "document", "identity__id")
    fields = ("subject", "identity", "document", "hash", "given", "expires")
    ordering = ("-given",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Consent]:
        return super().get_queryset(request).defer("identity__portrait")


@admin.register(Training)
class TrainingAdmin(ReadOnlyAdmin):
    """Models that learn a face, and how that ended; what runs is asked of the prediction service."""

    list_display = ("id", "identity", "owner", "state", "progress", "judgement", "started", "ended")
    list_filter = (("ended", admin.EmptyFieldListFilter), "outcome")
    list_select_related = ("identity__consent",)
    search_fields = ("identity__id", "owner", "training")
    fields = ("identity", "owner", "training", "state", "progress", "judgement", "model", "started", "ended")
    ordering = ("-pk",)
    actions = ("cancel",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Training]:
        return super().get_queryset(request).defer("identity__portrait")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return self.may_change(request)

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: Training) -> str:
        told = _told(row)
        if told is None:
            return _("the prediction service does not answer")
        return {
            "queued": _("waits"),
            "running": _("runs"),
            "failed": _("failed"),
            "cancelled": _("cancelled"),
            "revoked": _("revoked"),
        }.get(told.state, _("done"))

    @admin.display(description=gettext_lazy("progress"))
    def progress(self, row: Training) -> str:
        told = _told(row)
        if told is None or told.state not in RUNNING:
            return "–"
        return _("%(percent)d %%, step %(step)d") % {"percent": round(100 * told.progress), "step": told.step}

    @admin.display(description=gettext_lazy("judgement"))
    def judgement(self, row: Training) -> str:
        told = _told(row)
        if told is None or told.state in RUNNING:
            return "–"
        if told.state == Training.Outcome.BETTER:
            return _("measured to be better than the photograph, and in use")
        return told.reason or "–"

    @admin.action(description=gettext_lazy("Cancel, and delete what there is of it"), permissions=["cancel"])
    def cancel(self, request: HttpRequest, rows: QuerySet[Training]) -> None:
        running = rows.filter(ended=None).select_related("identity")
        act(request, self, running, lambda row: trainer().cancel(row.identity), _("Cancelled"))


def _told(row: Training) -> Told | None:
    """How it stands, asked once for a page; None: the prediction service does not answer."""
    if not hasattr(row, "told"):
        try:
            row.told = trainer().stands(row)  # type: ignore[attr-defined]
        except Unavailable:
            row.told = None  # type: ignore[attr-defined]
    told: Told | None = row.told  # type: ignore[attr-defined]
    return told


@admin.register(Revocation)
class RevocationAdmin(ReadOnlyAdmin):
    """What the feed of revocations says."""

    list_display = ("id", "kind", "target", "at")
    list_filter = ("kind",)
    search_fields = ("target",)
    ordering = ("-id",)


class RemovalForm(forms.ModelForm):  # type: ignore[type-arg]  # it takes no parameter when it runs
    """An operator fills in which identity the request is about."""

    def clean_identity(self) -> str:
        identity = str(self.cleaned_data["identity"]).strip()
        if identity and not removal.is_known(identity):
            raise forms.ValidationError(_("There is no such identity here."))
        return identity


@admin.register(RemovalRequest)
class RemovalRequestAdmin(ReadOnlyAdmin):
    """Requests for removal with their clock: the overdue ones first, then what is due next, closed ones last."""

    form = RemovalForm
    list_display = ("id", "clock", "contact", "identity", "received", "due", "closed")
    list_filter = (("closed", admin.EmptyFieldListFilter),)
    search_fields = ("contact", "what", "identity")
    fields = ("clock", "contact", "what", "identity", "received", "due", "closed")
    readonly_fields = ("clock", "contact", "what", "received", "due", "closed")
    ordering: ClassVar[Any] = (F("closed").desc(nulls_first=True), "due")
    actions = ("revoke_and_close", "close_without")

    def has_change_permission(self, request: HttpRequest, obj: RemovalRequest | None = None) -> bool:
        open_ = obj is None or obj.closed is None
        return open_ and self.may_change(request)

    def has_delete_permission(self, request: HttpRequest, obj: RemovalRequest | None = None) -> bool:
        """Of a closed one: its e-mail address is kept no longer than needed. The audit log keeps its number."""
        return (obj is None or obj.closed is not None) and self.may_delete(request)

    @admin.display(description=gettext_lazy("clock"), ordering="due")
    def clock(self, row: RemovalRequest) -> str:
        if row.closed is not None:
            return _("closed after %(time)s") % {"time": timesince(row.received, row.closed)}
        if row.due < timezone.now():
            return _("OVERDUE by %(time)s") % {"time": timesince(row.due)}
        return _("%(time)s left") % {"time": timeuntil(row.due)}

    @admin.action(description=gettext_lazy("Revoke the identity everywhere, and close"), permissions=["change"])
    def revoke_and_close(self, request: HttpRequest, rows: QuerySet[RemovalRequest]) -> None:
        act(request, self, rows.filter(closed=None), removal.revoke_and_close, _("Revoked and closed"))

    @admin.action(description=gettext_lazy("Close without revoking anything"), permissions=["change"])
    def close_without(self, request: HttpRequest, rows: QuerySet[RemovalRequest]) -> None:
        act(request, self, rows.filter(closed=None), lambda row: removal.close(row, "nothing found"), _("Closed"))
