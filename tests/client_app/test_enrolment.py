"""Enrolling a face with consent and a live check, using it, deleting it, before the real prediction service."""

from __future__ import annotations

import re
import socket
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import jwt
import pytest
import requests

from tests.client_app.conftest import Client, Visitor, beside_prediction, served

FORM = "application/x-www-form-urlencoded"
JFIF = b"\xff\xd8\xff\xe0\x00\x10JFIF"
"""How every JPEG of the prediction service begins, whose packages lie in the same folder."""
MOST_FRAMES = 40
"""Far more than four challenges need."""
MOST_CHECKED = 600
"""Frames of one live check, as docs/safety.md says."""
MOST_IDENTITIES = 8
"""Of one visitor."""
AT_ONCE = 14


@pytest.fixture(scope="module")
def frames(root: Path) -> dict[str, bytes]:
    """Camera frames: `front`, `left`, `right`, `shut` of persona 7; `other-left` of another."""
    return {path.stem: path.read_bytes() for path in (root / "tests" / "data" / "enrolment").glob("*.jpg")}


@pytest.fixture(scope="module")
def picture(root: Path) -> bytes:
    """Persona 7's portrait, for somebody's picture of themselves."""
    return (root / "prediction_model" / "identities" / "gallery" / "p7" / "portrait.jpg").read_bytes()


@pytest.fixture(scope="module")
def wearer(wearers: Path) -> bytes:
    """Somebody at their webcam."""
    film = cv2.VideoCapture(str(wearers / "w1.mp4"))
    _, frame = film.read()
    film.release()
    return bytes(cv2.imencode(".jpg", frame)[1])


def enrol(visitor: Visitor, picture: bytes, **fields: str) -> requests.Response:
    return visitor.http.post(
        f"{visitor.address}/enrolments",
        {"kind": "self", "name": "Me", "agreed": "yes", **fields},
        files={"picture": ("me.jpg", picture, "image/jpeg")},
        timeout=90,
    )


def show(visitor: Visitor, enrolment: str, frame: bytes) -> dict[str, Any]:
    answer = visitor.post(f"/enrolments/{enrolment}/frames", frame, "image/jpeg")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def live_check(visitor: Visitor, started: dict[str, Any], frames: dict[str, bytes]) -> str:
    """Do what is asked for, resting in between; the identity's id."""
    poses = {"left": "left", "right": "right", "blink": "shut"}
    step = started
    for _ in range(MOST_FRAMES // 2):
        show(visitor, started["enrolment"], frames["front"])
        step = show(visitor, started["enrolment"], frames[poses[step["next"]]])
        if step["identity"]:
            return str(step["identity"])
    raise AssertionError(f"the live check did not end: {step}")


def identities(visitor: Visitor) -> dict[str, str]:
    """The token's claim, unverified."""
    token = visitor.post("/session", b"", FORM).json()["token"]
    return dict(jwt.decode(token, options={"verify_signature": False})["identities"])


def stored(client: Client, table: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(client.folder / "db.sqlite3") as database:
        rows = database.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - the tests' own words
    database.close()
    return rows


def package(client: Client, identity: str) -> Path:
    return Path(client.environment["FACESWAP_IDENTITY_STORE"]) / identity


class TestSelf:
    def test_from_picture_to_swap_to_nothing(
        self, client: Client, picture: bytes, wearer: bytes, frames: dict[str, bytes]
    ) -> None:
        visitor = client.visitor()
        started = enrol(visitor, picture)
        assert started.status_code == 201, started.text
        assert started.json()["challenges"] == 4
        identity = live_check(visitor, started.json(), frames)

        assert stored(client, "identities_enrolment") == [], "the descriptor goes with the enrolment"
        held = identities(visitor)
        assert held[identity] and identity not in identities(client.visitor()), "one's face is one's own"
        assert (package(client, identity) / "identity.json").is_file()
        portrait = f"{client.address}/gallery/{identity}/portrait.jpg"
        assert visitor.http.get(portrait, timeout=10).content == picture
        assert requests.get(portrait, timeout=10).status_code == 404
        for path in filter(Path.is_file, client.folder.rglob("*")):
            kept = path.read_bytes()
            assert picture[200:300] not in kept and JFIF not in kept, f"{path}: pictures are encrypted at rest"

        swapped = visitor.http.post(
            f"{client.address}/image",
            {"identity": identity},
            files={"picture": ("w.jpg", wearer, "image/jpeg")},
            timeout=30,
        )
        assert (swapped.status_code, swapped.headers.get("X-Faceswap-Swapped")) == (200, "true")

        revoked = visitor.post(f"/identities/{identity}/revoke", b"", FORM)
        assert revoked.status_code == 200, revoked.text
        assert identity not in identities(visitor)
        assert not package(client, identity).exists()
        assert visitor.http.get(portrait, timeout=10).status_code == 404
        rows = [row for row in stored(client, "identities_identity") if row[0] == identity]
        assert b"" in rows[0], "no portrait is left"
        assert "entries hold" in client.manage("audit", "verify")
        events = [row[2] for row in stored(client, "audit_auditentry") if identity in row]
        assert events == ["identity_enrolled", "picture_swapped", "identity_revoked"]

    def test_somebody_else_before_the_camera_starts_the_check_anew(
        self, client: Client, picture: bytes, frames: dict[str, bytes]
    ) -> None:
        visitor = client.visitor()
        started = enrol(visitor, picture).json()
        poses = {"left": "left", "right": "right", "blink": "shut"}
        show(visitor, started["enrolment"], frames["front"])
        assert show(visitor, started["enrolment"], frames[poses[started["next"]]])["done"] == 1
        step = show(visitor, started["enrolment"], frames["other-left"])
        assert (step["same"], step["done"]) == (False, 0)

    def test_a_still_photograph_never_passes(self, client: Client, picture: bytes) -> None:
        visitor = client.visitor()
        started = enrol(visitor, picture).json()
        for _ in range(6):
            step = show(visitor, started["enrolment"], picture)
        assert (step["done"], step["identity"]) == (0, None)

    def test_a_visitor_keeps_one_unfinished_enrolment(self, client: Client, picture: bytes) -> None:
        visitor = client.visitor()
        before = len(stored(client, "identities_enrolment"))
        first = enrol(visitor, picture).json()
        enrol(visitor, picture).raise_for_status()
        assert len(stored(client, "identities_enrolment")) == before + 1
        answer = visitor.post(f"/enrolments/{first['enrolment']}/frames", picture, "image/jpeg")
        assert answer.status_code == 404

    def test_another_visitor_cannot_do_the_check(
        self, client: Client, picture: bytes, frames: dict[str, bytes]
    ) -> None:
        started = enrol(client.visitor(), picture).json()
        answer = client.visitor().post(f"/enrolments/{started['enrolment']}/frames", frames["front"], "image/jpeg")
        assert answer.status_code == 404

    def test_another_visitor_cannot_delete(self, client: Client, picture: bytes, frames: dict[str, bytes]) -> None:
        visitor = client.visitor()
        identity = live_check(visitor, enrol(visitor, picture).json(), frames)
        assert client.visitor().post(f"/identities/{identity}/revoke", b"", FORM).status_code == 404
        assert identity in identities(visitor)

    @pytest.mark.parametrize(("frame", "said"), [("left", "looks aside"), ("shut", "eyes are shut")])
    def test_a_poor_picture_is_refused_with_what_to_do(
        self, client: Client, frames: dict[str, bytes], frame: str, said: str
    ) -> None:
        answer = enrol(client.visitor(), frames[frame])
        assert answer.status_code == 422
        assert said in answer.json()["error"]["message"]

    def test_without_consent_nothing_is_looked_at(self, client: Client, picture: bytes) -> None:
        assert enrol(client.visitor(), picture, agreed="").status_code == 403


class TestRelease:
    FIELDS = {"kind": "release", "subject": "Jonas Example", "document": sha256(b"the signed release").hexdigest()}  # noqa: RUF012

    def test_a_release_makes_an_identity_at_once_until_its_end(self, client: Client, picture: bytes) -> None:
        visitor = client.visitor()
        ends = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
        answer = enrol(visitor, picture, **self.FIELDS, expires=ends)
        assert answer.status_code == 201, answer.text
        assert identities(visitor)[answer.json()["identity"]]

    def test_a_face_whose_consent_has_ended_is_deleted(self, client: Client, picture: bytes) -> None:
        ends = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
        ended, lasting = (
            str(enrol(client.visitor(), picture, **self.FIELDS, expires=ends).json()["identity"]) for _ in range(2)
        )
        with closing(sqlite3.connect(client.folder / "db.sqlite3", timeout=10)) as database, database:
            database.execute(
                "UPDATE identities_consent SET expires = '2020-01-01 00:00:00' "
                "WHERE id = (SELECT consent_id FROM identities_identity WHERE id = ?)",
                (ended,),
            )
        assert "Revoked 1 whose consent had ended" in client.manage("revoke_expired")
        assert not package(client, ended).exists() and package(client, lasting).exists()
        (row,) = [row for row in stored(client, "identities_identity") if row[0] == ended]
        assert picture not in [bytes(field) for field in row if isinstance(field, bytes)]
        assert ended in [row[2] for row in stored(client, "identities_revocation")]
        assert stored(client, "identities_unfinishedpackage") == []
        assert "Revoked 0" in client.manage("revoke_expired")

    def test_faces_whose_consents_have_ended_do_not_wait_for_a_service_that_is_down(self, tmp_path: Path) -> None:
        asked: list[socket.socket] = []

        def answer_nothing() -> None:
            with suppress(OSError):
                while True:
                    asked.append(service.accept()[0])
                    asked[-1].close()

        with socket.create_server(("127.0.0.1", 0)) as service, served(tmp_path) as client:
            Thread(target=answer_nothing, daemon=True).start()
            with closing(sqlite3.connect(client.folder / "db.sqlite3", timeout=10)) as database, database:
                for number in range(3):
                    consent = (number, "Jo", "d", "t", "h", "2020-01-01 00:00:00", "2020-01-01 00:00:00")
                    database.execute("INSERT INTO identities_consent VALUES (?, ?, ?, ?, ?, ?, ?)", consent)
                    row: dict[str, Any] = {
                        "id": f"u-{number}",
                        "owner": "o",
                        "name": "Jo",
                        "kind": "release",
                        "engines": "photo",
                    }
                    row |= {"consent_id": number, "portrait": b"x", "address": "", "created": "2020-01-01 00:00:00"}
                    names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
                    database.execute(f"INSERT INTO identities_identity ({names}) VALUES ({values})", row)  # noqa: S608
            address = f"http://127.0.0.1:{service.getsockname()[1]}"
            assert "Revoked 3" in client.manage("revoke_expired", FACESWAP_PREDICTION_URL=address)
            assert len(asked) == 1, "the others would wait as long"
            assert [row[2] for row in stored(client, "identities_revocation")] == ["u-0", "u-1", "u-2"]
            assert len(stored(client, "identities_unfinishedpackage")) == 3, "and are deleted later"

    def test_what_a_service_that_was_down_still_holds_is_deleted_later(self, client: Client, picture: bytes) -> None:
        ends = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
        identity = str(enrol(client.visitor(), picture, **self.FIELDS, expires=ends).json()["identity"])
        with pytest.raises(subprocess.CalledProcessError):
            client.manage("revoke", "identity", identity, FACESWAP_PREDICTION_URL="http://127.0.0.1:9")
        assert package(client, identity).exists()
        with closing(sqlite3.connect(client.folder / "db.sqlite3", timeout=10)) as database, database:
            (changed,) = database.execute("SELECT count(*) FROM identities_unfinishedpackage").fetchone()
            database.execute("UPDATE identities_unfinishedpackage SET begun = '2020-01-01 00:00:00'")
        assert changed == 1
        assert enrol(client.visitor(), picture, **self.FIELDS, expires=ends).status_code == 201
        assert not package(client, identity).exists() and stored(client, "identities_unfinishedpackage") == []

    @pytest.mark.parametrize(
        "wrong", [{"subject": ""}, {"document": "x"}, {"expires": "yesterday"}, {"expires": "2020-01-01"}], ids=str
    )
    def test_a_release_that_lacks_something_is_refused(
        self, client: Client, picture: bytes, wrong: dict[str, str]
    ) -> None:
        ends = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
        answer = enrol(client.visitor(), picture, **{**self.FIELDS, "expires": ends, **wrong})
        assert answer.status_code == 400


class TestBounds:
    def test_who_drops_the_cookie_is_still_counted_by_the_address(
        self, picture: bytes, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        ends = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
        folder = tmp_path_factory.mktemp("address")
        with beside_prediction(folder, FACESWAP_ADDRESS_IDENTITIES="2", FACESWAP_TRUSTED_PROXIES="127.0.0.1") as client:

            def newcomer(address: str = "198.51.100.7") -> Visitor:
                return Visitor(client.address, {"X-Forwarded-For": address}).start()

            def refused(answer: requests.Response) -> bool:
                return (answer.status_code, answer.json().get("error", {}).get("type")) == (409, "too_many_identities")

            first = newcomer()
            made = enrol(first, picture, **TestRelease.FIELDS, expires=ends)
            started = newcomer()
            assert (made.status_code, enrol(started, picture).status_code) == (201, 201)
            answer = enrol(newcomer(), picture)
            assert refused(answer) and "one address may have" in answer.json()["error"]["message"]
            assert refused(enrol(newcomer(), picture, **TestRelease.FIELDS, expires=ends))
            assert enrol(started, picture).status_code == 201, "begun anew, it is still the second"
            assert enrol(newcomer("203.0.113.9"), picture).status_code == 201, "another address"
            identity = str(made.json()["identity"])
            first.post(f"/identities/{identity}/revoke", b"", FORM).raise_for_status()
            assert enrol(newcomer(), picture).status_code == 201, "one was deleted"
            with closing(sqlite3.connect(client.folder / "db.sqlite3", timeout=10)) as database:
                (kept,) = database.execute("SELECT address FROM identities_identity WHERE id = ?", (identity,))
                begun = database.execute("SELECT DISTINCT address FROM identities_enrolment").fetchall()
            assert kept == ("",), "nothing of it is kept with what was deleted"
            assert all(re.fullmatch("[0-9a-f]{64}", address) for (address,) in begun), "addresses are not kept"

    def test_who_sends_many_at_once_has_no_more_faces(
        self, picture: bytes, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        ends = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
        with beside_prediction(tmp_path_factory.mktemp("at-once")) as client:
            visitor = client.visitor()

            def release(_: int) -> int:
                also = Visitor(client.address)
                also.http.cookies.update(visitor.http.cookies)
                also.http.headers["X-CSRFToken"] = visitor.http.headers["X-CSRFToken"]
                return enrol(also, picture, **TestRelease.FIELDS, expires=ends).status_code

            with ThreadPoolExecutor(AT_ONCE) as threads:
                told = sorted(threads.map(release, range(AT_ONCE)))
            assert told == [201] * MOST_IDENTITIES + [409] * (AT_ONCE - MOST_IDENTITIES)
            assert len(stored(client, "identities_identity")) == MOST_IDENTITIES
            assert len(list(Path(client.environment["FACESWAP_IDENTITY_STORE"]).glob("u-*"))) == MOST_IDENTITIES
            assert stored(client, "identities_unfinishedpackage") == []
            assert "entries hold" in client.manage("audit", "verify")

    def test_a_live_check_ends_with_its_frames(self, picture: bytes, tmp_path: Path) -> None:
        with served(tmp_path) as client:  # no prediction service: a frame that is looked at gets 503
            visitor = client.visitor()
            with closing(sqlite3.connect(client.folder / "db.sqlite3", timeout=10)) as database, database:
                (owner,) = database.execute("SELECT visitor FROM access_termsacceptance").fetchone()
                for id_, frames in (("last", MOST_CHECKED - 1), ("over", MOST_CHECKED)):
                    row = {
                        "id": id_,
                        "owner": owner,
                        "name": "Me",
                        "challenges": "left",
                        "frames": frames,
                        "address": "",
                    }
                    row |= {"picture": b"", "descriptor": b"", "done": 0, "rested": 0}
                    row |= {"created": datetime.now(UTC).replace(tzinfo=None).isoformat(" ")}
                    names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
                    database.execute(f"INSERT INTO identities_enrolment ({names}) VALUES ({values})", row)  # noqa: S608
            told = [visitor.post(f"/enrolments/{id_}/frames", picture, "image/jpeg") for id_ in ("over", "last")]
            assert [answer.status_code for answer in told] == [404, 503]
            assert [row[0] for row in stored(client, "identities_enrolment")] == ["last"], "it is deleted"


class TestRemoval:
    def test_a_request_gets_its_clock(self, client: Client) -> None:
        visitor = client.visitor()
        fields = {"contact": "somebody@example.org", "what": "My face, in a film of 3 May."}
        answer = visitor.http.post(f"{client.address}/removal", fields, timeout=10)
        assert answer.status_code == 201
        (row,) = stored(client, "identities_removalrequest")
        received, due = (datetime.fromisoformat(str(value)) for value in row[3:5])
        assert timedelta(hours=47, minutes=59) < due - received <= timedelta(hours=48, seconds=1)

    @pytest.mark.parametrize(
        "fields", [{"contact": "x", "what": "y"}, {"contact": "a@example.org", "what": ""}], ids=str
    )
    def test_a_request_without_address_or_words_is_refused(self, client: Client, fields: dict[str, str]) -> None:
        assert client.visitor().http.post(f"{client.address}/removal", fields, timeout=10).status_code == 400
