"""A session's token opens what it names, until it expires, and nothing else does."""

from __future__ import annotations

import time

import pytest

from prediction_model.errors import BadToken
from prediction_model.tokens import TokenVerifier
from tests.prediction_model.keys import SESSION, Signer


@pytest.fixture
def signer() -> Signer:
    return Signer()


def test_a_good_token_tells_its_session(signer: Signer) -> None:
    session = TokenVerifier(signer.verify_key).session(signer.session({"p1": ""}))
    assert session.session == SESSION
    assert session.payload == 0x01234567
    assert session.identities == {"p1": ""}


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(time.time()) - 5},
        {"aud": "faceswap-relay"},
        {"iss": "somebody"},
        {"sub": "short"},
        {"identities": ["p1"]},
        {"identities": {"p1": 1}},
        {"exp": None},
        {"aud": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_token_with_a_wrong_claim_does_not_hold(signer: Signer, changes: dict[str, object]) -> None:
    with pytest.raises(BadToken):
        TokenVerifier(signer.verify_key).session(signer.session({"p1": ""}, **changes))


def test_another_signer_s_token_does_not_hold(signer: Signer) -> None:
    with pytest.raises(BadToken):
        TokenVerifier(signer.verify_key).session(Signer().session({"p1": ""}))


@pytest.mark.parametrize("token", ["", "a.b.c", "x" * 20_000, 7, {}, None])
def test_what_is_no_token_is_a_typed_error(signer: Signer, token: object) -> None:
    with pytest.raises(BadToken):
        TokenVerifier(signer.verify_key).session(token)


def test_an_unsigned_token_does_not_hold(signer: Signer) -> None:
    import jwt

    claims = jwt.decode(signer.session({"p1": ""}), options={"verify_signature": False})
    with pytest.raises(BadToken):
        TokenVerifier(signer.verify_key).session(jwt.encode(claims, "", "none"))


def test_a_remembered_token_still_expires(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    verifier, token = TokenVerifier(signer.verify_key), signer.session({"p1": ""})
    verifier.session(token)
    later = time.time() + 301
    monkeypatch.setattr("prediction_model.tokens.time.time", lambda: later)
    with pytest.raises(BadToken, match="expired"):
        verifier.session(token)


def test_without_a_key_nothing_holds(signer: Signer) -> None:
    with pytest.raises(BadToken, match="FACESWAP_VERIFY_KEY"):
        TokenVerifier("").session(signer.session({"p1": ""}))


def test_a_session_is_no_operator(signer: Signer) -> None:
    verifier = TokenVerifier(signer.verify_key)
    verifier.operator(signer.session({}, scope="operator"))
    with pytest.raises(BadToken, match="operator"):
        verifier.operator(signer.session({}))
