"""Sessions against a prediction service: frames at a camera's rate, one under way, a late frame replaced by a newer.

That is what the relay sends, without the relay: what scales here is the prediction tier.
"""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from prediction_model.serving.http import FRAME, join_frame, split_frame

PATH = "/v1/projects/faceswap/locations/local/endpoints/live:rawPredict"
TIMEOUT_SECONDS = 30.0


@dataclass
class Measured:
    """Of all sessions of one load, after the warm-up."""

    seconds: float
    milliseconds: list[float] = field(default_factory=list)
    """From sending a frame to its swap; one for each frame that was answered with one."""
    turned_away: int = 0
    """Answered 503: no room."""
    failed: int = 0
    """Everything else."""
    out_bytes: int = 0
    """Of the pictures that came back."""

    @property
    def fps(self) -> float:
        return len(self.milliseconds) / self.seconds

    def percentile(self, percent: int) -> float:
        if len(self.milliseconds) < 2:
            return float("inf")
        return statistics.quantiles(self.milliseconds, n=100)[percent - 1]


def play(
    port: int, frames: Sequence[bytes], sessions: int, fps: float, seconds: float, warm_up: float = 1.0
) -> Measured:
    """Play `sessions` of `fps` frames a second against the service on `port` of this machine, for `seconds`."""
    measured = Measured(seconds)
    lock = threading.Lock()
    begins = time.perf_counter() + warm_up
    threads = [
        threading.Thread(target=_play_one, args=(port, frames, number / sessions / fps, fps, begins, measured, lock))
        for number in range(sessions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return measured


def _play_one(
    port: int,
    frames: Sequence[bytes],
    offset: float,
    fps: float,
    begins: float,
    measured: Measured,
    lock: threading.Lock,
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    number, track, due = 0, None, time.perf_counter() + offset
    while (now := time.perf_counter()) < begins + measured.seconds:
        time.sleep(max(0.0, due - now))
        due = max(due + 1 / fps, time.perf_counter())
        instance = {"track": track, "captured_us": int(time.monotonic() * 1e6), "options": {"identity": "p1"}}
        sent = time.perf_counter()
        status, body = _exchange(connection, join_frame(instance, frames[number % len(frames)]))
        took = (time.perf_counter() - sent) * 1e3
        number += 1
        swapped, picture = False, b""
        if status == 200:
            answer, picture = split_frame(body)
            track, swapped = answer["track"], answer["swapped"]
        if sent >= begins:
            with lock:
                if swapped:
                    measured.milliseconds.append(took)
                    measured.out_bytes += len(picture)
                elif status == http.HTTPStatus.SERVICE_UNAVAILABLE:
                    measured.turned_away += 1
                else:
                    measured.failed += 1
    connection.close()


def _exchange(connection: http.client.HTTPConnection, body: bytes) -> tuple[int, bytes]:
    """Status and body; status 0 where the connection broke."""
    try:
        connection.request("POST", PATH, body, {"Content-Type": FRAME})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return 0, b""
