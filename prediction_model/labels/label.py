"""Both labels, on every frame that leaves: the badge that people see and the watermark that programs read."""

from __future__ import annotations

from prediction_model.labels.badge import put_badge
from prediction_model.labels.watermark import embed
from prediction_model.types import BgrFrame


def put_labels(frame: BgrFrame, payload: int, key: bytes) -> BgrFrame:
    """`frame`, uint8 [H, W, 3] BGR, labelled in place.

    Args:
        payload: 32 bits for the watermark: the session's.
        key: the watermark's.

    Raises:
        PictureTooSmall: it cannot carry the labels, so it must not be sent.
    """
    put_badge(frame)
    embed(frame, payload, key)
    return frame
