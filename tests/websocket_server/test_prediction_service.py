"""The relay before the real `python -m prediction_model serve`, with frames of a committed wearer."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from protocol import Flag
from tests.ports import free_port
from tests.websocket_server.page import Page, Signer
from tests.websocket_server.servers import Process, RelayServer, get, wait_until

pytestmark = pytest.mark.slow

FRAMES = 12


class PredictionService(Process):
    """Two workers, so that one can be killed."""

    def __init__(self, signer: Signer, log: Path, root: Path) -> None:
        port = free_port()
        command = [sys.executable, "-m", "prediction_model", "serve", "--port", str(port), "--workers", "2"]
        super().__init__(command, port, root, {"FACESWAP_VERIFY_KEY": signer.verify_key}, log)

    @property
    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
        return [int(each) for each in children]


@pytest.fixture(scope="module")
def service(signer: Signer, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PredictionService]:
    for package in ("cv2", "av", "ai_edge_litert"):
        pytest.importorskip(package, reason=f"the prediction service needs {package}")
    service = PredictionService(signer, tmp_path_factory.mktemp("prediction") / "prediction.log", root)
    service.start()
    wait_until(lambda: get(f"{service.url}/readyz")[0] == 200, 60, "the prediction service")
    yield service
    service.stop()


@pytest.fixture(scope="module")
def pictures(wearers: Path) -> list[bytes]:
    """The first frames of a wearer, as a page would send them."""
    import av
    import cv2

    with av.open(str(wearers / "w1.mp4")) as clip:
        frames: list[Any] = [frame.to_ndarray(format="bgr24") for frame in islice(clip.decode(video=0), FRAMES)]
    return [cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames]


def test_a_wearer_is_swapped_through_both_services(
    start_relay: Callable[..., RelayServer], service: PredictionService, pictures: list[bytes], signer: Signer
) -> None:
    import cv2
    import numpy as np

    # The first frame of an identity loads it, which takes longer than a frame may.
    relay = start_relay(service, predict_seconds=20)
    with Page(relay.address) as page:
        page.begin(signer.token(), "p1")
        for picture in pictures:
            result = page.swap(picture)
            assert result.flags == Flag.SWAPPED
            assert result.metadata["faces"]
            swapped = cv2.imdecode(np.frombuffer(result.image, np.uint8), cv2.IMREAD_COLOR)
            assert swapped is not None
            assert swapped.shape == (480, 640, 3)
        assert page.swap(b"no picture").flags == Flag.HELD
        assert page.texts[-1]["code"].startswith("unreadable")
        assert page.swap(pictures[-1]).flags == Flag.SWAPPED


def test_a_killed_worker_costs_no_session(
    start_relay: Callable[..., RelayServer], service: PredictionService, pictures: list[bytes], signer: Signer
) -> None:
    relay = start_relay(service, predict_seconds=20)
    with Page(relay.address) as page:
        page.begin(signer.token(), "p1")
        for number, picture in enumerate(pictures):
            page.send(picture)
            if number == 4:
                time.sleep(0.005)
                os.kill(service.workers[0], signal.SIGKILL)  # mid-frame, or between two
            result = page.result()
            assert not result.image or result.flags & Flag.SWAPPED
        wait_until(lambda: page.swap(pictures[0]).flags == Flag.SWAPPED, 20, "a good frame")
    wait_until(lambda: len(service.workers) == 2, 20, "the worker's successor")
