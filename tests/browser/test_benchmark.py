"""The browser benchmark reads the numbers that it drew, and draws the right conclusions from them."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser

from benchmarks.browser import BITS, CLIP_FRAMES, HALF, READER, UNREADABLE, Sample, measure, numbered, unroll
from tests.browser.camera import read_film

BLANK = "<canvas id=camera></canvas><canvas id=screen width=640 height=480></canvas>"
SHOW = """async ([picture, width]) => {
  const image = new Image();
  image.src = `data:image/jpeg;base64,${picture}`;
  await image.decode();
  const screen = document.querySelector("#screen");
  [screen.width, screen.height] = [width, width * 3 / 4];
  screen.getContext("2d").drawImage(image, 0, 0, screen.width, screen.height);
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  return samples.at(-1)[2];
}"""


def test_reads_numbers_from_poor_and_small_pictures_and_none_from_a_black_one(chromium: Browser, wearers: Path) -> None:
    frame = read_film(wearers / "w1.mp4")[0]
    page = chromium.new_page()
    page.set_content(BLANK)
    page.evaluate(READER, [BITS, HALF, UNREADABLE])
    page.wait_for_function("samples.length > 1")
    assert page.evaluate("samples.at(-1).slice(1)") == [UNREADABLE, UNREADABLE]
    for number, quality, width in [(0, 95, 640), (711, 50, 640), (341, 50, 320), (1023, 30, 400), (682, 80, 512)]:
        jpeg = cv2.imencode(".jpg", numbered(frame, number), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        assert page.evaluate(SHOW, [base64.b64encode(jpeg.tobytes()).decode(), width]) == number
    black = cv2.imencode(".jpg", np.zeros_like(frame))[1]
    assert page.evaluate(SHOW, [base64.b64encode(black.tobytes()).decode(), 640]) == UNREADABLE
    page.close()


def test_numbers_go_on_where_the_clip_begins_anew() -> None:
    rows = [(0.0, CLIP_FRAMES - 1, CLIP_FRAMES - 3), (33.0, 0, CLIP_FRAMES - 2), (66.0, 2, UNREADABLE), (99.0, -1, 1)]
    assert unroll(rows) == [
        Sample(0.0, CLIP_FRAMES - 1, CLIP_FRAMES - 3),
        Sample(33.0, CLIP_FRAMES, CLIP_FRAMES - 2),
        Sample(66.0, CLIP_FRAMES + 2, None),
        Sample(99.0, None, CLIP_FRAMES + 1),
    ]


def test_measures_delay_rate_and_dropped_frames() -> None:
    """A camera of 25 frames/s; every second frame is drawn, 120 ms late, and stays until the next."""
    samples = [Sample(40.0 * tick, tick, max(0, (tick - 3) // 2 * 2)) for tick in range(201)]
    measured = measure(samples, warm_up_seconds=4.0)
    assert measured["browser.delay_ms_p50"] == pytest.approx(120.0)
    assert measured["browser.delay_ms_p95"] == pytest.approx(120.0)
    assert measured["browser.fps"] == pytest.approx(12.5, abs=0.5)
    assert measured["browser.dropped_share"] == pytest.approx(0.5, abs=0.02)


def test_refuses_to_measure_where_nothing_was_drawn() -> None:
    with pytest.raises(SystemExit, match="hardly any"):
        measure([Sample(40.0 * tick, tick, None) for tick in range(50)], warm_up_seconds=0.0)
