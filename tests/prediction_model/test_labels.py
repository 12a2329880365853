"""Every frame can be told for what it is: by people from the badge, by programs from the watermark."""

from __future__ import annotations

import io
from collections.abc import Callable

import av
import cv2
import numpy as np
import pytest

from prediction_model.errors import PictureTooSmall
from prediction_model.labels.badge import badge_box, put_badge
from prediction_model.labels.label import put_labels
from prediction_model.labels.watermark import embed, read
from prediction_model.types import BgrFrame

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
PAYLOAD = 0xC0FFEE42
Frames = Callable[[str], list[BgrFrame]]


def jpeg(frame: BgrFrame, quality: int) -> BgrFrame:
    coded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def half(frame: BgrFrame) -> BgrFrame:
    return np.asarray(cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


@pytest.fixture(params=["w1", "w2"])
def labelled(request: pytest.FixtureRequest, frames: Frames) -> BgrFrame:
    return put_labels(frames(request.param)[10].copy(), PAYLOAD, KEY)


def test_the_watermark_is_read_back(labelled: BgrFrame) -> None:
    assert read(labelled, KEY) == PAYLOAD


@pytest.mark.parametrize("quality", [90, 70, 50])
def test_the_watermark_survives_jpeg(labelled: BgrFrame, quality: int) -> None:
    assert read(jpeg(labelled, quality), KEY) == PAYLOAD


def test_the_watermark_survives_half_size_and_jpeg(labelled: BgrFrame) -> None:
    assert read(jpeg(half(labelled), 70), KEY) == PAYLOAD


@pytest.mark.parametrize("ratio", [0.5, 0.75, 2.0])
def test_a_rescaled_frame_of_an_unusual_size_is_read(frames: Frames, ratio: float) -> None:
    frame = np.asarray(cv2.resize(frames("w1")[3], (854, 470)), np.uint8)
    put_labels(frame, PAYLOAD, KEY)
    rescaled = cv2.resize(frame, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    assert read(np.asarray(rescaled, np.uint8), KEY) == PAYLOAD


@pytest.mark.parametrize("key", [KEY, OTHER_KEY, b"another key of any length"])
def test_the_watermark_survives_h264(frames: Frames, key: bytes) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as made:
        stream = made.add_stream("libx264", rate=15)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = 480, 640, "yuv420p", 1_000_000
        for frame in frames("w2")[:20]:
            marked = put_labels(frame.copy(), PAYLOAD, key)
            made.mux(stream.encode(av.VideoFrame.from_ndarray(marked, format="bgr24")))
        made.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as video:
        found = [read(np.asarray(f.to_ndarray(format="bgr24"), np.uint8), key) for f in video.decode(video=0)]
    assert len(found) == 20
    assert found.count(PAYLOAD) >= 19
    assert set(found) <= {PAYLOAD, None}


def test_another_key_reads_nothing(labelled: BgrFrame) -> None:
    assert read(labelled, OTHER_KEY) is None


def test_unmarked_frames_carry_nothing(frames: Frames) -> None:
    assert {read(frame, KEY) for name in ("w1", "w2") for frame in frames(name)[::10]} == {None}


@pytest.mark.parametrize(
    ("mark", "key"), [(None, "4db3c39b2439727b"), (b"another", "2f26e8e60b2c43d2"), (b"another", "adba3f5006eed52d")]
)
def test_what_a_crc_confirms_by_chance_is_no_mark(frames: Frames, mark: bytes | None, key: str) -> None:
    """Keys found by trying 60,000: the CRC of what they read in this frame is right."""
    frame = frames("w1")[0]
    if mark is not None:
        frame = put_labels(frame.copy(), PAYLOAD, mark)
    assert read(frame, bytes.fromhex(key)) is None


def test_the_watermark_cannot_be_seen(frames: Frames) -> None:
    live = frames("w1")[0]
    marked = live.copy()
    embed(marked, PAYLOAD, KEY)
    assert cv2.PSNR(live, marked) > 44


@pytest.mark.parametrize("size", [(320, 240), (640, 480), (480, 640), (1280, 720), (1920, 1080)])
def test_the_badge_is_whole_and_readable_at_any_size(size: tuple[int, int]) -> None:
    width, height = size
    frame = np.full((height, width, 3), 200, np.uint8)
    put_badge(frame)
    left, top, wide, tall = badge_box(width, height)
    assert left >= 0 and left + wide <= width and top >= 0 and top + tall <= height
    assert tall >= 13 and tall >= 0.04 * min(size)
    region = frame[top : top + tall, left : left + wide]
    assert (region.max(axis=2) > 235).mean() > 0.05, "white letters"
    assert (region.max(axis=2) < 110).mean() > 0.4, "on a dark ground"
    frame[top : top + tall, left : left + wide] = 200
    assert (frame == 200).all(), "and nothing beside it"


@pytest.mark.parametrize("value", [0, 255])
def test_a_black_or_white_frame_can_be_marked(value: int) -> None:
    frame = np.full((480, 640, 3), value, np.uint8)
    assert read(jpeg(put_labels(frame, PAYLOAD, KEY), 80), KEY) == PAYLOAD


@pytest.mark.parametrize("shape", [(40, 60, 3), (30, 600, 3), (128, 128, 3)])
def test_a_frame_too_small_to_be_labelled_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(PictureTooSmall):
        put_labels(np.zeros(shape, np.uint8), PAYLOAD, KEY)
