"""A bad network: 100 ms there and back, 2 % of the segments lost, 1 Mb/s each way; frames go on, and none gets old."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from protocol import CreditWindow, Flag
from tests.websocket_server.bad_network import BadNetwork, Line
from tests.websocket_server.page import JPEG, Page, Signer
from tests.websocket_server.servers import PredictionServer, RelayServer

pytestmark = pytest.mark.slow

LINE = Line(seconds=0.05, bytes_per_second=1e6 / 8, loss=0.02, resend_seconds=0.15)
FRAME_BYTES = 20_000
SLOW_SECONDS, SHRINK_EVERY_SECONDS, SHRINK, LEAST = 0.22, 1.0, 0.7, 0.25
"""As the page's `adaptation.js` does it: where frames take longer, they are made smaller, step by step."""
SETTLING_SECONDS, COUNTED_SECONDS = 4.0, 6.0
LEAST_FRAMES_A_SECOND = 5.0
OLDEST_SECONDS = 1.5


def stream(page: Page, credits: CreditWindow, adapts: bool) -> list[tuple[float, float]]:
    """Send frames while there is credit; when each result was drawn, and how old its frame then was, in seconds."""
    sent: dict[int, float] = {}
    drawn: list[tuple[float, float]] = []
    share, delay, shrunk = 1.0, 0.0, time.monotonic()
    ends = shrunk + SETTLING_SECONDS + COUNTED_SECONDS
    while (now := time.monotonic()) < ends:
        while credits.may_send:
            sequence = page.send(JPEG + os.urandom(int(FRAME_BYTES * share) - len(JPEG)))
            sent[sequence] = time.monotonic()
            credits.send(sequence)
        result = page.result()
        if credits.acknowledge(result.sequence) and Flag.SWAPPED in result.flags:
            age = time.monotonic() - sent[result.sequence]
            drawn.append((time.monotonic(), age))
            delay += 0.15 * (age - delay)
        if adapts and delay > SLOW_SECONDS and now - shrunk > SHRINK_EVERY_SECONDS:
            share, shrunk = max(LEAST, share * SHRINK), now
    return [each for each in drawn if each[0] > ends - COUNTED_SECONDS]


@pytest.mark.parametrize("adapts", [True, False], ids=["a page that adapts", "frames of 20 kB"])
def test_11_frames_cross_a_bad_network(
    start_relay: Callable[..., RelayServer], predictor: PredictionServer, signer: Signer, adapts: bool
) -> None:
    relay = start_relay(predictor)
    with BadNetwork(relay.port, LINE) as network, Page(f"ws://127.0.0.1:{network.port}/websocket") as page:
        drawn = stream(page, CreditWindow(page.begin(signer.token())["window"]), adapts)
    ages = sorted(age for _, age in drawn)
    print(len(drawn) / COUNTED_SECONDS, "frames/s; age p50, p95:", ages[len(ages) // 2], ages[len(ages) * 95 // 100])
    if adapts:
        assert len(drawn) >= LEAST_FRAMES_A_SECOND * COUNTED_SECONDS
    assert ages[len(ages) * 95 // 100] < OLDEST_SECONDS
    assert relay.metric('faceswap_relay_errors_total{code="slow_reader"}') == 0
