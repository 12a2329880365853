"""`python manage.py audit verify`: whether anybody edited the audit log."""

from __future__ import annotations

import argparse
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.chain import BrokenChain, Head, verify
from facedetect.errors import Unavailable
from facedetect.signing import read_private_key


def head(text: str) -> Head:
    number, _, digest = text.partition(":")
    if not number.isdecimal() or len(digest) != 64:
        raise argparse.ArgumentTypeError("expected NUMBER:HASH, as an earlier `audit verify` printed it")
    return Head(int(number), digest)


class Command(BaseCommand):
    help = "Check the audit log: prints its head, or fails with the first entry that does not hold."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["verify"])
        parser.add_argument("--head", type=head, help="NUMBER:HASH of an earlier check, which must still be in the log")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            key = read_private_key(settings.FACESWAP.signing_key).public_key()
            found = verify(key, options["head"])
        except (BrokenChain, Unavailable) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{found.number} entries hold. Head: {found}")
