"""Chromium, with a film for a camera: for browser tests and for the browser benchmark."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright


def find_chromium() -> str | None:
    """Path of the Chromium to drive, `FACESWAP_BROWSER` first; None: Playwright's own."""
    named = os.environ.get("FACESWAP_BROWSER")
    if named == "":
        return None
    return named or shutil.which("chromium") or shutil.which("google-chrome")


def launch(playwright: Playwright, executable: str | None, *arguments: str) -> Browser:
    return playwright.chromium.launch(
        executable_path=executable, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required", *arguments]
    )


def launch_with_camera(playwright: Playwright, executable: str | None, clip: Path) -> Browser:
    """With the `.mjpeg` `clip`, over and over, before its camera, and the permission to use it."""
    return launch(
        playwright,
        executable,
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={clip}",
    )
