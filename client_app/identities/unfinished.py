"""Packages that the prediction service was asked to make, and may hold though nobody here knows of them.

Their ids are written down before it is asked, and crossed out when the identity is enrolled or nothing was made; and
again when an identity is revoked, until its package is gone. What is left, because nobody waited for the answer, the
service did not answer or this process ended, is deleted there: not at once, for a request that was given up may still
be worked on, but by a timer, and at the latest with the next enrolment.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from datetime import timedelta

from django.db import DatabaseError, connection
from django.utils import timezone

from facedetect.configuration import Settings
from facedetect.errors import Unavailable
from facedetect.operator import Operator, Refusal
from identities.models import Identity, UnfinishedPackage

LOG = logging.getLogger(__name__)

STILL_WORKED_ON = 3.0
"""Times the deadline of a request: by then the service has done, or dropped, what was given up."""


class UnfinishedPackages:
    """The list of them, and what deletes them."""

    def __init__(self, settings: Settings, operator: Operator) -> None:
        self._grace = timedelta(seconds=STILL_WORKED_ON * settings.prediction_seconds)
        self._operator = operator

    def begin(self, identity: str) -> None:
        """The service is about to be asked for the package of `identity`, or to delete it."""
        UnfinishedPackage.objects.get_or_create(id=identity)

    def end(self, identity: str) -> None:
        """It is enrolled, or there is no package any more."""
        UnfinishedPackage.objects.filter(pk=identity).delete()

    def sweep(self) -> None:
        """Delete what has been left; what cannot be deleted now stays on the list."""
        for row in UnfinishedPackage.objects.filter(begun__lt=timezone.now() - self._grace):
            if not Identity.objects.filter(pk=row.pk, revoked=None).exists():
                try:
                    self._operator.call("DELETE", f"/v1/identities/{row.pk}")
                except (Refusal, Unavailable) as error:
                    LOG.warning("the package of %s may be left at the prediction service: %s", row.pk, error)
                    if isinstance(error, Unavailable):
                        return  # each of the others would wait as long for no answer
                    continue
            self.end(row.pk)

    def sweep_later(self) -> None:
        """Sweep when what was just given up is no longer worked on, in a thread of its own."""
        timer = threading.Timer(self._grace.total_seconds() + 1, self._sweep_beside)
        timer.daemon = True
        timer.start()

    def _sweep_beside(self) -> None:
        try:
            with suppress(DatabaseError):  # the next enrolment sweeps
                self.sweep()
        finally:
            connection.close()
