"""One request through a WSGI application, for servers of other kinds: Vertex AI's and Ray Serve's are asyncio.

What they serve is then the very application that `python -m prediction_model serve` serves: routes, errors, limits.
https://peps.python.org/pep-3333/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

WsgiApp = Callable[[dict[str, Any], Callable[[str, list[tuple[str, str]]], Any]], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers as the application gave them, and body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def call(app: WsgiApp, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Have `app` answer one request. Blocks: call it in a thread."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
        "CONTENT_TYPE": next((value for name, value in headers.items() if name.lower() == "content-type"), ""),
        # Of what was read, whatever the client said: a chunked body has been put together by now.
        "CONTENT_LENGTH": str(len(body)),
    }
    started: list[tuple[int, list[tuple[str, str]]]] = []

    def start_response(status: str, fields: list[tuple[str, str]]) -> None:
        started.append((int(status.partition(" ")[0]), fields))

    content = b"".join(app(environ, start_response))
    ((status, fields),) = started
    return Answer(status, fields, content)
