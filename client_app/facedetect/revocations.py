"""The feed of revocations that relays follow by long poll, and the same list for new tokens."""

from __future__ import annotations

import threading
import time
from typing import Any

from django.db import transaction

from audit.chain import record
from audit.models import AuditEntry
from identities.models import Revocation

LONGEST_WAIT_SECONDS = 25.0
LOOK_SECONDS = 0.25
"""Between two looks at the database: a relay hears of a revocation within a second."""
MOST_WAITING = 2
"""Polls that may wait at a time, of gunicorn's eight threads; the next ones are answered at once. Slow uploads hold as
many as `bodies.MOST_SLOW`: some threads are left for everybody else."""
MOST_ENTRIES = 1000

_places = threading.BoundedSemaphore(MOST_WAITING)


def entries_after(cursor: int) -> list[dict[str, Any]]:
    """What has been revoked after `cursor`, oldest first."""
    return [
        {"cursor": each.pk, "kind": each.kind, "id": each.target, "at": int(each.at.timestamp())}
        for each in Revocation.objects.filter(pk__gt=cursor).order_by("pk")[:MOST_ENTRIES]
    ]


def wait_for_entries(cursor: int, seconds: float) -> list[dict[str, Any]]:
    """`entries_after(cursor)` as soon as there are any, else an empty list after `seconds` (25 at most)."""
    entries = entries_after(cursor)
    deadline = time.monotonic() + min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)
    if entries or not _places.acquire(blocking=False):
        return entries
    try:
        while not entries and time.monotonic() < deadline:
            time.sleep(min(LOOK_SECONDS, max(0.0, deadline - time.monotonic())))
            entries = entries_after(cursor)
    finally:
        _places.release()
    return entries


def revoked(kind: str, *ids: str) -> set[str]:
    """Which of `ids` have been revoked; `kind` is `identity` or `session`."""
    return set(Revocation.objects.filter(kind=kind, target__in=ids).values_list("target", flat=True))


def revoke(kind: Revocation.Kind, target: str) -> Revocation:
    """Put `target` into the feed, and into the audit log: both or neither."""
    events = {
        Revocation.Kind.IDENTITY: (AuditEntry.Event.IDENTITY_REVOKED, "identity"),
        Revocation.Kind.SESSION: (AuditEntry.Event.SESSION_REVOKED, "session"),
    }
    event, field = events[kind]
    with transaction.atomic():
        # The log first, whose writers wait for each other: else a higher cursor could be in the feed before a lower,
        # and a relay that has heard of the higher never asks for the lower.
        record(event, identity=target if field == "identity" else "", session=target if field == "session" else "")
        return Revocation.objects.create(kind=kind, target=target)
