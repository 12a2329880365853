"""The body of `rawPredict`, and what its answers mean: shared by every predictor that sends a frame as bytes.

`application/x-faceswap`: u32 length, little-endian, that many bytes of JSON (instance or answer, without its image),
then the picture.
"""

from __future__ import annotations

import struct

from errors import PredictionRefused, PredictionUnavailable
from messages import decode_json, encode_json
from predictors.base import Prediction, PredictionRequest, prediction_of

CONTENT_TYPE = "application/x-faceswap"
JSON_LENGTH = struct.Struct("<I")
MAX_TYPE_CHARACTERS = 64
MAX_MESSAGE_CHARACTERS = 300
MAX_METADATA_BYTES = 64 * 1024
"""Of an answer's JSON, whose largest part is the track, 14 kB: sessions keep it, and send it with the next frame."""
RETRYABLE_REFUSALS = (408, 429)


def raw_body(request: PredictionRequest) -> tuple[bytes, bytes, bytes]:
    """The body that carries `request`, in pieces: a picture is not copied before it must be."""
    instance = encode_json(request.instance()).encode()
    return JSON_LENGTH.pack(len(instance)), instance, request.image


def prediction_of_raw(content_type: str, body: bytes) -> Prediction:
    """The answer in a body of `content_type` (without parameters).

    Raises PredictionUnavailable for what is not an answer of the contract: it is not shown.
    """
    try:
        if content_type != CONTENT_TYPE:
            raise ValueError(f"expected {CONTENT_TYPE}")
        (length,) = JSON_LENGTH.unpack_from(body)
        start = JSON_LENGTH.size + length
        if start > len(body) or length > MAX_METADATA_BYTES:
            raise ValueError("the answer is shorter than it says, or tells more than a prediction has to tell")
        return prediction_of(decode_json(body[JSON_LENGTH.size : start].decode()), body[start:])
    except (ValueError, OverflowError, struct.error):
        raise PredictionUnavailable("The prediction service gave an answer that cannot be read.") from None


def refusal_of(status: int, answer: bytes) -> PredictionRefused | PredictionUnavailable:
    """What an answer that is not 200 means."""
    if not 400 <= status < 500 or status in RETRYABLE_REFUSALS:
        return PredictionUnavailable(f"The prediction service answered {status}.")
    type_, message = "refused", f"The prediction service answered {status}."
    try:
        error = decode_json(answer.decode())["error"]
        type_, message = str(error["type"])[:MAX_TYPE_CHARACTERS], str(error["message"])[:MAX_MESSAGE_CHARACTERS]
    except (ValueError, KeyError, TypeError):
        pass
    return PredictionRefused(type_, message, status)
