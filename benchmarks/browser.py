"""Capture to drawn, in a real browser: how late wearers see their own movement on another face.

Chromium's camera is a film with a number drawn into every frame, above the wearer. A frame keeps its number through
camera, encoder, relay, prediction, decoder and canvas, as it keeps the rest of its pixels. On each of the page's
animation frames the number is read off the camera's picture and off the canvas: the delay of a frame is the time from
the moment when the camera's picture showed its number to the moment when the canvas did. No clock of the project takes
part.

- `browser.delay_ms_p50`, `browser.delay_ms_p95`: of every frame that was drawn.
- `browser.fps`: numbers drawn per second, each counted once.
- `browser.dropped_share`: share of the camera's frames that were never drawn.

The three services, the browser and its camera share the machine. The page is as it is served, but for its mirror,
which is turned off: a mirrored number reads as another.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser.camera import Picture, read_film, write_clip
from tests.browser.chromium import find_chromium, launch_with_camera
from tests.browser.services import ROOT, Services, make_services, running

WEARER = ROOT / "tests" / "data" / "wearers" / "w1.mp4"
BITS = 10
HALF = 24
"""Pixels: width of half a bit, and height of the row of bits. A bit is a white and a black square; which comes first
tells its value, so that reading it takes no threshold for white."""
CLIP_FRAMES = 712
"""Four times forth and back through the wearer's 90 frames: 24 s at the camera's 30 frames/s. No frame is that late."""
FIRST_DRAWN_MS = 60_000
UNREADABLE = -1

READER = """([bits, half, unreadable]) => {
  const LEAST_CONTRAST = 60;
  const width = 2 * bits, height = 1;
  const copy = new OffscreenCanvas(width, height);
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  /** The number in a picture of any size: the middle pixel of every half bit. */
  function read(source, sourceWidth) {
    const side = half * sourceWidth / 640;
    if (!side) return unreadable;
    context.drawImage(source, 0, side * 0.35, side * width, side * 0.3, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const light = (place) => data[4 * place] + data[4 * place + 1] + data[4 * place + 2];
    let number = 0;
    for (let bit = 0; bit < bits; bit += 1) {
      const difference = light(2 * bit) - light(2 * bit + 1);
      if (Math.abs(difference) < 3 * LEAST_CONTRAST) return unreadable;
      number = 2 * number + (difference > 0);
    }
    return number;
  }
  const camera = document.querySelector("#camera"), screen = document.querySelector("#screen");
  window.samples = [];
  requestAnimationFrame(function sample() {
    requestAnimationFrame(sample);
    const now = performance.now();
    window.samples.push([now, read(camera, camera.videoWidth), read(screen, screen.width)]);
  });
}"""
"""Runs in the page beside its own code: notes time, camera's number and canvas's number on every animation frame."""


@dataclass(frozen=True)
class Sample:
    """What one animation frame showed. Numbers only grow: a clip's second round goes on where the first ended."""

    ms: float
    camera: int | None
    drawn: int | None


def numbered(frame: Picture, number: int) -> Picture:
    """The frame with its number in its upper left corner."""
    marked = frame.copy()
    for place in range(BITS):
        bit = number >> (BITS - 1 - place) & 1
        for half in (0, 1):
            left = (2 * place + half) * HALF
            marked[:HALF, left : left + HALF] = 255 * (bit ^ half)
    return marked


def clip(film: Sequence[Picture]) -> Iterator[Picture]:
    """The film forth and back, without a jump, numbered."""
    there_and_back = [*film, *film[-2:0:-1]]
    for number in range(CLIP_FRAMES):
        yield numbered(there_and_back[number % len(there_and_back)], number)


def unroll(rows: Sequence[tuple[float, int, int]]) -> list[Sample]:
    """Numbers that grow over the rounds of the clip. What is drawn is never newer than the camera's picture."""
    samples: list[Sample] = []
    newest = 0
    for ms, camera, drawn in rows:
        if camera != UNREADABLE:
            newest += (camera - newest) % CLIP_FRAMES
        shown = None if drawn == UNREADABLE else newest - (newest - drawn) % CLIP_FRAMES
        samples.append(Sample(ms, None if camera == UNREADABLE else newest, shown))
    return samples


def measure(samples: Sequence[Sample], warm_up_seconds: float) -> dict[str, float]:
    """The four metrics, of what came after the warm-up."""
    begin = samples[0].ms + warm_up_seconds * 1000
    first_shown: dict[int, float] = {}
    first_drawn: dict[int, float] = {}
    for sample in samples:
        if sample.camera is not None:
            first_shown.setdefault(sample.camera, sample.ms)
        if sample.drawn is not None:
            first_drawn.setdefault(sample.drawn, sample.ms)
    drawn = [number for number, ms in first_drawn.items() if ms >= begin]
    # A frame that no animation frame saw before the camera's picture went on has no delay; it counts as drawn.
    delays = [first_drawn[number] - first_shown[number] for number in drawn if number in first_shown]
    given = [number for number, ms in first_shown.items() if ms >= begin]
    if len(delays) < 2 or len(given) < 2:
        raise SystemExit("Expected numbers on the canvas, received hardly any: was every frame held?")
    seconds = (samples[-1].ms - begin) / 1000
    camera_frames = max(given) - min(given) + 1
    in_time = sum(min(given) <= number <= max(given) for number in drawn)
    tell(f"camera: {camera_frames / seconds:.1f} frames/s; page: {animation_rate(samples):.1f} animation frames/s")
    percentiles = statistics.quantiles(delays, n=100)
    return {
        "browser.delay_ms_p50": percentiles[49],
        "browser.delay_ms_p95": percentiles[94],
        "browser.fps": len(drawn) / seconds,
        "browser.dropped_share": 1 - min(1.0, in_time / camera_frames),
    }


def animation_rate(samples: Sequence[Sample]) -> float:
    return 1000 * (len(samples) - 1) / (samples[-1].ms - samples[0].ms)


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def start_session(page: Page, services: Services, identity: str) -> None:
    """Until the first swapped frame is on the canvas."""
    page.set_default_timeout(FIRST_DRAWN_MS)
    page.goto(services.client.address)
    page.locator("#mirror[aria-pressed=true]").click()
    page.locator(f"input[name=identity][value={identity}][type=radio]").check()
    page.locator("#start").click()
    page.locator("#terms-accept").click()
    page.wait_for_selector("#frame.shown")


def watch(page: Page, seconds: float) -> list[Sample]:
    """What the page shows for so long."""
    page.evaluate(READER, [BITS, HALF, UNREADABLE])
    page.wait_for_timeout(seconds * 1000)
    rows: list[tuple[float, int, int]] = page.evaluate("samples")
    return unroll(rows)


def run(data: Path | None, arguments: Sequence[str] = ()) -> Mapping[str, float]:
    """See `benchmarks`. The camera is the committed wearer 1, which no other film replaces: `data` is not read."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks browser")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the measurement, after the warm-up")
    parser.add_argument("--warm-up", type=float, default=5.0, help="seconds")
    parser.add_argument("--identity", default="p1")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name, (Path(name) / "log").open("wb") as log, sync_playwright() as playwright:
        folder = Path(name)
        write_clip(clip(read_film(WEARER)), folder / "camera.mjpeg")
        with running(make_services(folder, log)) as services:
            tell("services are ready")
            chromium = launch_with_camera(playwright, find_chromium(), folder / "camera.mjpeg")
            try:
                page = chromium.new_page(viewport={"width": 1280, "height": 900})
                start_session(page, services, options.identity)
                samples = watch(page, options.warm_up + options.seconds)
            finally:
                chromium.close()
    return measure(samples, options.warm_up)
