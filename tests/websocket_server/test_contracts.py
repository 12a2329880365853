"""The golden files of the token's, the prediction's and the address's contract, at the relay's side."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from addresses import client_address
from errors import BadToken, PredictionUnavailable
from predictors.raw import CONTENT_TYPE, prediction_of_raw
from tokens import TokenVerifier

CONTRACTS = Path(__file__).resolve().parent.parent / "contracts"
TOKENS: dict[str, Any] = json.loads((CONTRACTS / "token" / "tokens.json").read_text(encoding="utf-8"))
ADDRESS: dict[str, Any] = json.loads((CONTRACTS / "address" / "forwarded.json").read_text(encoding="utf-8"))
RAW: dict[str, Any] = json.loads((CONTRACTS / "prediction" / "raw.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", TOKENS["tokens"], ids=lambda case: str(case["name"]))
def test_tokens(case: dict[str, Any]) -> None:
    verifier = TokenVerifier(TOKENS["verify_key"])
    if not case["relay"]:
        with pytest.raises(BadToken):
            verifier.session(case["token"])
        return
    token = verifier.session(case["token"])
    assert (token.session, token.expires) == (TOKENS["session"], TOKENS["expires"])
    assert token.identities == TOKENS["identities"]
    limits = TOKENS["limits"]
    assert (token.fps, token.pixels, token.seconds) == (limits["fps"], limits["pixels"], limits["minutes"] * 60)


@pytest.mark.parametrize("case", RAW["answers"], ids=lambda case: str(case["name"]))
def test_raw_answers_are_read(case: dict[str, Any]) -> None:
    answer = prediction_of_raw(CONTENT_TYPE, bytes.fromhex(case["body"]))
    assert answer.image == bytes.fromhex(case["picture"])


@pytest.mark.parametrize("case", RAW["malformed"], ids=lambda case: str(case["about"]))
def test_malformed_raw_answers_are_not_shown(case: dict[str, Any]) -> None:
    with pytest.raises(PredictionUnavailable):
        prediction_of_raw(CONTENT_TYPE, bytes.fromhex(case["body"]))


@pytest.mark.parametrize("case", ADDRESS["cases"], ids=str)
def test_addresses(case: dict[str, str]) -> None:
    trusted = [ip_network(network) for network in ADDRESS["trusted"]]
    assert client_address(case["peer"], case["forwarded_for"], trusted) == case["address"]
