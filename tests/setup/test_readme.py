"""The README says what is true: its settings, commands, files and licences are those of the repository."""

from __future__ import annotations

import dataclasses
import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import run

SERVICES = {"client": "facedetect.configuration", "relay": "settings", "prediction": "prediction_model.settings"}
FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
REQUIREMENT_FILES = ("requirements.txt", "websocket_server/requirements.txt")


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """From the heading `title` to the next heading of the same level."""
    match = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^\1 |\Z)", text, re.MULTILINE | re.DOTALL)
    assert match, f"README has no section {title!r}"
    return match[2]


def commands(text: str) -> Iterator[list[str]]:
    """The words of every command line in the text's shell blocks, without comments."""
    for block in FENCE.findall(text):
        yield from filter(None, (shlex.split(line, comments=True) for line in block.splitlines()))


def check_module(root: Path, module: str, arguments: list[str]) -> None:
    """A module that `python -m` runs exists, and so does its command."""
    if module == "pip":
        return
    assert (root / module / "__main__.py").is_file(), f"{module} cannot be run"
    if arguments and not arguments[0].startswith("-"):
        folder = root / module / ("commands" if module == "prediction_model" else "")
        assert (folder / f"{arguments[0].replace('-', '_')}.py").is_file(), f"{module} has no {arguments[0]}"


def test_commands_name_files_and_options_that_exist(root: Path, readme: str) -> None:
    options_of_run = run.command_line().format_help()
    contributing = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = [*commands(readme), *commands(contributing)]
    assert len(found) >= 12
    for words in found:
        match words:
            case ["python3", "run.py", "test", *_]:
                pass
            case ["python3", "run.py", *options]:
                assert all(option in options_of_run for option in options if option.startswith("-"))
            case ["cd", folder]:
                assert (root / folder).is_dir(), folder
            case [_, "-m", module, *arguments]:
                check_module(root, module, arguments)


def test_links_lead_to_files(root: Path, readme: str) -> None:
    for link in LINK.findall(readme):
        assert link.startswith("https://") or (root / link).exists(), link


def licensed_names(readme: str) -> set[str]:
    """The packages of the licence table, by their normalised names."""
    names = re.findall(r"`([A-Za-z0-9._-]+)`", section(readme, "Licences"))
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def requirements(root: Path) -> set[str]:
    """Every package that is asked for by name, extras included, normalised as PyPI does."""
    lines = [
        line.partition("#")[0].strip()
        for file in REQUIREMENT_FILES
        for line in (root / file).read_text(encoding="utf-8").splitlines()
    ]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines += project["dependencies"] + run.FACE_MODELS
    for extra in project.get("optional-dependencies", {}).values():
        lines += extra
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in lines)
    return {re.sub(r"[-_.]+", "-", name[0]).lower() for name in names if name}


def test_every_requirement_has_a_licence(root: Path, readme: str) -> None:
    assert requirements(root) - licensed_names(readme) == set()


@pytest.mark.parametrize("service", SERVICES)
def test_settings_are_those_of_the_code(readme: str, service: str) -> None:
    table = [line for line in section(section(readme, "Settings"), f"{service}").splitlines() if line.startswith("| `")]
    assert table == setting_rows(SERVICES[service])


def setting_rows(module: str) -> list[str]:
    """One row per field of the module's `Settings`: name in the environment, default, meaning."""
    code = import_module(module)
    return [
        f"| `{code.environment_name(field.name)}` | {shown(field.default)} | {field.metadata['help']} |"
        for field in dataclasses.fields(code.Settings)
    ]


def shown(default: object) -> str:
    if isinstance(default, tuple):
        return ", ".join(f"`{part}`" for part in default)
    return f"`{default}`" if str(default) else ""
