"""The WebSocket server: `gunicorn -b 127.0.0.1:8001 -k flask_sockets.worker main:app`. Wiring only."""

from __future__ import annotations

import logging

from flask import Flask, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST

import settings
from connection import Connection
from relay import Relay
from sockets import Sockets

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

app = Flask(__name__, static_folder=None)
relay = Relay(settings.load())
sockets = Sockets(
    app,
    relay.settings.origins,
    relay.connection_limits,
    relay.settings.request_seconds,
    relay.settings.connections_per_address,
    relay.settings.trusted_proxies,
)
sockets.on_start(relay.start)
sockets.on_stop(relay.stop)


@sockets.route("/websocket")
def websocket(connection: Connection) -> None:
    """The stream; see `session`."""
    relay.serve(connection)


@app.get("/healthz")
def healthz() -> Response:
    """The process lives, whatever the prediction tier does."""
    return jsonify(status="ok")


@app.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Whether a new session would be served, and how much room there is."""
    return jsonify(relay.capacity()), 200 if relay.ready else 503


@app.get("/metrics")
def metrics() -> Response:
    """Prometheus' text format."""
    return Response(relay.metrics.exposition(), content_type=CONTENT_TYPE_LATEST)
