"""The audit log as a chain: each entry carries the hash of the one before, and a signature only client_app can make.

An edited, inserted or missing entry breaks the chain, and who can write to the database but lacks the signing key
cannot mend it. Only the last entries can go missing unnoticed, unless a check is given an earlier check's head.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from audit.models import AuditEntry
from facedetect.errors import Unavailable
from facedetect.signing import read_private_key

GENESIS = "0" * 64
"""What the first entry has before it."""
MOST_TRIES = 10
"""Of writers that meet at the same number, one wins and the others take the next one."""


@dataclass(frozen=True, slots=True)
class Head:
    """The log's last entry. Kept elsewhere, it proves later that nothing up to it went missing."""

    number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


class BrokenChain(Exception):
    """The log was edited; the message names the first entry that does not hold."""


def record(
    event: AuditEntry.Event,
    *,
    session: str = "",
    identity: str = "",
    consent_hash: str = "",
    details: dict[str, int | str] | None = None,
) -> AuditEntry:
    """Append an entry. Raises DatabaseError or Unavailable where it cannot: what is not logged must not happen."""
    key = read_private_key(settings.FACESWAP.signing_key)
    for _try in range(MOST_TRIES):
        with suppress(IntegrityError), transaction.atomic():
            last = AuditEntry.objects.order_by("-number").values_list("number", "hash").first()
            number, previous = (last[0] + 1, last[1]) if last else (1, GENESIS)
            entry = AuditEntry(
                number=number,
                at_ms=time.time_ns() // 1_000_000,
                event=event,
                session=session,
                identity=identity,
                consent_hash=consent_hash,
                details=details or {},
                previous=previous,
            )
            entry.hash = hash_of(entry)
            entry.signature = key.sign(bytes.fromhex(entry.hash)).hex()
            entry.save()
            return entry
    raise Unavailable(_("Too many things are being logged at once. Try again in a moment."))


def hash_of(entry: AuditEntry) -> str:
    """SHA-256, hex, of everything in `entry` but its hash and signature."""
    fields = {
        "number": entry.number,
        "at_ms": entry.at_ms,
        "event": str(entry.event),
        "session": entry.session,
        "identity": entry.identity,
        "consent_hash": entry.consent_hash,
        "details": entry.details,
        "previous": entry.previous,
    }
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def verify(key: Ed25519PublicKey, earlier: Head | None = None, newest: int | None = None) -> Head:
    """Walk the whole log; its head, when every entry holds and `earlier` is among them. Raises BrokenChain.

    With `newest`, only that many entries at its end are walked.
    """
    head, met = Head(0, GENESIS), earlier is None
    if newest is not None:
        before = AuditEntry.objects.order_by("-number").values_list("number", "hash")[newest : newest + 1].first()
        head = Head(*before) if before else head
    for entry in AuditEntry.objects.filter(number__gt=head.number).order_by("number").iterator(chunk_size=1000):
        if entry.number != head.number + 1:
            raise BrokenChain(f"Expected entry {head.number + 1} after entry {head.number}; found {entry.number}.")
        if entry.previous != head.hash or entry.hash != hash_of(entry):
            raise BrokenChain(f"Entry {entry.number} was edited: its hash does not hold.")
        try:
            key.verify(bytes.fromhex(entry.signature), bytes.fromhex(entry.hash))
        except (InvalidSignature, ValueError):
            raise BrokenChain(f"Entry {entry.number} was not written by this server: its signature fails.") from None
        head = Head(entry.number, entry.hash)
        met = met or head == earlier
    if not met:
        raise BrokenChain(f"Expected the entry {earlier}; the log ends at {head}, or says something else there.")
    return head
