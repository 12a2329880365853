"""A prediction service for the relay's tests: its contract over real HTTP, in a process of its own, and faults on
demand.

`python prediction_server.py PORT`. `POST /control` with `{"mode": …, "seconds": …}` changes how it answers: in mode
`says`, with the text of `metadata` before the picture; in mode `status`, with the number of `status`. `GET /seen` tells
how many frames it was sent, and the last one's instance and trace. No model: a swap is the JPEG with `SWAPPED`
behind it.
"""

from __future__ import annotations

import json
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SWAPPED = b"swapped"
CONTENT_TYPE = "application/x-faceswap"
JPEG_MAGIC = b"\xff\xd8"
PICTURE_MAGIC = (JPEG_MAGIC, b"\x89PNG", b"RIFF")

state: dict[str, Any] = {"mode": "ok", "seconds": 0.0, "metadata": "", "status": 500}
seen: dict[str, Any] = {"frames": 0, "instance": None, "traceparent": None, "together": 0, "most_together": 0}
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(6, 1, 1)  # TCP_NODELAY

    def log_message(self, *arguments: object) -> None:
        pass

    def answer(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fail(self, status: int, type_: str, message: str) -> None:
        error = {"code": status, "status": "INVALID_ARGUMENT", "type": type_, "message": message}
        self.answer(status, json.dumps({"error": error}).encode())

    def do_GET(self) -> None:
        if self.path == "/readyz":
            self.tell_ready()
        elif self.path == "/seen":
            self.answer(200, json.dumps(seen).encode())
        else:
            self.answer(404, b"{}")

    def tell_ready(self) -> None:
        if state["mode"] == "drips":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            while state["mode"] == "drips":
                self.wfile.write(b"x")
                time.sleep(0.1)
        elif state["mode"] == "long length":
            self.answer_with_long_length()
        else:
            self.answer(503 if state["mode"] == "not ready" else 200, b"{}")

    def answer_with_long_length(self) -> None:
        """A number that Python does not read."""
        self.send_response(200)
        self.send_header("Content-Length", "9" * 5000)
        self.end_headers()
        self.close_connection = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/control":
            state.update(json.loads(body))
            self.answer(200, b"{}")
        elif self.path == "/v1/projects/faceswap/locations/local/endpoints/live:rawPredict":
            self.predict(body)
        else:
            self.fail(404, "not_found", "Expected the endpoint `live`.")

    def predict(self, body: bytes) -> None:
        (length,) = struct.unpack_from("<I", body)
        instance, image = json.loads(body[4 : 4 + length]), body[4 + length :]
        seen.update(frames=seen["frames"] + 1, instance=instance, traceparent=self.headers["traceparent"])
        with lock:
            seen["together"] += 1
            seen["most_together"] = max(seen["most_together"], seen["together"])
        time.sleep(state["seconds"])
        with lock:
            seen["together"] -= 1
        mode = state["mode"]
        if mode == "fail":
            self.fail(500, "internal", "The model broke.")
        elif mode == "forbid":
            self.fail(403, "identity_refused", "The consent of this identity does not hold.")
        elif mode == "garbage":
            self.answer(200, b"\xff\xff\xff\xff{", CONTENT_TYPE)
        elif mode == "status":
            self.fail(state["status"], "odd", "Half a pair: \ud800.")
        elif mode == "says":
            head = state["metadata"].encode()
            self.answer(200, struct.pack("<I", len(head)) + head + image + SWAPPED, CONTENT_TYPE)
        elif mode == "no picture":
            head = b'{"swapped": true}'
            self.answer(200, struct.pack("<I", len(head)) + head + b"<html>not a JPEG</html>", CONTENT_TYPE)
        elif mode == "twice":
            head = b'{"swapped": true}'
            body = struct.pack("<I", len(head)) + head + image + SWAPPED
            text = f"HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
            # In one piece, so that the second, for which nobody asked, lies there when the first is taken.
            self.wfile.write(2 * (text.encode() + body))
        elif mode == "long length":
            self.answer_with_long_length()
        elif mode == "unlabelled":
            self.answer(200, image, "image/jpeg")
        elif mode == "cut short":
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"\x02\x00\x00\x00{}")
            self.close_connection = True
        elif not image.startswith(PICTURE_MAGIC):
            self.fail(400, "unreadable_picture", f"Expected a JPEG, PNG or WebP picture; received {len(image)} bytes.")
        else:
            metadata = {
                "faces": [{"box": [1, 2, 3, 4], "confidence": 0.9, "number": 1}],
                "swapped": mode != "hold",
                "track": {"frame": seen["frames"]},
                "timings_ms": {"decode": 1.0, "swap": 2.0},
            }
            head = json.dumps(metadata).encode()
            jpeg = image if image.startswith(JPEG_MAGIC) else JPEG_MAGIC + image
            self.answer(
                200, struct.pack("<I", len(head)) + head + (b"" if mode == "hold" else jpeg + SWAPPED), CONTENT_TYPE
            )


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
