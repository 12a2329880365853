"""The relay: everything that its sessions share, and how it begins and stops."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import gevent
from gevent.pool import Group

from addresses import client_address
from connection import Connection, ConnectionLimits
from errors import GoingAway
from metrics import Metrics
from predictors import connect_all
from predictors.balancer import Balancer
from registry import Registry
from revocations import Revocations
from session import Session
from settings import Settings
from tokens import TokenVerifier

log = logging.getLogger("relay")


class Relay:
    """Serves sessions. One for each worker process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tokens = TokenVerifier(settings.verify_key)
        self.registry = Registry(settings)
        self.revocations = Revocations(self.tokens)
        self.balancer = Balancer(connect_all(settings), settings)
        self.metrics = Metrics()
        self.metrics.sessions.set_function(lambda: len(self.registry.sessions))
        self.greenlets = Group()
        """Those of all sessions."""
        self.metrics.greenlets.set_function(lambda: len(self.greenlets))
        self.metrics.watch_backends(self._backend_states)
        self.draining = False
        self._background: list[gevent.Greenlet[..., Any]] = []

    @property
    def connection_limits(self) -> ConnectionLimits:
        """The settings that bound a connection."""
        return ConnectionLimits(
            message_bytes=self.settings.message_bytes,
            ping_seconds=self.settings.ping_seconds,
            dead_seconds=self.settings.dead_seconds,
            slow_reader_seconds=self.settings.slow_reader_seconds,
            close_seconds=self.settings.close_seconds,
        )

    def serve(self, connection: Connection) -> None:
        """Serve one connection until it ends."""
        environ = connection.environ
        address = client_address(
            environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""), self.settings.trusted_proxies
        )
        Session(self, connection, address).run()

    def start(self) -> None:
        """Begin what goes on in the background: probes of the prediction servers and the feed of revocations."""
        if not self.tokens.has_key:
            log.error(
                "FACESWAP_VERIFY_KEY is not set: no session will be served. Run `python3 run.py` once to make keys."
            )
        for backend in self.balancer.backends:
            self._background.append(gevent.spawn(self.balancer.probe_forever, backend))
        if self.settings.client_url and self.tokens.has_key:
            self._background.append(
                gevent.spawn(self.revocations.follow_forever, self.settings.client_url, self._revoke)
            )

    def stop(self) -> None:
        """No new sessions; every session gets its `bye` and close code 1001."""
        if self.draining:
            return
        self.draining = True
        gevent.killall(self._background, block=False)
        for session in list(self.registry.sessions):
            session.end(GoingAway("The server is restarting; connect again."))

    def _revoke(self, kind: str, id_: str) -> None:
        for session in list(self.registry.sessions):
            session.revoked(kind, id_)

    def _backend_states(self) -> Mapping[str, Mapping[str, float]]:
        return {
            backend.name: {
                "circuit": backend.circuit.value,
                "outstanding": backend.outstanding,
                "failed": backend.failed,
            }
            for backend in self.balancer.backends
        }

    @property
    def ready(self) -> bool:
        """Whether a new session would be served with pictures."""
        return not self.draining and self.tokens.has_key and self.registry.has_room and self.balancer.available

    def capacity(self) -> dict[str, Any]:
        """What /readyz tells."""
        return {
            "ready": self.ready,
            "draining": self.draining,
            "sessions": len(self.registry.sessions),
            "most_sessions": self.settings.sessions,
            "revocations": "following" if self.revocations.connected else "not reached",
            "backends": [
                {"name": each.name, "circuit": each.circuit.name.lower(), "outstanding": each.outstanding}
                for each in self.balancer.backends
            ],
        }
