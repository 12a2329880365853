"""Pictures are read whatever their colours, turned upright, and refused with a reason before anything large is
decoded.
"""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from prediction_model.errors import PictureTooLarge, PredictionError, UnreadablePicture
from prediction_model.picture import MAX_BYTES, picture_size, read_picture, write_jpeg

DATA = Path(__file__).parent.parent / "data"
BAD = sorted(path for path in (DATA / "bad").iterdir() if path.name != "README.md")
ODD = sorted(path for path in (DATA / "odd").iterdir() if path.name != "README.md")
LARGEST_READ = 8 << 20
"""Bytes of Python memory that refusing a picture may take."""


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name)
def test_a_bad_picture_is_one_typed_error(path: Path) -> None:
    tracemalloc.start()
    try:
        with pytest.raises((UnreadablePicture, PictureTooLarge)) as caught:
            read_picture(path.read_bytes())
        assert tracemalloc.get_traced_memory()[1] < LARGEST_READ
    finally:
        tracemalloc.stop()
    assert str(caught.value).endswith(".") and caught.value.status in (400, 413)


def test_bad_pictures_are_all_described() -> None:
    text = (DATA / "bad" / "README.md").read_text()
    assert [path.name for path in BAD if path.stem not in text] == []


@pytest.mark.parametrize("path", ODD, ids=lambda path: path.name)
def test_an_odd_picture_is_read_upright(path: Path, wearers: Path) -> None:
    picture = read_picture(path.read_bytes())
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    assert picture.shape[1] * 3 == picture.shape[0] * 4  # landscape, as the wearer's clip is
    live = cv2.resize(cv2.VideoCapture(str(wearers / "w1.mp4")).read()[1], picture.shape[1::-1])
    grey, expected = (cv2.cvtColor(each, cv2.COLOR_BGR2GRAY).astype(float) for each in (picture, live))
    assert np.corrcoef(grey.ravel(), expected.ravel())[0, 1] > 0.96  # a palette costs most


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_pixels_are_counted_before_decoding(suffix: str) -> None:
    data = (DATA / "bad" / f"thirty_thousand.{suffix}").read_bytes()
    assert picture_size(data) == (30_000, 30_000)
    with pytest.raises(PictureTooLarge, match="30000×30000"):
        read_picture(data)


def test_an_avif_decodes_no_more_pixels_than_it_says() -> None:
    data = (DATA / "bad" / "small_claim.avif").read_bytes()
    assert picture_size(data) == (64, 64)
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None  # to OpenCV alone it is a picture
    with pytest.raises(UnreadablePicture):
        read_picture(data)


def test_a_jpeg_of_many_scans_is_refused_and_one_of_an_encoder_is_not() -> None:
    data = (DATA / "bad" / "many_scans.jpg").read_bytes()
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None
    with pytest.raises(UnreadablePicture, match="scans"):
        read_picture(data)
    # What lies behind the end, a phone's film for one, may look like scans.
    read_picture((DATA / "odd" / "progressive.jpg").read_bytes() + b"\xff\xda\x00\x02" * 100)


def test_a_side_longer_than_a_track_can_name_is_refused() -> None:
    ribbon = cv2.imencode(".png", np.zeros((16, 70_000, 3), np.uint8))[1].tobytes()
    with pytest.raises(PictureTooLarge, match="a side"):
        read_picture(ribbon)


def test_too_many_bytes_are_refused_unread() -> None:
    with pytest.raises(PictureTooLarge, match="16 MiB"):
        read_picture(b"\xff\xd8" + bytes(MAX_BYTES))


def test_a_limit_of_pixels_is_kept() -> None:
    jpeg = write_jpeg(np.zeros((120, 160, 3), np.uint8), 80)
    assert read_picture(jpeg, max_pixels=160 * 120).shape == (120, 160, 3)
    with pytest.raises(PictureTooLarge):
        read_picture(jpeg, max_pixels=160 * 120 - 1)


@pytest.mark.parametrize("seed", range(40))
def test_noise_behind_a_signature_is_a_typed_error(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heads = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x01\x00\x00WEBPVP8 ", b"\x00\x00\x00\x20ftypavif")
    with pytest.raises(PredictionError):
        read_picture(heads[seed % 4] + rng.bytes(int(rng.integers(0, 2000))))
