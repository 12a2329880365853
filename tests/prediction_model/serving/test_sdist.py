"""The custom prediction routine as a stranger has it: the tarball of `setup.py sdist` and an exported model folder."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.prediction_model.serving.conftest import Environment

pytestmark = pytest.mark.slow

PREDICT = """
import base64, json, sys
import prediction_model
from prediction_model.prediction import ModelPrediction
picture = base64.b64encode(open(sys.argv[2], "rb").read()).decode()
model = ModelPrediction.from_path(sys.argv[1])
good = {"image": {"b64": picture}, "options": {"identity": "p8", "engine": "photo"}}
unknown = {"image": {"b64": picture}, "options": {"identity": "p2"}}
answers = model.predict([good, unknown, picture])
print(json.dumps({"from": prediction_model.__file__, "answers": answers}))
"""
WITHOUT_NETWORK = "import socket; socket.socket.connect = socket.getaddrinfo = None\n"


def predict(environment: Environment, model: str, picture: Path, folder: Path) -> dict[str, object]:
    """Run `PREDICT` in the environment, away from the sources and from the network."""
    code = shlex.quote(WITHOUT_NETWORK + PREDICT)
    printed = environment.run(f"python -c {code} {shlex.quote(model)} {shlex.quote(str(picture))}", folder)
    answer: dict[str, object] = json.loads(printed.splitlines()[-1])
    return answer


def test_an_exported_folder_predicts_with_the_installed_tarball(
    vertex_environment: Environment, exported: Path, face: bytes, tmp_path: Path
) -> None:
    picture = tmp_path / "face.jpg"
    picture.write_bytes(face)
    told = predict(vertex_environment, str(exported), picture, tmp_path)
    assert str(told["from"]).startswith(str(vertex_environment.folder)), "not from the sources"
    answers = told["answers"]
    assert isinstance(answers, list)
    assert answers[0]["swapped"] is True
    assert answers[1]["error"]["type"] == "unknown_identity", "p2 was not exported"
    assert isinstance(answers[2], str), "a bare base64 text gets one"


def test_what_is_exported_is_what_is_listed(exported: Path) -> None:
    assert sorted(folder.name for folder in exported.iterdir()) == ["p1", "p8"]
    for folder in exported.iterdir():
        card = json.loads((folder / "identity.json").read_text(encoding="utf-8"))
        assert {path.name for path in folder.iterdir()} == {"identity.json", *card["files"]}


def test_the_package_predicts_without_a_folder_of_ones_own(
    vertex_environment: Environment, face: bytes, tmp_path: Path
) -> None:
    picture = tmp_path / "face.jpg"
    picture.write_bytes(face)
    where = "import prediction_model.settings as s; print(s.current().gallery_folder)"
    gallery = vertex_environment.run(f"python -c {shlex.quote(where)}", tmp_path).strip()
    answers = predict(vertex_environment, gallery, picture, tmp_path)["answers"]
    assert isinstance(answers, list)
    assert [answer["swapped"] for answer in answers[:2]] == [True, True]
