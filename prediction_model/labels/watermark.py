"""The invisible label: 48 bits in the luma, put on where the face is swapped and read back from what was saved of it.

Four low DCT coefficients of each 32-pixel tile are moved to an even or odd multiple of a step (quantisation index
modulation, Chen and Wornell, 2001). Which coefficient carries which bit follows a key. The bits are a 32-bit payload
and its CRC-16; every coefficient votes with its distance from the decision border, and votes that agree no better than
chance are nobody's. It survives JPEG, rescaling and video coding; it does not survive cropping, turning or flipping.
"""

from __future__ import annotations

import binascii
import hashlib
from functools import cache, lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.errors import PictureTooSmall
from prediction_model.types import BgrFrame

TILE = 32
STEP = 40.0
"""Of a coefficient, whose basis has unit length. Four small steps a tile hold better than one large one: together they
move a pixel by 10 grey levels at most."""
BITS = 48
LEAST_TILES = BITS
HEADROOM = 5
"""Grey levels kept free at both ends, which is as far as a tile's pixels are moved: black and white carry marks too."""
MIDDLE = 128
"""What stands for no change where changes are counted in bytes: none comes near to it."""
LEAST_AGREEMENT = 1.5
"""Standard deviation of the bits' votes, in that of votes by chance, which keep within 1.0 ± 0.1; a mark of which all
48 bits are right is far above. The CRC alone takes one picture of 5,000 without a mark for a marked one: each is read
at 13 sizes."""
CACHED_LAYOUTS = 32
FREQUENCIES = ((1, 2), (2, 1), (2, 2), (1, 1))
"""Down and across. Low enough to survive compression, high enough not to be seen."""
WIDTHS = (320, 480, 640, 800, 960, 1280, 1920)
RATIOS = (1.0, 2.0, 0.5, 4 / 3, 1.5, 0.75)
"""What `read` takes a rescaled picture back to: usual frame widths, and these multiples of its own."""
LARGEST_WIDTH = 4096

FloatArray = npt.NDArray[np.float32]


@lru_cache(maxsize=CACHED_LAYOUTS)
def _layout(coefficients: int, key: bytes) -> npt.NDArray[np.intp]:
    """The bit that each coefficient of a frame carries, intp [coefficients]: each bit is carried equally often."""
    seed = int.from_bytes(hashlib.sha256(b"watermark" + key).digest()[:8], "big")
    return np.random.default_rng(seed).permutation(coefficients) % BITS


@cache
def _waves() -> FloatArray:
    """float32 [2, 32]: the first two cosines along a tile's side, of unit length."""
    angles = np.pi * (2 * np.arange(TILE) + 1)[None] * np.arange(1, 3)[:, None] / (2 * TILE)
    return np.asarray(np.cos(angles) * np.sqrt(2 / TILE), np.float32)


def _bits(payload: int) -> npt.NDArray[np.uint8]:
    check = binascii.crc_hqx(payload.to_bytes(4, "big"), 0xFFFF)
    return np.unpackbits(np.frombuffer(payload.to_bytes(4, "big") + check.to_bytes(2, "big"), np.uint8))


def _coefficients(luma: npt.NDArray[np.uint8]) -> FloatArray:
    """float32 [tiles, 4]: those of `FREQUENCIES`, of each whole tile of `luma` [H, W].

    First along the rows, then down the columns: no tile is gathered from its rows, which would take longer than both.
    """
    rows, columns = luma.shape[0] // TILE, luma.shape[1] // TILE
    along = luma[: rows * TILE, : columns * TILE].astype(np.float32).reshape(-1, TILE) @ _waves().T
    both = (_waves() @ along.reshape(rows, TILE, columns * 2)).reshape(rows, 2, columns, 2)
    return np.stack([both[:, down - 1, :, across - 1] for down, across in FREQUENCIES], axis=-1).reshape(-1, 4)


def _picture(coefficients: FloatArray, rows: int, columns: int) -> FloatArray:
    """float32 [rows · 32, columns · 32]: what adds `coefficients` [tiles, 4] to a luma."""
    both = np.empty((rows, 2, columns, 2), np.float32)
    for place, (down, across) in enumerate(FREQUENCIES):
        both[:, down - 1, :, across - 1] = coefficients[:, place].reshape(rows, columns)
    along = (both.reshape(-1, 2) @ _waves()).reshape(rows, 2, columns * TILE)
    return (_waves().T @ along).reshape(rows * TILE, columns * TILE)


def embed(frame: BgrFrame, payload: int, key: bytes) -> None:
    """Put `payload` (32 bits) into `frame`, uint8 [H, W, 3] BGR, in place.

    Raises:
        PictureTooSmall: the frame has fewer than 48 tiles of 32 pixels.
    """
    height, width = frame.shape[:2]
    rows, columns = height // TILE, width // TILE
    if rows * columns < LEAST_TILES:
        raise PictureTooSmall(
            f"Expected a frame of at least {LEAST_TILES} tiles of {TILE} pixels, which the watermark needs; received "
            f"{width}×{height}. Send a larger one."
        )
    np.clip(frame, HEADROOM, 255 - HEADROOM, out=frame)
    found = _coefficients(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
    wanted = _bits(payload)[_layout(found.size, key)].reshape(found.shape).astype(np.float32)
    moved = STEP * (2 * np.round((found / STEP - wanted) / 2) + wanted)
    change = _picture(np.asarray(moved - found, np.float32), rows, columns)
    region = frame[: rows * TILE, : columns * TILE]
    # The same change to all three channels moves the luma by just that.
    steps = cv2.convertScaleAbs(change, alpha=1, beta=MIDDLE)
    cv2.add(region, cv2.cvtColor(cv2.subtract(steps, MIDDLE), cv2.COLOR_GRAY2BGR), dst=region)
    cv2.subtract(region, cv2.cvtColor(cv2.subtract(MIDDLE, steps), cv2.COLOR_GRAY2BGR), dst=region)


def read(frame: BgrFrame, key: bytes) -> int | None:
    """The payload that `frame`, uint8 [H, W, 3] BGR, carries; None when it carries none that its CRC confirms.

    A picture that was rescaled is tried at the usual frame widths and at simple multiples of its own too.
    """
    height, width = frame.shape[:2]
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    for wide in dict.fromkeys((width, *WIDTHS, *(round(width * ratio) for ratio in RATIOS))):
        tall = round(height * wide / width)
        if max(wide, tall) > max(LARGEST_WIDTH, width, height) or (wide // TILE) * (tall // TILE) < LEAST_TILES:
            continue
        scaled = grey if wide == width else cv2.resize(grey, (wide, tall), interpolation=cv2.INTER_CUBIC)
        payload = _read_at(scaled, key)
        if payload is not None:
            return payload
    return None


def _read_at(luma: npt.NDArray[np.uint8], key: bytes) -> int | None:
    found = _coefficients(luma).ravel() / STEP
    bit, vote = _layout(found.size, key), np.cos(np.pi * found)
    votes = np.bincount(bit, vote, BITS)
    by_chance = np.sqrt(np.bincount(bit, vote**2, BITS))
    read = votes < 0
    payload = int.from_bytes(np.packbits(read).tobytes()[:4], "big")
    if not np.array_equal(_bits(payload), read.astype(np.uint8)):
        return None
    return payload if (votes / by_chance).std() > LEAST_AGREEMENT else None
