"""Coverage-guided fuzzing of what reads a page's messages: `python fuzz_protocol.py -max_total_time=60`.

It needs https://github.com/google/atheris. Anything but a documented error, `RelayError`, is a finding.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "websocket_server"))

with atheris.instrument_imports():
    from errors import RelayError
    from messages import decode_hello
    from pictures import picture_size
    from protocol import Stream, StreamLimits, decode

HELLO = '{"type":"hello","version":1,"token":"a.b.c","identity":"p1"}'


def fuzz(data: bytes) -> None:
    """One input, to everything that reads what a page sends."""
    picture_size(data)
    text = data.decode(errors="ignore")
    stream = Stream(StreamLimits(), 0)
    stream.receive(HELLO, 0)
    stream.accept(0, 60)
    for read in (
        lambda: decode(data),
        lambda: decode_hello(text),
        lambda: stream.receive(data, 1),
        lambda: stream.receive(text, 1),
    ):
        with contextlib.suppress(RelayError):
            read()


if __name__ == "__main__":
    atheris.Setup(sys.argv, fuzz)
    atheris.Fuzz()
