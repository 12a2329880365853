"""The prediction service asked for a frame without page and relay between: what a page ought to show."""

from __future__ import annotations

import json
import struct
import urllib.request
from typing import Any

import cv2

from tests.browser.canvas import Picture, decode
from tests.browser.services import Services


def swap(services: Services, camera: Picture, **options: Any) -> Picture:
    """What it makes of one frame."""
    head = json.dumps({"options": options}).encode()
    body = struct.pack("<I", len(head)) + head + bytes(cv2.imencode(".jpg", camera)[1])
    request = urllib.request.Request(  # noqa: S310 - http
        f"{services.prediction.address}/v1/projects/p/locations/l/endpoints/e:rawPredict",
        body,
        {"Content-Type": "application/x-faceswap"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        reply = answer.read()
    (length,) = struct.unpack_from("<I", reply)
    return decode(reply[4 + length :])
