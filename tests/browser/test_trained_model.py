"""A model is trained while its face is worn: the running session wears it at once, and the log says which it was."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Page, expect

from prediction_model.identities.package import sha256
from prediction_model.identities.sealing import StoreKey
from prediction_model.identities.store import IdentityStore
from prediction_model.settings import load
from prediction_model.studio.enrolment import Enrolment
from prediction_model.tokens import TokenVerifier
from tests.browser.acts import start, state, unmirror, wait_for_new_frames
from tests.browser.canvas import FACE, WATCH, difference, look
from tests.browser.prediction import swap
from tests.browser.services import Services
from tests.browser.test_training import enrol

PERSONA = "p7"
ENGINES = ["autoencoder", "photo"]
TRAINED = ("decoder.tflite", "maps.npz")


def database(services: Services) -> sqlite3.Connection:
    return sqlite3.connect(services.client.environment["DATABASE_URL"].removeprefix("sqlite:///"), timeout=10)


def begin_training(services: Services, identity: str) -> Callable[[str], None]:
    """A training as the service keeps one that runs. The answer ends it: `better`, with a model of that SHA-256."""
    training = secrets.token_hex(8)
    path = Path(services.prediction.environment["FACESWAP_TRAININGS"]) / training / "training.json"
    path.parent.mkdir(parents=True)
    state = {"training": training, "identity": identity, "state": "running", "step": 7}
    path.write_text(json.dumps(state))
    # Held for as long as these tests run: somebody watches over it.
    fcntl.flock(os.open(path.parent, os.O_RDONLY), fcntl.LOCK_EX)
    with closing(database(services)) as rows, rows:
        rows.execute(
            "INSERT INTO identities_training (identity_id, owner, training, outcome, reason, model, started) "
            "SELECT id, owner, ?, '', '', '', ? FROM identities_identity WHERE id = ?",
            (training, datetime.now(UTC).replace(tzinfo=None).isoformat(" "), identity),
        )

    def end(model: str) -> None:
        ended = {**state, "state": "done", "progress": 1.0, "better": True, "engines": ENGINES, "model": model}
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(ended))
        partial.replace(path)

    return end


def improve(services: Services, gallery: Path, identity: str, folder: Path) -> str:
    """Put the persona's model into the enrolled package, as a training does at its end: the model's SHA-256."""
    environment = services.prediction.environment
    tokens, key = TokenVerifier(environment["FACESWAP_VERIFY_KEY"]), StoreKey.of(load(environment))
    place = environment["FACESWAP_IDENTITY_STORE"]
    for name in TRAINED:
        shutil.copyfile(gallery / PERSONA / name, folder / name)
    Enrolment(place, gallery, IdentityStore([gallery, place], tokens, key=key), tokens, key).improve(
        identity, folder, {"engine": ENGINES[0], "engines": ENGINES}
    )
    return sha256(folder / TRAINED[0])


def test_a_running_session_wears_a_better_model_at_once(
    page: Page, services: Services, root: Path, tmp_path: Path
) -> None:
    gallery = root / "prediction_model" / "identities" / "gallery"
    enrol(page, root)
    identity = str(page.locator("input[name=identity][data-kind=release]").get_attribute("value"))
    end = begin_training(services, identity)
    page.add_init_script(WATCH)
    page.add_init_script("""addEventListener("DOMContentLoaded", () => {
        window.states = [];
        new MutationObserver(() => window.states.push(document.body.dataset.state))
            .observe(document.body, { attributes: true, attributeFilter: ["data-state"] });
    });""")
    sessions: list[str] = []
    page.on("request", lambda request: sessions.append(request.url) if request.url.endswith("/session") else None)
    page.reload()
    unmirror(page)
    page.locator(f"input[name=identity][value={identity}]").check()
    start(page)

    def worn() -> str:
        wait_for_new_frames(page, 6)
        shown = look(page)
        apart = {
            engine: difference(shown.picture, swap(services, shown.camera, identity=PERSONA, engine=engine), FACE)
            for engine in ENGINES
        }
        return min(apart, key=lambda engine: apart[engine])

    assert worn() == "photo"
    page.locator("#options summary").click()
    expect(page.locator("#engine-field")).to_be_hidden()
    page.evaluate("window.states = []")

    model = improve(services, gallery, identity, tmp_path)
    assert worn() == "autoencoder", "before anybody has told the page"
    end(model)
    expect(page.locator("#toast")).to_contain_text("Jonas now wears a trained model")
    expect(page.locator("#engine-field")).to_be_visible()
    assert worn() == "autoencoder"
    assert {state(page), *page.evaluate("window.states")} <= {"live", "degraded"}
    assert len(sessions) == 1, "it is the same session"

    with page.expect_download():
        page.locator("#snapshot").click()
    with closing(database(services)) as rows:
        logged = rows.execute(
            "SELECT event, details FROM audit_auditentry WHERE identity = ? ORDER BY number", (identity,)
        ).fetchall()
    events = [(event, json.loads(details).get("model")) for event, details in logged]
    assert events == [("identity_enrolled", None), ("training_ended", model), ("export_signed", model)]
