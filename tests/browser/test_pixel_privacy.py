"""Pixel privacy: whatever the three services do with a face, no picture of it reaches a file or a log.

They run from a copy of their code, each with a home and a temporary folder of its own, and a watch is kept over all of
it while a session runs in a browser. What `pixel_watch` would find is tested in `test_pixel_watch.py`.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pixel_watch import PixelWatch, family, watching
from tests.browser.services import Services, make_services, running

CODE = ("client_app", "prediction_model", "websocket_server")
LEFT_OUT = ("__pycache__", ".mypy_cache", ".ruff_cache", "staticfiles")
KNOWN = {
    "state/db.sqlite3": "the database: an enrolment's picture is in it, encrypted",
    "state/db.sqlite3-journal": "SQLite's, while it writes",
    "state/log": "what the three services print",
    "state/c2pa/*.pem": "the certificate that exports are signed with",
    "state/.c2pa-*/*.pem": "the same, while it is made",
    "*/tmp/wgunicorn-*": "gunicorn's sign of life, which is empty",
    "*/tmp/" + 8 * "[a-z0-9_]": "Python's `tempfile`, once, to see whether it may write there: the word `blat`",
}
RECORDED_MS = 2_000


@dataclass(frozen=True)
class Watched:
    """The services, and the watch over them."""

    services: Services
    watch: PixelWatch
    state: Path


@pytest.fixture(scope="module")
def watched(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    code, state = folder / "code", folder / "state"
    state.mkdir()
    for name in CODE:
        shutil.copytree(root / name, code / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
    with (state / "log").open("wb") as log:
        services = make_services(state, log)
        for service in services.all:
            own = folder / service.name
            (own / "tmp").mkdir(parents=True)
            service.folder = code / service.folder.relative_to(root)
            service.environment = {**service.environment, "HOME": str(own), "TMPDIR": str(own / "tmp")}

        def processes() -> list[int]:
            leaders = [service.process.pid for service in services.all if service.process]
            return [process for leader in leaders for process in family(leader)]

        with watching([folder], KNOWN, processes) as watch, running(services):
            yield Watched(services, watch, state)


@pytest.fixture(scope="module")
def services(watched: Watched) -> Services:
    return watched.services


def save(page: Page, key: str) -> Path:
    """Press `key`, and take the signed file that is downloaded."""
    with page.expect_download() as downloaded:
        page.keyboard.press(key)
    return downloaded.value.path()


def verify(page: Page, file: Path, name: str) -> None:
    page.goto("/verify")
    media = "video/mp4" if name.endswith("mp4") else "image/jpeg"
    page.locator("#file").set_input_files({"name": name, "mimeType": media, "buffer": file.read_bytes()})
    expect(page.locator("#verdict")).to_have_text("AI modified")


def test_no_picture_of_a_session_is_left_anywhere(page: Page, watched: Watched, root: Path) -> None:
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="I agree").click()
    page.wait_for_selector("#frame.shown")
    snapshot = save(page, "s")
    page.keyboard.press("r")
    page.wait_for_timeout(RECORDED_MS)
    film = save(page, "r")
    page.get_by_role("button", name="Stop").click()

    page.locator("#photo summary").click()
    page.locator("#picture").set_input_files(root / "tests" / "data" / "enrolment" / "front.jpg")
    page.get_by_label("I agree to the terms").check()
    page.get_by_role("button", name="Swap the face").click()
    expect(page.locator("#picture-status")).to_have_text("Done.")

    verify(page, snapshot, "snapshot.jpg")
    verify(page, film, "film.mp4")

    picture = root / "prediction_model" / "identities" / "gallery" / "p7" / "portrait.jpg"
    page.goto("/enrol")
    page.get_by_label("Name in the gallery").fill("Myself")
    page.locator("#picture").set_input_files(picture)
    page.locator("input[name=agreed]").check()
    with page.expect_response("**/enrolments/*/frames"):
        page.get_by_role("button", name="Go on").click()
    page.goto("/terms")  # abandoned

    with closing(sqlite3.connect(watched.state / "db.sqlite3")) as database:
        ((kept,),) = database.execute("SELECT length(picture) FROM identities_enrolment")
    assert kept >= picture.stat().st_size, "the picture is where the watch must not find it: encrypted"
    for service in watched.services.all:
        service.stop()
    assert watched.watch.findings() == []
    assert {"state/db.sqlite3", "state/log"} <= set(watched.watch.written.values())
