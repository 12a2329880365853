"""The Django app."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import Any

from django.apps import AppConfig
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created


class FacedetectConfig(AppConfig):
    """The project's own."""

    name = "facedetect"

    def ready(self) -> None:
        connection_created.connect(keep_private)


def keep_private(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """A sqlite file is for the service's account alone, whoever made it: SQLite makes it readable for everybody, and
    its journals like it."""
    if connection.vendor != "sqlite":
        return
    file = str(connection.settings_dict["NAME"])
    with suppress(OSError):  # in memory; or another account's, which answers for it
        mode = os.stat(file).st_mode
        if stat.S_ISREG(mode) and mode & 0o077:
            os.chmod(file, 0o600)
