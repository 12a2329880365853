"""How much visitors who are not logged in may use: sessions an hour and minutes a day, of each and of an address, and
how many faces an address may have enrolled.

A session's minutes are those that its tokens cover. Sessions that are asked for together may pass together: as many as
the server has threads. Faces may not (`identities.enrolment`).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet, Sum
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import ngettext

from access.addresses import address_of
from access.models import Grant, Limit
from facedetect.errors import TooMuch
from facedetect.signing import SESSION_SECONDS

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SALT = "faceswap.address"
COUNTED = ("visitor", "address")


def limits() -> dict[str, int]:
    """What holds now, by `Limit.Name`: the admin's value, else the setting's."""
    changed = dict(Limit.objects.exclude(value=None).values_list("name", "value"))
    return {name: changed.get(name) or getattr(settings.FACESWAP, name) for name in Limit.Name.values}


def token_limits() -> dict[str, int]:
    """The `limits` claim of a session token."""
    held = limits()
    return {name: held[f"session_{name}"] for name in ("fps", "pixels", "minutes")}


def counted_address(request: HttpRequest) -> str:
    """What the address of who is not logged in is counted by: a keyed hash; "" for who is."""
    if request.user.is_authenticated:
        return ""
    return salted_hmac(SALT, address_of(request), algorithm="sha256").hexdigest()


def grant(request: HttpRequest, visitor: str, session: str, seconds: int = SESSION_SECONDS) -> None:
    """Count a new session whose token lasts `seconds`, the next token of a running one, or a call (0 seconds).

    Raises TooMuch for whom a limit is reached; nothing is counted then, nor for visitors who are logged in.
    """
    address = counted_address(request)
    if not address:
        return
    now = timezone.now()
    running = Grant.objects.filter(pk=session).first()
    held = limits()
    for field, value in zip(COUNTED, (visitor, address), strict=True):
        used = Grant.objects.filter(**{field: value})
        if running is None:
            _check_hour(used, held[f"{field}_sessions_per_hour"], now)
        if seconds:
            _check_day(used, held[f"{field}_minutes_per_day"], now)
    until = now + timedelta(seconds=seconds)
    if running is None:
        Grant.objects.filter(until__lt=now - DAY).delete()
        Grant.objects.create(
            session=session, visitor=visitor, address=address, started=now, until=until, seconds=seconds
        )
    else:
        running.seconds += round((until - max(running.until, now)).total_seconds())
        running.until = until
        running.save(update_fields=["seconds", "until"])


def _check_hour(used: QuerySet[Grant], most: int, now: datetime) -> None:
    starts = used.filter(started__gt=now - HOUR).order_by("-started").values_list("started", flat=True)
    if starts.count() >= most:
        _refuse(starts[most - 1] + HOUR - now)


def _check_day(used: QuerySet[Grant], most_minutes: int, now: datetime) -> None:
    day = used.filter(until__gt=now - DAY)
    too_many = (day.aggregate(sum=Sum("seconds"))["sum"] or 0) - 60 * most_minutes
    if too_many < 0:
        return
    for until, seconds in day.order_by("until").values_list("until", "seconds"):
        too_many -= seconds
        if too_many < 0:
            _refuse(until + DAY - now)


def _refuse(wait: timedelta) -> None:
    seconds = max(1, round(wait.total_seconds()))
    minutes = -(-seconds // 60)
    sentence = ngettext(
        "This is as much as one visitor, or one address, may use. Come back in %(minutes)d minute.",
        "This is as much as one visitor, or one address, may use. Come back in %(minutes)d minutes.",
        minutes,
    )
    raise TooMuch(sentence % {"minutes": minutes}, seconds)
