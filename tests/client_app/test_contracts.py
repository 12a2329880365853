"""The golden files of the identity package's and the address's contract, at the client's side."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from access.addresses import client_address
from facedetect.gallery import CARD_FILE, IDENTITY_ID, PORTRAIT_FILE, read_gallery

CONTRACTS = Path(__file__).resolve().parent.parent / "contracts"
CARDS: dict[str, Any] = json.loads((CONTRACTS / "identity" / "cards.json").read_text(encoding="utf-8"))
ADDRESS: dict[str, Any] = json.loads((CONTRACTS / "address" / "forwarded.json").read_text(encoding="utf-8"))


def test_cards_are_read(tmp_path: Path) -> None:
    for number, case in enumerate(CARDS["accepted"]):
        folder = tmp_path / str(number) / "me"
        folder.mkdir(parents=True)
        (folder / CARD_FILE).write_text(json.dumps(case["card"]), encoding="utf-8")
        (folder / PORTRAIT_FILE).write_bytes(bytes.fromhex(CARDS["portrait"]))
        (card,) = read_gallery(folder.parent).values()
        assert (card.id, card.name, card.kind) == ("me", "Mara", case["card"]["kind"])
        assert card.consent_hash == case["card"]["consent_hash"]
        assert list(card.engines) == case["card"]["engines"]


def test_a_sealed_package_is_left_out(tmp_path: Path) -> None:
    """Its portrait is no picture to who lacks the key."""
    (card,) = [case["card"] for case in CARDS["refused"] if case["card"].get("sealed")]
    for folder, sealed in (("sealed", True), ("plain", False)):
        (tmp_path / folder / "me").mkdir(parents=True)
        (tmp_path / folder / "me" / CARD_FILE).write_text(json.dumps({**card, "sealed": sealed}), encoding="utf-8")
        (tmp_path / folder / "me" / PORTRAIT_FILE).write_bytes(bytes.fromhex(CARDS["portrait"]))
    assert read_gallery(tmp_path / "sealed") == {} and "me" in read_gallery(tmp_path / "plain")


def test_ids() -> None:
    assert all(IDENTITY_ID.fullmatch(identity) for identity in CARDS["ids"]["valid"])
    assert not any(IDENTITY_ID.fullmatch(identity) for identity in CARDS["ids"]["invalid"])


@pytest.mark.parametrize("case", ADDRESS["cases"], ids=str)
def test_addresses(case: dict[str, str]) -> None:
    trusted = [ip_network(network) for network in ADDRESS["trusted"]]
    assert client_address(case["peer"], case["forwarded_for"], trusted) == case["address"]
