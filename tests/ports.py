"""Where a test's own servers listen."""

from __future__ import annotations

import itertools
import random
import socket
from collections.abc import Iterator
from pathlib import Path

FIRST, LAST = 20_000, 32_767
KERNELS_OWN = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""Of these the kernel gives one to every socket that connects, or that listens on port 0."""


def _candidates() -> Iterator[int]:
    """Over and over from a port by chance, so that two runs of the tests do not walk in step."""
    last = min(LAST, int(KERNELS_OWN.read_text().split()[0]) - 1) if KERNELS_OWN.exists() else LAST
    ports = list(range(FIRST, last + 1)) or [0]
    start = random.randrange(len(ports))  # noqa: S311
    return itertools.cycle(ports[start:] + ports[:start])


_next = _candidates()


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on, another at each call.

    It stays free until its server starts, and while that is restarted: none of the kernel's own is among them.
    """
    for port in itertools.islice(_next, LAST - FIRST):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise AssertionError(f"no port is free between {FIRST} and {LAST}")
