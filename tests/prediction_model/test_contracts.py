"""The golden files of the contracts, at the prediction service's side; the two others read the same files."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import pytest

from prediction_model.errors import BadInstance, BadToken, PackageRefused
from prediction_model.identities.package import CARD, IDENTITY_ID, PORTRAIT, read_package
from prediction_model.prediction import ModelPrediction
from prediction_model.serving.http import join_frame, split_frame
from prediction_model.tokens import TokenVerifier
from tests.prediction_model.conftest import Frames

CONTRACTS = Path(__file__).resolve().parent.parent / "contracts"


def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CONTRACTS / name).read_text(encoding="utf-8"))
    return found


TOKENS, RAW, INSTANCES, CARDS = (
    golden(name)
    for name in ("token/tokens.json", "prediction/raw.json", "prediction/instances.json", "identity/cards.json")
)


@pytest.fixture(scope="module")
def verifier() -> TokenVerifier:
    return TokenVerifier(TOKENS["verify_key"])


@pytest.mark.parametrize("case", TOKENS["tokens"], ids=lambda case: str(case["name"]))
def test_tokens(verifier: TokenVerifier, case: dict[str, Any]) -> None:
    if case["prediction"]:
        session = verifier.session(case["token"])
        assert (session.session, session.expires) == (TOKENS["session"], TOKENS["expires"])
        assert session.identities == TOKENS["identities"]
        assert f"{session.payload:08x}" == TOKENS["watermark_payload"]
    else:
        with pytest.raises(BadToken):
            verifier.session(case["token"])
    if case["operator"]:
        verifier.operator(case["token"])
    else:
        with pytest.raises(BadToken):
            verifier.operator(case["token"])


@pytest.mark.parametrize("case", RAW["requests"], ids=lambda case: str(case["name"]))
def test_raw_requests_are_read(case: dict[str, Any]) -> None:
    assert split_frame(bytes.fromhex(case["body"])) == (case["instance"], bytes.fromhex(case["picture"]))


@pytest.mark.parametrize("case", RAW["answers"], ids=lambda case: str(case["name"]))
def test_raw_answers_are_written(case: dict[str, Any]) -> None:
    assert join_frame(case["answer"], bytes.fromhex(case["picture"])).hex() == case["body"]


@pytest.mark.parametrize("case", RAW["malformed"], ids=lambda case: str(case["about"]))
def test_malformed_raw_requests_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises(BadInstance):
        split_frame(bytes.fromhex(case["body"]))


@pytest.fixture(scope="module")
def picture(frames: Frames) -> str:
    return base64.b64encode(cv2.imencode(".jpg", frames("w1")[10])[1].tobytes()).decode()


def filled(instance: Any, picture: str) -> Any:
    """`instance` with the picture in it."""
    return json.loads(json.dumps(instance).replace("IMAGE", picture))


@pytest.mark.parametrize("case", INSTANCES["accepted"], ids=lambda case: str(case["about"]))
def test_instances_are_answered(model: ModelPrediction, picture: str, case: dict[str, Any]) -> None:
    (answer,) = model.predict([filled(case["instance"], picture)])
    if case["answer"] == "text":
        assert base64.b64decode(answer, validate=True)[:2] == b"\xff\xd8"
        return
    assert set(answer) == set(INSTANCES["answer_fields"]) and answer["swapped"] is True
    assert base64.b64decode(answer["image"]["b64"], validate=True)[:2] == b"\xff\xd8"
    assert all(set(face) == set(INSTANCES["face_fields"]) for face in answer["faces"])
    json.dumps(answer, allow_nan=False)


@pytest.mark.parametrize("case", INSTANCES["refused"], ids=lambda case: str(case["about"]))
def test_bad_instances_are_refused_in_their_place(model: ModelPrediction, picture: str, case: dict[str, Any]) -> None:
    (answer,) = model.predict([filled(case["instance"], picture)])
    assert set(answer) == {"error"} and set(answer["error"]) == {"type", "message", "code"}
    assert (answer["error"]["type"], answer["error"]["code"]) == (case["type"], case["code"])


def package(folder: Path, card: dict[str, Any]) -> Path:
    made = folder / "me"
    made.mkdir()
    (made / CARD).write_text(json.dumps(card), encoding="utf-8")
    (made / PORTRAIT).write_bytes(bytes.fromhex(CARDS["portrait"]))
    return made


@pytest.mark.parametrize("case", CARDS["accepted"], ids=lambda case: str(case["about"]))
def test_packages_are_read(verifier: TokenVerifier, tmp_path: Path, case: dict[str, Any]) -> None:
    read = read_package(package(tmp_path, case["card"]), verifier)
    assert (read.id, read.name, read.kind) == ("me", "Mara", case["card"]["kind"])
    assert read.consent_hash == case["card"]["consent_hash"] and read.engine == case["card"]["engine"]


@pytest.mark.parametrize("case", CARDS["refused"], ids=lambda case: str(case["about"]))
def test_packages_that_do_not_hold_are_refused(verifier: TokenVerifier, tmp_path: Path, case: dict[str, Any]) -> None:
    with pytest.raises(PackageRefused, match=r"The identity package 'me' is refused: .+\."):
        read_package(package(tmp_path, case["card"]), verifier)


def test_ids() -> None:
    assert all(IDENTITY_ID.fullmatch(identity) for identity in CARDS["ids"]["valid"])
    assert not any(IDENTITY_ID.fullmatch(identity) for identity in CARDS["ids"]["invalid"])
