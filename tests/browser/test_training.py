"""Training a model from the page: the button, what is told while it runs, over a reload and a restart; and the sentence
where it cannot be done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

from tests.browser.chromium import launch
from tests.browser.services import Services, make_services, running
from tests.browser.test_accessibility import findings

READY_MS = 300_000
"""Until a training has made what it learns from, on a machine that is busy."""


@pytest.fixture(scope="module")
def chromium(playwright: Playwright, browser: str | None) -> Iterator[Browser]:
    """No camera is needed."""
    chromium = launch(playwright, browser)
    yield chromium
    chromium.close()


@pytest.fixture(
    scope="module",
    params=[
        "lacking",
        pytest.param(
            "training",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(
                    find_spec("keras") is None, reason="what trains is not installed: `python3 run.py --train`"
                ),
            ],
        ),
    ],
)
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """All three; the prediction service `lacking` what trains, or `training` for longer than a test lasts."""
    folder = tmp_path_factory.mktemp("services")
    services = make_services(folder)
    if request.param == "lacking":
        (folder / "sitecustomize.py").write_text("import sys\nsys.modules['keras'] = None\n")
        services.prediction.environment = {**services.prediction.environment, "PYTHONPATH": str(folder)}
    with running(services):
        yield services


@pytest.fixture
def trains(services: Services) -> bool:
    """Whether these services can train."""
    return services.prediction.environment is services.client.environment


def enrol(page: Page, root: Path) -> None:
    """A face by a release: it needs no camera."""
    page.goto("/enrol")
    page.get_by_text("Somebody who signed a release").click()
    page.get_by_label("Name in the gallery").fill("Jonas")
    page.locator("#picture").set_input_files(root / "prediction_model/identities/gallery/p7/portrait.jpg")
    page.get_by_label("Who signed it").fill("Jonas Example")
    page.get_by_label("Until when it holds").fill((datetime.now(UTC) + timedelta(days=30)).date().isoformat())
    page.locator("#document").set_input_files(root / "LICENSE")
    page.locator("input[name=agreed]").check()
    page.get_by_role("button", name="Go on").click()
    page.wait_for_url(re.compile(r"/$"), timeout=60_000)


def test_a_model_is_offered_trained_and_cancelled_or_the_page_says_why_not(
    page: Page, root: Path, services: Services, trains: bool
) -> None:
    enrol(page, root)
    page.goto("/enrol")
    button = page.get_by_role("button", name="Train a model")
    if not trains:
        expect(page.locator("#trainings-problem")).to_contain_text("Training a model needs TensorFlow")
        expect(page.locator("#trainings-problem")).to_contain_text("python3 run.py --train")
        expect(button).to_be_hidden()
        assert findings(page) == []
        return

    button.click()
    panel = page.locator(".training")
    expect(panel.locator("progress")).to_be_visible()
    expect(button).to_be_hidden()
    assert findings(page) == []
    expect(panel.locator("[role=status]")).to_have_text(re.compile(r"\d+ %, step \d+"), timeout=READY_MS)

    page.reload()
    expect(panel.locator("[role=status]")).to_have_text(re.compile(r"\d+ %, step \d+"))
    services.client.stop()
    expect(page.locator("#trainings-problem")).to_contain_text("The server does not answer")
    services.client.start()
    expect(page.locator("#trainings-problem")).to_be_empty()
    expect(panel.locator("[role=status]")).to_have_text(re.compile(r"\d+ %, step \d+"))

    page.get_by_role("button", name="Cancel the training").click()
    expect(panel.locator("[role=status]")).to_have_text("The training was cancelled.")
    expect(button).to_be_visible()
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
