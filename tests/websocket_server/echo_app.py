"""An echo over the relay's sockets, for the conformance tests: `ECHO_MESSAGE_BYTES` is the limit of a message."""

from __future__ import annotations

import os

from flask import Flask

from connection import Connection, ConnectionLimits
from errors import RelayError
from sockets import Sockets

app = Flask(__name__, static_folder=None)
sockets = Sockets(app, limits=ConnectionLimits(message_bytes=int(os.environ["ECHO_MESSAGE_BYTES"])))


@sockets.route("/")
def echo(connection: Connection) -> None:
    """Send every message back until the connection ends; a violation closes with its code."""
    try:
        while True:
            connection.send(connection.receive())
    except RelayError as error:
        if error.close_code is not None:
            connection.close(error.close_code, str(error))
    finally:
        connection.finish()
