"""The watch itself: whatever a service could leave of a picture, it finds; what it is told to expect, it does not."""

from __future__ import annotations

import base64
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.image_signatures import found_in
from tests.browser.pixel_watch import LOOK_SECONDS, PixelWatch, family, watching

KNOWN = {"db.sqlite3": "the database", "log": "what the services print"}
FOUND_SECONDS = 20.0


@pytest.fixture(scope="module")
def jpeg(root: Path) -> bytes:
    return (root / "prediction_model/identities/gallery/p1/portrait.jpg").read_bytes()


def watched(folder: Path, write: Callable[[], object]) -> list[str]:
    """What a watch over `folder` finds while `write` does its work."""
    with watching([folder], KNOWN) as watch:
        write()
    return watch.findings()


class TestSignatures:
    @pytest.mark.parametrize(
        ("file", "kind"),
        [
            ("tests/data/enrolment/front.jpg", "JPEG"),
            ("tests/data/odd/progressive.jpg", "JPEG"),
            ("tests/data/odd/grey.jpg", "JPEG"),
            ("tests/data/odd/palette.png", "PNG"),
            ("tests/data/odd/lossy.webp", "WebP"),
            ("tests/data/odd/lossless.webp", "WebP"),
            ("tests/data/odd/small.avif", "MP4"),
            ("tests/data/wearers/w1.mp4", "MP4"),
        ],
    )
    @pytest.mark.parametrize("before", range(3))
    def test_every_form_of_every_kind_of_file_is_known(self, root: Path, file: str, kind: str, before: int) -> None:
        data = b"\0" * before + (root / file).read_bytes()[:4096]
        for form in (data, base64.b64encode(data), base64.urlsafe_b64encode(data), data.hex().encode(), repr(data)):
            assert kind in found_in(b"before " + (form.encode() if isinstance(form, str) else form) + b" after")

    def test_random_bytes_are_no_picture(self) -> None:
        data = os.urandom(1 << 22)
        assert found_in(data) == found_in(base64.b64encode(data)) == []


class TestWatch:
    def test_a_file_that_is_known_and_holds_no_picture_is_fine(self, tmp_path: Path) -> None:
        (tmp_path / "log").write_bytes(b"GET /image 200\n")
        assert watched(tmp_path, lambda: (tmp_path / "db.sqlite3").write_bytes(os.urandom(1 << 16))) == []

    def test_a_file_that_was_there_before_and_is_only_read_is_fine(self, tmp_path: Path, jpeg: bytes) -> None:
        (tmp_path / "portrait.jpg").write_bytes(jpeg)
        assert watched(tmp_path, (tmp_path / "portrait.jpg").read_bytes) == []

    def test_a_picture_spooled_to_a_file(self, tmp_path: Path, jpeg: bytes) -> None:
        found = watched(tmp_path, lambda: (tmp_path / "upload").write_bytes(jpeg))
        assert found == ["upload was written, and nobody knows it", "upload holds a JPEG"]

    def test_a_picture_in_a_folder_that_is_made_for_it(self, tmp_path: Path, jpeg: bytes) -> None:
        def write() -> None:
            (tmp_path / "a" / "b").mkdir(parents=True)
            (tmp_path / "a" / "b" / "upload").write_bytes(jpeg)

        assert "a/b/upload holds a JPEG" in watched(tmp_path, write)

    def test_a_picture_in_the_database(self, tmp_path: Path, jpeg: bytes) -> None:
        assert watched(tmp_path, lambda: (tmp_path / "db.sqlite3").write_bytes(bytes(4096) + jpeg)) == [
            "db.sqlite3 holds a JPEG"
        ]

    def test_a_line_of_a_log_with_a_picture_in_base64(self, tmp_path: Path, jpeg: bytes) -> None:
        def write() -> None:
            handler = logging.FileHandler(tmp_path / "log")
            handler.emit(logging.makeLogRecord({"msg": f"bad instance {base64.b64encode(jpeg).decode()}"}))
            handler.close()

        assert watched(tmp_path, write) == ["log holds a JPEG"]

    def test_a_file_that_is_deleted_at_once(self, tmp_path: Path, jpeg: bytes) -> None:
        def write() -> None:
            (tmp_path / "upload").write_bytes(jpeg)
            (tmp_path / "upload").unlink()

        assert watched(tmp_path, write) == ["upload was written, and nobody knows it"]

    def test_a_file_that_never_had_a_name(self, tmp_path: Path, jpeg: bytes) -> None:
        def write() -> None:
            with tempfile.TemporaryFile(dir=tmp_path) as file:
                file.write(jpeg)

        assert len(watched(tmp_path, write)) == 1

    def test_pixels_that_no_signature_gives_away(self, tmp_path: Path) -> None:
        assert watched(tmp_path, lambda: (tmp_path / "frame.npy").write_bytes(bytes(640 * 480 * 3)))

    def test_a_file_somewhere_else_altogether(self, tmp_path: Path) -> None:
        inside, outside = tmp_path / "inside", tmp_path / "outside"
        inside.mkdir()
        script = f"import sys; file = open({str(outside)!r}, 'wb'); sys.stdin.read()"
        nowhere, told = subprocess.DEVNULL, subprocess.PIPE
        command = [sys.executable, "-c", script]
        with subprocess.Popen(command, start_new_session=True, stdin=told, stdout=nowhere, stderr=nowhere) as process:

            def members() -> list[int]:
                return family(process.pid)

            with watching([inside], KNOWN, members) as watch:
                deadline = time.monotonic() + FOUND_SECONDS
                while not watch.elsewhere and time.monotonic() < deadline:
                    time.sleep(LOOK_SECONDS)
                process.communicate()
        assert watch.findings() == [f"{outside} was written, outside of every watched folder"]

    def test_a_watch_that_lost_count_says_so(self) -> None:
        assert PixelWatch(KNOWN, missed=True).findings() == ["the watch lost count of what was written"]
