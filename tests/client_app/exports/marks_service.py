"""The prediction service's `POST /v1/marks:read` (docs/architecture.md), with the project's own watermark and tokens.

python marks_service.py PORT; the keys come from the environment. It reads pictures, and the first frame of a film.
"""

from __future__ import annotations

import io
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import cv2
import numpy as np

from prediction_model import settings
from prediction_model.errors import BadToken
from prediction_model.labels import watermark
from prediction_model.tokens import TokenVerifier
from prediction_model.types import BgrFrame

SETTINGS = settings.load()
VERIFIER = TokenVerifier(SETTINGS.verify_key)


def first_frame(body: bytes, media: str) -> BgrFrame | None:
    if media == "video/mp4":
        with av.open(io.BytesIO(body), "r") as film:
            return np.asarray(next(film.decode(video=0)).to_ndarray(format="bgr24"), np.uint8)
    picture = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    return None if picture is None else np.asarray(picture, np.uint8)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            VERIFIER.operator(self.headers.get("Authorization", "").removeprefix("Bearer "))
        except BadToken as error:
            return self.reply(401, {"error": {"code": 401, "type": "bad_token", "message": str(error)}})
        frame = first_frame(body, self.headers["Content-Type"])
        if frame is None:
            message = "Expected a picture; this cannot be read."
            return self.reply(400, {"error": {"code": 400, "type": "unreadable_image", "message": message}})
        payload = watermark.read(frame, SETTINGS.watermark_key_bytes)
        marks = [] if payload is None else [{"payload": f"{payload:08x}", "frames": 1}]
        self.reply(200, {"frames": 1, "marks": marks})

    def reply(self, status: int, fields: dict[str, object]) -> None:
        body = json.dumps(fields).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
