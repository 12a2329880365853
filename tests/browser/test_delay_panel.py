"""The panel "Delay" in real Chromium, before the three services."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

PAINTED = """() => {
  const canvas = document.querySelector("#delays .chart canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colours = new Set();
  for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) colours.add(data.slice(at, at + 3).join());
  return [...document.querySelectorAll("#delays [data-stage]")].filter((row) => {
    const hex = getComputedStyle(row).getPropertyValue("--stage").trim().slice(1);
    return colours.has([0, 2, 4].map((place) => parseInt(hex.slice(place, place + 2), 16)).join());
  }).length;
}"""
"""How many of the stages' colours are in the chart."""


@pytest.fixture
def live(page: Page) -> Page:
    page.locator("#start").click()
    page.locator("#terms-accept").click()
    page.wait_for_selector("#frame.shown")
    return page


def milliseconds(page: Page) -> list[float]:
    """The table's column: the stages, then their sum."""
    return [float(cell) for cell in page.locator("#delays td").all_text_contents()]


def test_shows_where_the_delay_of_a_running_session_comes_from(live: Page) -> None:
    live.locator("#delays > summary").click()
    expect(live.locator("#delays tfoot td")).not_to_have_text("–")
    *stages, total = milliseconds(live)
    camera, network, _, finding, swapping, pasting, _ = stages
    assert min(camera, network, finding, swapping, pasting) > 0
    assert total == pytest.approx(sum(stages), abs=0.5)
    # A stage of a millisecond may be thinner than a pixel. Asked again from here: the page's CSP forbids eval.
    for _ in range(50):
        if live.evaluate(PAINTED) >= 4:
            break
        live.wait_for_timeout(200)
    assert live.evaluate(PAINTED) >= 4


def test_is_loaded_only_when_it_is_unfolded(page: Page) -> None:
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    page.reload()
    page.wait_for_load_state("networkidle")
    assert not [url for url in fetched if "uplot" in url.lower() or "delay" in url]
    page.locator("#delays > summary").click()
    page.wait_for_selector("#delays .chart canvas")
    assert [url for url in fetched if "uplot" in url.lower()]
    expect(page.locator("#delays tfoot td")).to_have_text("–")


def test_can_be_unfolded_again_when_it_could_not_be_loaded(page: Page) -> None:
    page.route("**/delay-panel*.js", lambda route: route.abort())
    page.locator("#delays > summary").click()
    expect(page.locator("#toast")).to_contain_text("try again")
    page.unroute("**/delay-panel*.js")
    page.locator("#delays > summary").click()
    page.wait_for_selector("#delays .chart canvas", state="attached")
