"""Every text of the page has its German."""

from __future__ import annotations

import gettext
import re
from pathlib import Path

import pytest

from access.terms import SENTENCES

CLIENT = Path(__file__).resolve().parents[2] / "client_app"
LOCALE = CLIENT / "locale" / "de" / "LC_MESSAGES"
TEMPLATE_TEXT = re.compile(r"""{%\s*translate\s+(?:"([^"]+)"|'([^']+)')""")
SCRIPT_TEXT = re.compile(r'gettext\(\s*"((?:[^"\\]|\\.)+)"')


def texts(pattern: re.Pattern[str], glob: str) -> set[str]:
    found = (match for path in CLIENT.glob(glob) for match in pattern.finditer(path.read_text(encoding="utf-8")))
    return {next(filter(None, match.groups())).replace('\\"', '"') for match in found}


@pytest.mark.parametrize(
    ("catalogue", "pattern", "glob"),
    [("django", TEMPLATE_TEXT, "*/templates/**/*.html"), ("djangojs", SCRIPT_TEXT, "*/static/**/*.js")],
)
def test_every_text_is_translated(catalogue: str, pattern: re.Pattern[str], glob: str) -> None:
    with (LOCALE / f"{catalogue}.mo").open("rb") as file:
        german = gettext.GNUTranslations(file)
    wanted = texts(pattern, glob) | (set(SENTENCES) if catalogue == "django" else set())
    assert wanted
    known = set(german._catalog)  # type: ignore[attr-defined]  # how gettext keeps them
    assert sorted(wanted - known) == []
