"""docs/training.md: its commands are understood, its numbers are the code's."""

from __future__ import annotations

import argparse
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from prediction_model.training.face_folder import FEWEST_FACES
from prediction_model.training.performances import bundled

FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def text() -> str:
    return (Path(__file__).resolve().parents[3] / "docs" / "training.md").read_text(encoding="utf-8")


def test_every_command_is_understood(text: str) -> None:
    lines = [line for block in FENCE.findall(text) for line in block.splitlines() if "prediction_model" in line]
    assert len(lines) >= 6
    for line in lines:
        words = shlex.split(line.partition(" > ")[0])
        assert words[:3] == ["python", "-m", "prediction_model"]
        module = import_module(f"prediction_model.commands.{words[3]}")
        parser = argparse.ArgumentParser(exit_on_error=False)
        module.add_arguments(parser)
        parser.parse_args(words[4:])


def test_its_numbers_are_the_code_s(text: str) -> None:
    from prediction_model.commands.extract import add_arguments
    from prediction_model.training.extract import Selection

    given, _ = bundled()
    indices = {performance.index for performance in given}
    assert f"{len(indices)} performances" in text
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert parser.parse_args(["a", "b"]).smallest == Selection().smallest
    assert f"at least {Selection().smallest:.0f} pixels high" in text
    assert FEWEST_FACES > 1


def test_files_it_names_exist(text: str) -> None:
    root = Path(__file__).resolve().parents[3]
    for name in set(re.findall(r"`(prediction_model/[\w./-]+\.(?:py|zip))`", text)):
        assert (root / name).is_file(), name
