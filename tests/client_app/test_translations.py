"""Every text of the page has its German."""

from __future__ import annotations

import ast
import gettext
import re
from pathlib import Path

import pytest

import facedetect.errors
from access.terms import SENTENCES

CLIENT = Path(__file__).resolve().parents[2] / "client_app"
LOCALE = CLIENT / "locale" / "de" / "LC_MESSAGES"
TEMPLATE_TEXT = re.compile(r"""{%\s*translate\s+(?:"([^"]+)"|'([^']+)')""")
TEMPLATE_BLOCK = re.compile(r"{%\s*blocktranslate trimmed[^%]*%}(.+?){%\s*endblocktranslate\s*%}", re.DOTALL)
TEMPLATE_VALUE = re.compile(r"{{\s*(\w+)\s*}}")
SCRIPT_TEXT = re.compile(r'gettext\(\s*"((?:[^"\\]|\\.)+)"')


def texts(pattern: re.Pattern[str], glob: str) -> set[str]:
    found = (match for path in CLIENT.glob(glob) for match in pattern.finditer(path.read_text(encoding="utf-8")))
    return {next(filter(None, match.groups())).replace('\\"', '"') for match in found}


def blocks() -> set[str]:
    """Longer texts of the templates, as Django joins their lines."""
    found = {
        match for path in CLIENT.glob("*/templates/**/*.html") for match in TEMPLATE_BLOCK.findall(path.read_text())
    }
    return {
        TEMPLATE_VALUE.sub(r"%(\1)s", " ".join(line.strip() for line in text.strip().splitlines())) for text in found
    }


def sentences() -> set[str]:
    """What the client's Python says through `_`, or a longer name of it."""
    calls = (
        node
        for path in CLIENT.glob("*/*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    )
    names = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext"}
    first = (call.args[0] for call in calls if call.func.id in names and call.args)  # type: ignore[attr-defined]
    return {text.value for text in first if isinstance(text, ast.Constant) and isinstance(text.value, str)}


def german(catalogue: str) -> set[str]:
    """Every text that has its German; of plurals, the singular."""
    with (LOCALE / f"{catalogue}.mo").open("rb") as file:
        known = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]  # how gettext keeps them
    return {text[0] if isinstance(text, tuple) else text for text in known}


@pytest.mark.parametrize(
    ("catalogue", "pattern", "glob"),
    [("django", TEMPLATE_TEXT, "*/templates/**/*.html"), ("djangojs", SCRIPT_TEXT, "*/static/**/*.js")],
)
def test_every_text_is_translated(catalogue: str, pattern: re.Pattern[str], glob: str) -> None:
    wanted = texts(pattern, glob) | (blocks() | set(SENTENCES) if catalogue == "django" else set())
    assert wanted
    assert sorted(wanted - german(catalogue)) == []


def test_every_sentence_of_the_server_is_translated() -> None:
    assert len(sentences()) > 50
    assert sorted(sentences() - german("django")) == []


def test_no_error_is_told_in_english_alone() -> None:
    """Every sentence that becomes an error goes through `_`, or is a name that did."""
    errors = {name for name, each in vars(facedetect.errors).items() if isinstance(each, type)}
    bare = [
        f"{path.relative_to(CLIENT)}:{call.lineno}"
        for path in CLIENT.glob("*/*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in errors and call.args
        if isinstance(call.args[0], ast.Constant | ast.JoinedStr)
    ]
    assert errors and bare == []
