"""The gallery: identity packages (`docs/architecture.md`), as cards for the page."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

CARD_FILE = "identity.json"
PORTRAIT_FILE = "portrait.jpg"
FORMAT = 1
KINDS = ("synthetic", "self", "release")
IDENTITY_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True)
class Card:
    """What the page shows of an identity."""

    id: str
    name: str
    kind: str
    """`synthetic`, `self` or `release`."""
    engines: tuple[str, ...]
    consent_hash: str
    """"" for a synthetic one."""
    provenance: str
    portrait: Path | None
    """None for an enrolled one, whose picture the database holds."""


def read_gallery(folder: Path) -> dict[str, Card]:
    """The cards of every package under `folder` that can be read, by id, `p2` before `p10`.

    The prediction service checks hashes and consents itself, and refuses what does not hold; here a package that
    cannot be shown is left out and logged.
    """
    cards = {}
    for path in sorted(folder.glob(f"*/{CARD_FILE}"), key=lambda path: (len(path.parent.name), path.parent.name)):
        try:
            card = _read_card(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("left out of the gallery: %s (%s: %s)", path.parent.name, type(error).__name__, error)
            continue
        cards[card.id] = card
    return cards


def _read_card(path: Path) -> Card:
    fields = json.loads(path.read_text(encoding="utf-8"))
    if fields["format"] != FORMAT:
        raise ValueError(f"expected format {FORMAT}, received {fields['format']}")
    if fields["id"] != path.parent.name or not IDENTITY_ID.fullmatch(fields["id"]):
        raise ValueError(f"expected its folder's name as id, received {fields['id']!r}")
    if fields["kind"] not in KINDS or (fields["kind"] != "synthetic" and not fields["consent_hash"]):
        raise ValueError(f"expected a kind with its consent, received {fields['kind']!r}")
    if fields.get("sealed"):
        raise ValueError("expected plain files, received sealed ones: only the prediction service can open them")
    portrait = path.with_name(PORTRAIT_FILE)
    if not portrait.is_file():
        raise ValueError(f"expected {PORTRAIT_FILE} beside it")
    return Card(
        id=fields["id"],
        name=str(fields["name"]),
        kind=fields["kind"],
        engines=tuple(fields.get("engines") or [fields["engine"]]),
        consent_hash=fields.get("consent_hash") or "",
        provenance=str(fields.get("provenance") or ""),
        portrait=portrait,
    )
