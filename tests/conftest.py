"""What tests of every service may ask for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import ports
from tests.browser.chromium import find_chromium

ROOT = Path(__file__).resolve().parent.parent

# The same examples in every run, however long a busy machine takes for one: `--hypothesis-profile=default` for others.
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")

# The keys of a working copy's `.env` are its own: what a test sees must not depend on them. Empty counts as not set.
for name in ("SECRET_KEY", "FACESWAP_SIGNING_KEY", "FACESWAP_VERIFY_KEY", "FACESWAP_WATERMARK_KEY"):
    os.environ[name] = ""


# What a test installs it asks a registry for, which may stutter.
os.environ.setdefault("PIP_RETRIES", "10")
os.environ.setdefault("PIP_DEFAULT_TIMEOUT", "60")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def wearers() -> Path:
    """Folder of the two committed synthetic wearers, `w1.mp4` and `w2.mp4`."""
    return ROOT / "tests" / "data" / "wearers"


@pytest.fixture(scope="session")
def measuring_data() -> Path:
    """The private measuring material; tests that need it are skipped where it is not."""
    folder = Path(os.environ.get("FACESWAP_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no measuring material: set FACESWAP_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def browser() -> str | None:
    """Path of the Chromium to test the page with; None: Playwright's own."""
    return find_chromium()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives a port of 127.0.0.1 that nothing listens on, another at each call."""
    return ports.free_port
