"""A model of one's own: started at the prediction service, followed, cancelled, and put to use when it is better.

The service does the work and decides what is better (docs/architecture.md, studio calls); the row here says whose
training it is, lets a visitor have one at a time, and survives a restart. How a training ended is taken down when
somebody looks, or by `manage.py settle_trainings`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.chain import record
from audit.models import AuditEntry
from facedetect.errors import BadRequest, TrainingRuns, Unavailable, UnknownIdentity
from facedetect.operator import NO_ANSWER, Operator, Refusal
from facedetect.refusals import sentence_of
from identities.models import Identity, Training

PATH = "/v1/trainings"
MOST_RUNNING = 8
"""Of all visitors; the service trains one at a time and lets as many wait."""
STARTING = timedelta(minutes=2)
"""A row without the service's id that is older was left by a client that died while it started a training."""
MAX_REASON = 300
MODEL = re.compile(r"[0-9a-f]{64}")
RUNNING = ("queued", "running")


@dataclass(frozen=True, slots=True)
class Told:
    """What the page shows of an identity's last training."""

    state: str
    """`queued`, `running`, or how it ended: a `Training.Outcome`."""
    progress: float = 0.0
    step: int = 0
    seconds_left: int | None = None
    reason: str = ""
    preview: bool = False
    """Whether there is a sheet to look at."""


class Trainer:
    """Trainings of visitors' own identities, at one prediction service."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    def available(self) -> tuple[bool, str]:
        """Whether the service can train; else why not. Raises Unavailable where it does not answer."""
        try:
            told = self._operator.call("GET", PATH)
        except Refusal as refusal:
            return False, str(refusal)
        return bool(told.get("available")), sentence_of(str(told.get("type")), str(told.get("reason") or ""))

    def start(self, identity: Identity) -> Told:
        """Raises TrainingRuns, Unavailable (with the service's sentence where it cannot train), BadRequest."""
        if Training.objects.filter(ended=None).count() >= MOST_RUNNING:
            self.settle_all()
        if Training.objects.filter(ended=None).count() >= MOST_RUNNING:
            raise Unavailable(_("As many models are being trained as this server takes. Try again later."))
        try:
            with transaction.atomic():
                row = Training.objects.create(identity=identity, owner=identity.owner)
        except IntegrityError:
            raise TrainingRuns(_("You have a training that has not ended. Wait for it, or cancel it.")) from None
        try:
            body = json.dumps({"identity": identity.pk}).encode()
            started = str(self._operator.call("POST", PATH, body)["training"])
        except Exception as error:
            row.delete()
            if isinstance(error, Refusal):
                raise BadRequest(str(error)) from None
            if isinstance(error, KeyError):
                raise Unavailable(NO_ANSWER) from None
            raise
        try:
            with transaction.atomic():
                row.training = started
                row.save(update_fields=["training"])
                _record(AuditEntry.Event.TRAINING_STARTED, row)
        except Exception:
            with suppress(Refusal, Unavailable):  # it ends by itself, and nobody waits for it
                self._operator.call("DELETE", f"{PATH}/{started}")
            Training.objects.filter(pk=row.pk).delete()
            raise
        return Told("queued")

    def told(self, identity: Identity) -> Told | None:
        """How the identity's last training stands; None where there was none. Raises Unavailable."""
        row = Training.objects.filter(identity=identity).order_by("-pk").first()
        return None if row is None else self.stands(row)

    def cancel(self, identity: Identity) -> None:
        """Stop its training, and delete what there is of it; nothing happens where none runs. Raises Unavailable."""
        for row in Training.objects.filter(identity=identity, ended=None).exclude(training=""):
            if self.stands(row).state not in RUNNING:
                continue  # it has just ended by itself, and what it made may be in use
            with suppress(Refusal):
                self._operator.call("DELETE", f"{PATH}/{row.training}")
            _end(row, Training.Outcome.CANCELLED)

    def preview(self, identity: Identity) -> bytes:
        """The last training's sheet, JPEG. Raises UnknownIdentity where there is none, Unavailable."""
        row = Training.objects.filter(identity=identity).exclude(training="").order_by("-pk").first()
        try:
            told = self._operator.call("GET", f"{PATH}/{row.training}/preview") if row else {}
            return base64.b64decode(told["b64"], validate=True)
        except (Refusal, KeyError, TypeError, binascii.Error):
            raise UnknownIdentity(_("There is nothing to see of this training yet.")) from None

    def settle_all(self) -> int:
        """Take down how every training that has not ended stands; how many still run."""
        for row in Training.objects.filter(ended=None).select_related("identity").defer("identity__portrait"):
            with suppress(Unavailable):
                self.stands(row)
        return Training.objects.filter(ended=None).count()

    def stands(self, row: Training) -> Told:
        """How it stands; an end is taken down. Raises Unavailable."""
        if row.ended is not None:
            seen = row.outcome in (Training.Outcome.BETTER, Training.Outcome.NOT_BETTER)
            return Told(row.outcome, 1.0 if seen else 0.0, reason=row.reason, preview=seen)
        if not row.training:
            if timezone.now() - row.started > STARTING:
                _end(row, Training.Outcome.FAILED, _("The server was stopped meanwhile: start the training again."))
            return Told(row.outcome or "queued", reason=row.reason)
        try:
            told = self._operator.call("GET", f"{PATH}/{row.training}")
        except Refusal:  # it does not know this training
            _end(row, Training.Outcome.FAILED, _("The server was stopped meanwhile: start the training again."))
            return self.stands(row)
        try:
            told_now = _read(told)
        except (KeyError, TypeError, ValueError):
            raise Unavailable(NO_ANSWER) from None
        if told_now.state in RUNNING:
            return told_now
        if told_now.state == "failed":
            _end(row, Training.Outcome.FAILED, told_now.reason)
        else:
            better = told.get("better") is True
            _end(row, Training.Outcome.BETTER if better else Training.Outcome.NOT_BETTER, told_now.reason, told)
        return self.stands(row)

    def models(self, identities: Iterable[Identity]) -> dict[str, str]:
        """SHA-256 of the model of each that has one, by id; the others wear their photograph.

        A training that has just ended is taken down first, so that the log has the model before what was made with it.
        """
        found = {}
        for identity in identities:
            with suppress(Unavailable):
                self.told(identity)
            row = Training.objects.filter(identity=identity, outcome=Training.Outcome.BETTER).order_by("-pk").first()
            if row is not None and row.model:
                found[identity.pk] = row.model
        return found


@cache
def trainer() -> Trainer:
    """This server's."""
    return Trainer(Operator(settings.FACESWAP))


def end_for_revocation(identity: Identity) -> None:
    """Its identity is being revoked, which deletes the training at the service as well."""
    for row in Training.objects.filter(identity=identity, ended=None):
        _end(row, Training.Outcome.REVOKED)


def _end(row: Training, outcome: Training.Outcome, reason: str = "", told: Mapping[str, Any] | None = None) -> None:
    """Take down the end, once: whoever comes second finds it done."""
    with transaction.atomic():
        ended = Training.objects.filter(pk=row.pk, ended=None).update(
            ended=timezone.now(), outcome=outcome, reason=reason[:MAX_REASON], model=_model(told or {})
        )
        if ended:
            if outcome == Training.Outcome.BETTER and told is not None:
                engines = " ".join(map(str, told.get("engines") or ()))
                Identity.objects.filter(pk=row.identity.pk, revoked=None).update(engines=engines or "photo")
            _record(AuditEntry.Event.TRAINING_ENDED, row, outcome, told or {})
    row.refresh_from_db()


def _record(event: AuditEntry.Event, row: Training, outcome: str = "", told: Mapping[str, Any] | None = None) -> None:
    details: dict[str, int | str] = {"training": row.training}
    if outcome:
        details["outcome"] = str(outcome)
    if told and isinstance(told.get("step"), int):
        details["steps"] = int(told["step"])
    if model := _model(told or {}):
        details["model"] = model
    record(event, identity=row.identity.pk, consent_hash=row.identity.consent.hash, details=details)


def _model(told: Mapping[str, Any]) -> str:
    """The SHA-256 of the model that came into use, or ""."""
    model = told.get("model")
    return model if isinstance(model, str) and MODEL.fullmatch(model) else ""


def _read(told: Mapping[str, Any]) -> Told:
    """Raises KeyError, TypeError, ValueError for what the contract does not know."""
    left = told["seconds_left"]
    return Told(
        state=str(told["state"]),
        progress=min(max(float(told["progress"]), 0.0), 1.0),
        step=int(told["step"]),
        seconds_left=None if left is None else int(left),
        reason=str(told["reason"] or ""),
        preview=bool(told["preview"]),
    )
