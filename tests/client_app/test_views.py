"""The client over HTTP: the page and its headers, tokens, pictures, revocations."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import jwt
import numpy as np
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from prediction_model.settings import read_key
from tests.client_app.conftest import ROOT, Client, Visitor

FORM = "application/x-www-form-urlencoded"
GALLERY = {f"p{number}" for number in range(1, 9)}


@pytest.fixture(scope="module")
def visitor(client: Client) -> Visitor:
    return client.visitor()


@pytest.fixture(scope="module")
def photo(wearers: Path) -> bytes:
    """Wearer 1's first frame, JPEG."""
    film = cv2.VideoCapture(str(wearers / "w1.mp4"))
    _, frame = film.read()
    film.release()
    return bytes(cv2.imencode(".jpg", frame)[1])


def claims(client: Client, token: str, audience: str) -> dict[str, Any]:
    key = Ed25519PublicKey.from_public_bytes(read_key("", client.environment["FACESWAP_VERIFY_KEY"]))
    return dict(jwt.decode(token, key, algorithms=["EdDSA"], audience=audience, issuer="faceswap-client"))


def feed(client: Client, after: int, wait: float = 0) -> dict[str, Any]:
    answer = requests.get(f"{client.address}/revocations", {"after": after, "wait": wait}, timeout=30)
    return claims(client, answer.json()["feed"], "faceswap-revocations")


class TestPage:
    @pytest.fixture
    def page(self, visitor: Visitor) -> requests.Response:
        return visitor.http.get(visitor.address, timeout=10)

    def test_the_gallery_is_offered(self, page: requests.Response) -> None:
        assert set(re.findall(r'type="radio" name="identity" value="(\w+)"', page.text)) == GALLERY

    def test_scripts_and_styles_are_files_of_this_server_only(self, page: requests.Response) -> None:
        policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert "unsafe" not in page.headers["Content-Security-Policy"]
        assert policy["connect-src"].split() == ["'self'", "ws://127.0.0.1:8001"]
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page.text)

    def test_only_this_page_may_use_the_camera_and_nobody_may_frame_it(self, page: requests.Response) -> None:
        assert "camera=(self)" in page.headers["Permissions-Policy"]
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["X-Content-Type-Options"] == "nosniff"

    def test_every_file_that_the_page_names_is_served(self, visitor: Visitor, page: requests.Response) -> None:
        names = set(re.findall(r'(?:src|href|data-worker|data-portrait)="(/[^"]+)"', page.text))
        assert any(name.endswith(".js") for name in names)
        for name in names:
            assert visitor.http.get(visitor.address + name, timeout=10).status_code == 200, name

    def test_the_page_speaks_german(self, visitor: Visitor) -> None:
        page = requests.get(visitor.address, headers={"Accept-Language": "de"}, timeout=10)
        assert '<html lang="de">' in page.text
        assert "Wählen Sie ein Gesicht" in page.text


class TestSession:
    def test_a_token_holds_what_the_contract_says(self, client: Client, visitor: Visitor) -> None:
        answer = visitor.post("/session", b"", FORM).json()
        token = claims(client, answer["token"], "faceswap-relay")
        assert claims(client, answer["token"], "faceswap-prediction") == token
        assert token["sub"] == answer["session"] and re.fullmatch("[0-9a-f]{32}", answer["session"])
        assert token["exp"] == answer["expires"] == token["iat"] + 300
        assert token["identities"] == dict.fromkeys(GALLERY, "")
        assert token["limits"] == {"fps": 30, "pixels": 921600, "minutes": 60}
        assert answer["websocket_url"] == "ws://127.0.0.1:8001/websocket"

    def test_a_renewed_token_is_of_the_same_session(self, client: Client, visitor: Visitor) -> None:
        answer = visitor.post("/session", f"renew={visitor.token}".encode(), FORM).json()
        first, second = (claims(client, token, "faceswap-relay") for token in (visitor.token, answer["token"]))
        assert second["sub"] == first["sub"] and second["exp"] >= first["exp"] and second["jti"] != first["jti"]

    def test_a_forged_token_is_not_renewed(self, visitor: Visitor) -> None:
        key = Ed25519PrivateKey.generate()
        fields = {"iss": "faceswap-client", "aud": ["faceswap-relay"], "sub": "0" * 32, "iat": 1, "exp": 2**31}
        forged = jwt.encode(fields, key, algorithm="EdDSA")
        assert visitor.post("/session", f"renew={forged}".encode(), FORM).status_code == 403

    def test_a_foreign_page_gets_no_token(self, client: Client) -> None:
        assert requests.post(f"{client.address}/session", timeout=10).status_code == 403


class TestImage:
    def post(self, visitor: Visitor, picture: bytes | None, identity: str = "p1", **headers: str) -> requests.Response:
        files = {} if picture is None else {"picture": ("me.jpg", picture, "image/jpeg")}
        fields = {"identity": identity}
        return visitor.http.post(f"{visitor.address}/image", fields, files=files, headers=headers, timeout=30)

    def test_a_picture_comes_back_swapped(self, visitor: Visitor, photo: bytes) -> None:
        answer = self.post(visitor, photo)
        assert answer.status_code == 200, answer.text
        assert (answer.headers["Content-Type"], answer.headers["X-Faceswap-Swapped"]) == ("image/jpeg", "true")
        before, after = (cv2.imdecode(np.frombuffer(data, np.uint8), 1) for data in (photo, answer.content))
        assert before is not None and after is not None and before.shape == after.shape
        assert np.abs(before.astype(int) - after)[200:380, 230:410].mean() > 8

    @pytest.mark.parametrize(
        ("picture", "identity", "status"),
        [
            (None, "p1", 400),
            (b"", "p1", 400),
            (b"no picture", "p1", 422),
            (b"x", "p99", 404),
            (bytes(13 << 20), "p1", 413),
        ],
        ids=["none", "empty", "unreadable", "unknown identity", "too large"],
    )
    def test_what_cannot_be_used_is_refused_with_a_sentence(
        self, visitor: Visitor, picture: bytes | None, identity: str, status: int
    ) -> None:
        answer = self.post(visitor, picture, identity)
        assert answer.status_code == status
        assert answer.json()["error"]["message"].endswith(".")

    def test_a_form_without_javascript_is_told_on_a_page(self, visitor: Visitor) -> None:
        answer = self.post(visitor, None, Accept="text/html,*/*")
        assert answer.status_code == 400
        assert '<p role="alert">Expected a picture' in answer.text

    def test_no_upload_touches_the_disk(self, client: Client, visitor: Visitor, photo: bytes) -> None:
        before = sorted(client.folder.rglob("*"))
        self.post(visitor, photo + bytes(5 << 20))
        assert sorted(client.folder.rglob("*")) == before


class TestRevocations:
    def test_a_revoked_identity_reaches_the_feed_at_once_and_leaves_tokens_and_gallery(
        self, client: Client, visitor: Visitor
    ) -> None:
        cursor = feed(client, 0)["cursor"]
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(feed, client, cursor, 20)
            time.sleep(0.5)
            client.manage("revoke", "identity", "p3")
            told = waiting.result()
        assert [(entry["kind"], entry["id"]) for entry in told["entries"]] == [("identity", "p3")]
        assert told["cursor"] == told["entries"][-1]["cursor"] > cursor
        token = visitor.post("/session", b"", FORM).json()["token"]
        assert set(claims(client, token, "faceswap-relay")["identities"]) == GALLERY - {"p3"}
        assert 'value="p3"' not in requests.get(client.address, timeout=10).text

    def test_a_revoked_session_is_not_renewed(self, client: Client) -> None:
        visitor = client.visitor()
        client.manage("revoke", "session", visitor.session)
        assert visitor.post("/session", f"renew={visitor.token}".encode(), FORM).status_code == 403

    def test_a_poll_without_news_is_answered_in_the_end(self, client: Client) -> None:
        cursor = feed(client, 0)["cursor"]
        assert feed(client, cursor, wait=0.5)["entries"] == []

    @pytest.mark.parametrize("query", ["after=x", "wait=x"])
    def test_what_is_no_number_is_refused(self, client: Client, query: str) -> None:
        assert requests.get(f"{client.address}/revocations?{query}", timeout=10).status_code == 400


def test_sessions_and_revocations_are_in_the_audit_log_which_holds(client: Client) -> None:
    client.visitor()
    assert "entries hold" in client.manage("audit", "verify")
    assert not client.manage("audit", "verify").startswith("0 ")


DEBUG_PAGE = """
import os, sys, django
os.environ["DJANGO_SETTINGS_MODULE"] = "facedetect.settings"
django.setup()
from django.test import RequestFactory
from django.views.debug import technical_500_response
try:
    1 / 0
except ZeroDivisionError:
    print(technical_500_response(RequestFactory().get("/"), *sys.exc_info()).content.decode())
"""


def test_the_page_of_an_error_tells_no_key() -> None:
    secrets = {
        "SECRET_KEY": "secret-of-django",
        "FACESWAP_SIGNING_KEY": "secret-of-tokens",
    }
    done = subprocess.run(
        [sys.executable, "-c", DEBUG_PAGE],
        cwd=ROOT / "client_app",
        env={**os.environ, "DEBUG": "1", **secrets},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "FACESWAP" in done.stdout and "websocket_url" in done.stdout  # the page does show the settings
    assert "secret-of" not in done.stdout


def test_health_and_readiness(client: Client) -> None:
    assert requests.get(f"{client.address}/healthz", timeout=10).text == "ok"
    assert requests.get(f"{client.address}/readyz", timeout=10).status_code == 200
