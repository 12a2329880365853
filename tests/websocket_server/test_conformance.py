"""RFC 6455 by Autobahn's own cases, run by kosoku against an echo over the relay's sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kosoku
import pytest

from tests.websocket_server.conftest import HERE
from tests.websocket_server.servers import RELAY_FOLDER, RelayServer, run_apart

pytestmark = pytest.mark.slow

CASES = 301
"""247 on the protocol, 54 on performance (9.*); 12.* and 13.* are about permessage-deflate, which is off by design."""
CONFORMING = ("OK", "NON-STRICT", "INFORMATIONAL")
MIB = 1 << 20


def run_cases(address: str, include: list[str] | None = None) -> list[Any]:
    """The result of each case, whether it passed or not."""
    try:
        return list(run_apart(kosoku.run_fuzzingclient(address, include, ["12.*", "13.*"])))
    except kosoku.FailureError as failure:
        return list(failure.results)


@pytest.fixture
def start_echo(tmp_path: Path) -> Iterator[Callable[[int], str]]:
    """Start an echo that takes messages of so many bytes; its address."""
    started: list[RelayServer] = []

    def start(message_bytes: int) -> str:
        environment = {"ECHO_MESSAGE_BYTES": str(message_bytes), "PYTHONPATH": str(RELAY_FOLDER)}
        server = RelayServer(environment, tmp_path / "echo.log", "echo_app:app", HERE)
        started.append(server)
        server.start()
        return f"ws://127.0.0.1:{server.port}/"

    yield start
    for server in started:
        server.stop()


def test_every_case_conforms_with_messages_of_16_mib(start_echo: Callable[[int], str]) -> None:
    results = run_cases(start_echo(16 * MIB))
    assert len(results) == CASES
    failed = [
        (each.case_id, each.behavior.value, each.behavior_close.value)
        for each in results
        if each.behavior.value not in CONFORMING or each.behavior_close.value not in ("OK", "INFORMATIONAL")
    ]
    assert failed == []


def test_messages_above_1_mib_are_refused_with_1009(start_echo: Callable[[int], str]) -> None:
    # 9.1.4 and 9.2.4 send 4 MiB in one frame, 9.1.3 and 9.2.3 just 1 MiB.
    results = {each.case_id: each for each in run_cases(start_echo(MIB), ["9.1.*", "9.2.*"])}
    assert results["9.1.3"].behavior.value == results["9.2.3"].behavior.value == "OK"
    assert results["9.1.4"].remote_close_code == results["9.2.4"].remote_close_code == 1009
