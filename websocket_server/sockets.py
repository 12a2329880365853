"""Flask-Sockets, made to work on Flask 3 and safe to put on the open internet.

flask-sockets 0.2.1 writes its rules without `websocket=True`, so that on Werkzeug ≥ 1 every WebSocket ends in
`WebsocketMismatch`; gevent-websocket neither checks the Origin nor bounds anything. Importing this module puts a
handler, a server and a connection of ours into `flask_sockets.worker`, the class that gunicorn is told to use:

    gunicorn -b 127.0.0.1:8001 -k flask_sockets.worker main:app

The worker makes one `RelayServer`, which makes one `RelayHandler` for each TCP connection, which makes one
`Connection` for each upgrade and calls the Flask app; `SocketMiddleware` then finds the function of the route.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any, TypeAlias

import flask_sockets  # type: ignore[import-untyped]
import geventwebsocket.handler  # type: ignore[import-untyped]
from flask import Flask
from gevent import Timeout
from gunicorn.workers.ggevent import PyWSGIServer  # type: ignore[import-untyped,unused-ignore]
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import Rule
from werkzeug.routing.exceptions import WebsocketMismatch
from werkzeug.wrappers import Response

from addresses import client_address, is_of
from connection import Connection, ConnectionLimits
from settings import Network

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
SocketFunction: TypeAlias = Callable[[Connection], None]
Hook: TypeAlias = Callable[[], None]

EXTENSION = "sockets"
WEBSOCKET_VERSION = "13"
KEY_BYTES = 16
DEFAULT_REQUEST_SECONDS = 5.0
DEFAULT_CONNECTIONS_PER_ADDRESS = 40
RECEIVE_BYTES = 64 * 1024
"""Buffer of one connection: a frame of the usual size is received in one system call, and not in one for each 8 KiB."""


class SocketMiddleware(flask_sockets.SocketMiddleware):  # type: ignore[misc]
    """Calls a route's function with its connection; a plain request to such a route is told to upgrade (426).

    Outside a request context, unlike flask-sockets: Flask's keeps the 404 that its own routes make of the request, with
    a traceback that leads back to it. That circle would hold each session's buffers until the collector comes.
    """

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        adapter = self.ws.url_map.bind_to_environ(environ)
        try:
            function, values = adapter.match()
        except NotFound:
            return self.wsgi_app(environ, start_response)  # type: ignore[no-any-return]
        except WebsocketMismatch:
            return _plain(HTTPStatus.UPGRADE_REQUIRED, "Expected a WebSocket; received a plain request.")(
                environ, start_response
            )
        except HTTPException as error:
            return error(environ, start_response)
        connection: Connection | None = environ.get("wsgi.websocket")
        if connection is None:
            refusal = _plain(HTTPStatus.BAD_REQUEST, "Expected a WebSocket upgrade by GET over HTTP/1.1.")
            return refusal(environ, start_response)
        function(connection, **values)
        return []


class Sockets(flask_sockets.Sockets):  # type: ignore[misc]
    """WebSocket routes of a Flask app.

    Arguments:
        app: the Flask app.
        origins: origins whose pages may connect; `*` lets any. A client that sends no Origin is no browser, and passes.
        limits: bounds of each connection.
        request_seconds: time in which a client must have sent its HTTP request.
        connections_per_address: most TCP connections of one address (IPv6: one /64), upgraded or not; one more is
            closed at once. A worker has places for `worker_connections`, and half a request takes one for
            `request_seconds`.
        trusted_proxies: networks whose connections are not counted: they stand for many addresses.
    """

    def __init__(
        self,
        app: Flask,
        origins: Iterable[str] = ("*",),
        limits: ConnectionLimits | None = None,
        request_seconds: float = DEFAULT_REQUEST_SECONDS,
        connections_per_address: int = DEFAULT_CONNECTIONS_PER_ADDRESS,
        trusted_proxies: Sequence[Network] = (),
    ) -> None:
        self.origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        self.limits = limits or ConnectionLimits()
        self.request_seconds = request_seconds
        self.connections_per_address = connections_per_address
        self.trusted_proxies = trusted_proxies
        self.draining = False
        self._on_start: list[Hook] = []
        self._on_stop: list[Hook] = []
        super().__init__(app)

    def init_app(self, app: Flask) -> None:
        """Put the middleware before the app's own routes."""
        app.wsgi_app = SocketMiddleware(app.wsgi_app, app, self)  # type: ignore[method-assign]
        app.extensions[EXTENSION] = self

    def route(self, rule: str, **options: Any) -> Callable[[SocketFunction], SocketFunction]:
        """Serve `rule` by the decorated function, which is called with the connection."""

        def decorator(function: SocketFunction) -> SocketFunction:
            self.add_url_rule(rule, None, function, **options)
            return function

        return decorator

    def add_url_rule(self, rule: str, _: str | None, f: SocketFunction, **options: Any) -> None:
        """As flask-sockets', with `websocket=True`."""
        self.url_map.add(Rule(rule, endpoint=f, websocket=True, **options))

    def register_blueprint(self, blueprint: Any, **options: Any) -> None:
        """flask-sockets' own cannot work on Flask ≥ 2; nothing here needs one."""
        raise NotImplementedError("Expected routes on the Sockets object itself; blueprints are not supported.")

    def on_start(self, hook: Hook) -> Hook:
        """Call `hook` in the worker process, once it serves."""
        self._on_start.append(hook)
        return hook

    def on_stop(self, hook: Hook) -> Hook:
        """Call `hook` when the worker has been told to stop, after it has stopped listening."""
        self._on_stop.append(hook)
        return hook

    def start(self) -> None:
        """Called by the server of the worker."""
        for hook in self._on_start:
            hook()

    def stop(self) -> None:
        """Called by the server of the worker, more than once where it is closed more than once."""
        if self.draining:
            return
        self.draining = True
        for hook in self._on_stop:
            hook()

    def refusal(self, environ: Environ) -> Response | None:
        """Why this request may not be upgraded, as the response that says so; None where it may. RFC 6455, 4.2."""
        try:
            self.url_map.bind_to_environ(environ).match()
        except HTTPException:
            return None  # not a WebSocket route: the app answers, 404 as a rule
        if self.draining:
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE, "The server is stopping; connect again.")
        if environ.get("HTTP_SEC_WEBSOCKET_VERSION") != WEBSOCKET_VERSION:
            return _plain(HTTPStatus.UPGRADE_REQUIRED, f"Expected version {WEBSOCKET_VERSION} of WebSocket.")
        if not _is_key(environ.get("HTTP_SEC_WEBSOCKET_KEY", "")):
            return _plain(HTTPStatus.BAD_REQUEST, f"Expected a Sec-WebSocket-Key of {KEY_BYTES} bytes in base64.")
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and "*" not in self.origins and origin.lower() not in self.origins:
            return _plain(HTTPStatus.FORBIDDEN, "Expected an origin of FACESWAP_ORIGINS; received another.")
        return None


class RelayHandler(geventwebsocket.handler.WebSocketHandler):  # type: ignore[misc]
    """One TCP connection: requests in bounded time, upgrades only where `Sockets.refusal` has nothing against it."""

    _request_timeout: Timeout | None = None

    def __init__(self, client_socket: Any, address: Any, server: Any) -> None:
        super().__init__(client_socket, address, server)
        client_socket.settimeout(self._sockets.request_seconds)  # an answer, too, is taken in time
        self.rfile = client_socket.makefile("rb", RECEIVE_BYTES)

    @property
    def _sockets(self) -> Sockets:
        sockets: Sockets = self.server.sockets
        return sockets

    def handle(self) -> None:
        """Peers that break off, or do not take what they are told, are none of the log's business."""
        with contextlib.suppress(OSError):
            super().handle()

    def handle_error(self, t: Any, v: Any, tb: Any) -> None:
        """As `handle`. What the app raises, Flask has answered already: this is what went wrong with the answer."""
        if issubclass(t, OSError):
            self.close_connection = True
        else:
            super().handle_error(t, v, tb)

    def handle_one_request(self) -> Any:
        try:
            return super().handle_one_request()
        finally:
            self._end_request_timeout()

    def read_requestline(self) -> str:
        # Covers the pause before a request too: a kept-alive connection that stays silent is closed.
        seconds = self._sockets.request_seconds
        self._request_timeout = Timeout.start_new(seconds, TimeoutError("request not sent in time"))
        line: str = super().read_requestline()
        return line

    def read_request(self, raw_requestline: str) -> Any:
        try:
            valid = super().read_request(raw_requestline)
        except (
            LookupError,
            OSError,
        ):  # a version without a dot, or the end: only for a ValueError there is no traceback
            raise ValueError("expected a whole request in HTTP") from None
        self._end_request_timeout()
        # What werkzeug makes of it to find the route; there, a host that is none would end in a traceback.
        ",".join(self.headers.get_all("Host", [])).partition(":")[0].lower().encode("idna")
        if self.content_length or "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            raise ValueError("expected a request without a body")
        return valid

    def _end_request_timeout(self) -> None:
        if self._request_timeout is not None:
            self._request_timeout.close()
            self._request_timeout = None

    def upgrade_websocket(self) -> Any:
        if self._wants_websocket():
            refusal = self._sockets.refusal(self.environ)
            if refusal is not None:
                self.close_connection = True
                return refusal(self.environ, self.start_response)
            if self._is_socket_route():
                self.environ["faceswap.connection_limits"] = self._sockets.limits
                self.socket.settimeout(None)  # its limits are those of `Connection`
                return self.upgrade_connection()
        if self._sockets.draining:
            self.close_connection = True
        return None

    def _wants_websocket(self) -> bool:
        tokens = {token.strip() for token in self.environ.get("HTTP_CONNECTION", "").lower().split(",")}
        return (
            self.environ["REQUEST_METHOD"] == "GET"
            and self.request_version == "HTTP/1.1"
            and "upgrade" in tokens
            and self.environ.get("HTTP_UPGRADE", "").strip().lower() == "websocket"
        )

    def _is_socket_route(self) -> bool:
        try:
            self._sockets.url_map.bind_to_environ(self.environ).match()
        except HTTPException:
            return False
        return True

    def log_request(self) -> None:
        """Nothing: a session is counted in /metrics, and an address belongs in no log."""

    def log_error(self, msg: str, *args: Any) -> None:
        """Nothing: a request that is none would write address and bytes of its own choice there, without end."""


class RelayServer(PyWSGIServer):  # type: ignore[misc]
    """The server of one worker. gunicorn closes it on SIGTERM, then waits for its connections to end: so end them."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._connections: Counter[str] = Counter()

    @property
    def sockets(self) -> Sockets:
        """Of the app that it serves."""
        sockets: Sockets = self.application.extensions[EXTENSION]
        return sockets

    def do_handle(self, client_socket: Any, address: Any) -> None:
        """Called for every connection that is accepted: see `Sockets.connections_per_address`."""
        place = self._place(address)
        self._connections[place] += 1
        if place and self._connections[place] > self.sockets.connections_per_address:
            self.do_close(client_socket, address)
        else:
            super().do_handle(client_socket, address)

    def do_close(self, client_socket: Any, address: Any) -> None:
        """Called once for every connection, when it is over."""
        super().do_close(client_socket, address)
        place = self._place(address)
        self._connections[place] -= 1
        if not self._connections[place]:
            del self._connections[place]

    def _place(self, address: Any) -> str:
        """What a connection is counted by; "" where it is not: of a trusted proxy, or over a Unix socket."""
        if not isinstance(address, tuple) or is_of(address[0], self.sockets.trusted_proxies):
            return ""
        return client_address(address[0], "", ())

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> None:
        """TLS: gevent's own waits for the handshake for ever, and prints a traceback where it fails."""
        try:
            with Timeout(self.sockets.request_seconds, TimeoutError("TLS handshake not done in time")):
                secured = self.wrap_socket(client_socket, **self.ssl_args)
        except OSError:
            client_socket.close()
            return
        with contextlib.closing(secured):
            self.handle(secured, address)

    def start(self) -> None:
        super().start()
        self.sockets.start()

    def close(self) -> None:
        super().close()
        self.sockets.stop()


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text.strip(), validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def _plain(status: HTTPStatus, sentence: str) -> Response:
    response = Response(sentence + "\n", status=status, mimetype="text/plain")
    if status is HTTPStatus.UPGRADE_REQUIRED:
        response.headers["Upgrade"] = "websocket"
        response.headers["Connection"] = "Upgrade"
        response.headers["Sec-WebSocket-Version"] = WEBSOCKET_VERSION
    return response


geventwebsocket.handler.WebSocket = Connection
flask_sockets.worker.wsgi_handler = RelayHandler
flask_sockets.worker.server_class = RelayServer
