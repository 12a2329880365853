"""What the page shows, as arrays, beside the camera frames that it was made from."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from playwright.sync_api import Page

Picture = npt.NDArray[np.uint8]
"""[480, 640, 3], BGR."""
Region = tuple[slice, slice]

WIDTH, HEIGHT = 640, 480
DETAIL = 2.5
"""Standard deviation, in pixels, of the blur before pictures are compared."""

WATCH = """
window.drawn = 0;
window.taken = [];
const draw = CanvasRenderingContext2D.prototype.drawImage;
CanvasRenderingContext2D.prototype.drawImage = function (...all) {
  if (this.canvas.id === "screen") window.drawn += 1;
  return draw.apply(this, all);
};
const take = window.createImageBitmap;
window.createImageBitmap = async function (source, ...rest) {
  const bitmap = await take(source, ...rest);
  if (source instanceof HTMLVideoElement) {
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [bitmap.width, bitmap.height];
    draw.call(copy.getContext("2d"), bitmap, 0, 0);
    window.taken = [...window.taken.slice(-15), copy];
  }
  return bitmap;
};
"""
"""Runs before the page's own code: counts the frames that reach the screen, and keeps the last ones of the camera."""
READ = """() => [document.querySelector("#screen"), ...window.taken]
  .map((canvas, place) => canvas.toDataURL(place ? "image/jpeg" : "image/png", 0.95).split(",")[1])"""

FACE: Region = (slice(200, 380), slice(230, 410))
"""Well inside wearer 1's face wherever it turns in the clip: eyes, nose, mouth."""
OUTSIDE: tuple[Region, ...] = ((slice(0, 60), slice(0, 100)), (slice(60, 300), slice(560, 640)))
"""Background that no part of the wearer crosses, away from the badge."""


@dataclass(frozen=True)
class Shown:
    """The canvas, and the camera frame that it was made from."""

    picture: Picture
    camera: Picture

    def change(self, region: Region) -> float:
        """How far the picture is from the camera there, in grey levels."""
        return difference(self.picture, self.camera, region)


def decode(data: bytes) -> Picture:
    """Any picture, at 640x480: what was made smaller on the way is enlarged again."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def look(page: Page, mirrored: bool = False) -> Shown:
    """The canvas as it is now. `mirrored`: the page turns the camera's frames."""
    picture, *taken = (decode(base64.b64decode(data)) for data in page.evaluate(READ))
    cameras = [np.asarray(frame[:, ::-1], np.uint8) for frame in taken] if mirrored else taken
    return Shown(picture, nearest(picture, cameras))


def screen(page: Page) -> Picture:
    """The canvas alone."""
    return decode(base64.b64decode(page.evaluate(READ)[0]))


def nearest(picture: Picture, frames: Sequence[Picture]) -> Picture:
    """The one of `frames` that is most like `picture` outside face and badge."""
    mask = np.ones((HEIGHT, WIDTH), bool)
    mask[120:460, 170:500] = mask[400:, :] = False
    apart = [float(np.abs(frame[mask].astype(int) - picture[mask].astype(int)).mean()) for frame in frames]
    return frames[int(np.argmin(apart))]


def difference(one: Picture, other: Picture, region: Region) -> float:
    """Mean absolute difference in grey levels, of what is left when compression and scaling took the finest detail."""
    soft = [cv2.GaussianBlur(picture, (0, 0), DETAIL)[region].astype(int) for picture in (one, other)]
    return float(np.abs(soft[0] - soft[1]).mean())
