"""Google's API client as a way to the prediction tier: what `ai_platform` and `vertex` have in common.

An address is the REST URL of the model or endpoint, as Google's console shows it. Credentials are Application Default
Credentials (https://cloud.google.com/docs/authentication/application-default-credentials) and nothing else; they are
sent to Google's hosts only. A service on this machine is driven by the same client, without credentials.

httplib2, under Google's client, is not thread-safe: every call has a connection of its own, from a pool.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from ipaddress import ip_address
from threading import Lock
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import google.auth
import httplib2
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import GoogleAuthError
from google_auth_httplib2 import AuthorizedHttp, Request
from googleapiclient import discovery
from googleapiclient.errors import Error, HttpError

from errors import PredictionBusy, PredictionLate, PredictionRefused, PredictionUnavailable
from predictors.raw import refusal_of

log = logging.getLogger("relay")

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
DEDICATED_SUFFIX = ".prediction.vertexai.goog"
GOOGLE_SUFFIXES = (".googleapis.com", DEDICATED_SUFFIX)
SHARED_REQUEST_BYTES = 1_500_000
"""What AI Platform and shared Vertex endpoints take, https://cloud.google.com/vertex-ai/docs/quotas; base64 counts."""
DEDICATED_REQUEST_BYTES = 10_000_000
MAX_IDLE_CONNECTIONS = 64
MAX_RETRY_AFTER_SECONDS = 60.0
FRAME_FAULTS = (400, 413)
"""Refusals of Google's own that are about the frame; its others (401, 403, 404, …) are about the deployment."""

CLIENT_FAULTS = (OSError, HTTPException, httplib2.HttpLib2Error, GoogleAuthError, Error, ValueError)
"""What Google's client raises for a server that is out of reach or answers what cannot be read."""


@dataclass(frozen=True, slots=True)
class Address:
    """A model or an endpoint of Google's, or of a service at the same routes."""

    origin: str
    resource: str
    """`projects/P/models/M`, …"""
    method: str
    """`predict` or `rawPredict`; "" where the address does not say."""

    @classmethod
    def parse(cls, text: str, resource: str, example: str) -> Address:
        """`text` as such an address; `resource` is the expression its resource must match.

        Raises SystemExit, with one sentence, for anything else.
        """
        parts = urlsplit(text)
        match = re.fullmatch(rf"/v1/({resource})(?::(predict|rawPredict))?", parts.path)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or not match:
            received = f"one of host {parts.hostname!r}" if parts.username else repr(text)  # never a password
            raise SystemExit(f"FACESWAP_PREDICTORS: expected addresses like {example}, received {received}.")
        address = cls(f"{parts.scheme}://{parts.netloc}", match[1], match[2] or "")
        if not address.is_loopback and not address.is_google:
            raise SystemExit(
                f"FACESWAP_PREDICTORS: expected a host of Google's over https, or one of this machine; received "
                f"{address.origin}. Reach any other server by FACESWAP_PREDICTOR=http."
            )
        return address

    @property
    def host(self) -> str:
        return urlsplit(self.origin).hostname or ""

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine, which needs no credentials."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_google(self) -> bool:
        """Whether it may be sent Google's credentials."""
        return self.origin.startswith("https://") and self.host.endswith(GOOGLE_SUFFIXES)

    @property
    def request_bytes(self) -> int:
        """The largest request it takes."""
        return DEDICATED_REQUEST_BYTES if self.host.endswith(DEDICATED_SUFFIX) else SHARED_REQUEST_BYTES


class GoogleApi:
    """One address through Google's client. Called from several greenlets at once."""

    def __init__(self, api: str, address: Address, seconds: float) -> None:
        """`api`: the name of Google's service description, version v1. Connects at the first call."""
        self.address = address
        self.name = f"{address.origin}/v1/{address.resource}"
        self._api = api
        self._seconds = seconds
        self._lock = Lock()
        self._service: Any = None
        self._credentials: Any = None
        self._idle: list[AuthorizedHttp] = []
        self._paused_until = 0.0
        self._credentials_fault = ""

    def execute(self, make_call: Callable[[Any], Any]) -> Any:
        """What Google's client answers to the call that `make_call` makes of its service object.

        Raises PredictionRefused or PredictionUnavailable, as `Predictor.predict`.
        """
        if self._is_paused:
            raise PredictionBusy("The prediction service asked to be left alone for a while.")
        try:
            self._connect()
            call = make_call(self._service)
            if call.body_size > self.address.request_bytes:
                raise PredictionRefused(
                    "request_too_large",
                    f"Expected a request of at most {self.address.request_bytes} bytes, the limit of this endpoint; "
                    f"received {call.body_size}. Send smaller pictures.",
                    413,
                )
            return self._send(call)
        except HttpError as error:
            raise self._refusal(error) from None
        except TimeoutError:
            raise PredictionLate("The prediction service did not answer in time.") from None
        except CLIENT_FAULTS as error:
            raise PredictionUnavailable(f"The prediction service gave no answer ({type(error).__name__}).") from None

    def _connect(self) -> None:
        """Find the credentials and read Google's service description, once."""
        with self._lock:
            if self._service is not None:
                return
            credentials: Credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
            if not self.address.is_loopback:
                credentials, _ = google.auth.default(scopes=SCOPES)
            self._service = discovery.build(
                self._api,
                "v1",
                static_discovery=True,
                credentials=credentials,
                client_options=ClientOptions(api_endpoint=self.address.origin),
            )
            self._credentials = credentials

    def _send(self, call: Any) -> Any:
        if self._idle:
            try:
                return self._exchange(self._idle.pop(), call)
            except TimeoutError:
                raise
            except (OSError, HTTPException):
                # The server may have closed it while it was idle, which says nothing about a fresh one.
                self.close()
        return self._exchange(self._open(), call)

    def _exchange(self, connection: AuthorizedHttp, call: Any) -> Any:
        try:
            answer = call.execute(http=connection)
        except HttpError:
            self._keep(connection)  # an answer all the same, and read to its end
            raise
        except BaseException:  # gevent.Timeout too: half an answer may be on the wire
            connection.close()
            raise
        self._keep(connection)
        return answer

    def _keep(self, connection: AuthorizedHttp) -> None:
        if len(self._idle) < MAX_IDLE_CONNECTIONS:
            self._idle.append(connection)
        else:
            connection.close()

    def _open(self) -> AuthorizedHttp:
        # A proxy named in the environment is for the way to Google, not to this machine.
        proxy = None if self.address.is_loopback else httplib2.proxy_info_from_environment
        http = httplib2.Http(timeout=self._seconds, proxy_info=proxy)
        http.follow_redirects = False
        # A 401 is the tier's word about a session token, mostly; `ready` keeps Google's own token fresh.
        return AuthorizedHttp(self._credentials, http=http, max_refresh_attempts=0)

    def _refusal(self, error: HttpError) -> PredictionRefused | PredictionUnavailable:
        """What an answer that is not 200 means; where it says how long to wait, nothing is sent meanwhile."""
        status = int(error.resp.status)
        after = error.resp.get("retry-after", "")
        if after.isascii() and after.isdigit():
            self._paused_until = monotonic() + min(float(after), MAX_RETRY_AFTER_SECONDS)
        refusal = refusal_of(status, error.content)
        if isinstance(refusal, PredictionRefused) and status not in FRAME_FAULTS and not _is_the_tiers(error.content):
            # Google's own word, about credentials, permission or the endpoint: no fault of the session's.
            return PredictionUnavailable(f"The prediction service answered {status}: see docs/deploying.md.")
        return refusal

    @property
    def _is_paused(self) -> bool:
        return monotonic() < self._paused_until

    def ready(self) -> bool:
        """Whether there are credentials, and no quota to wait for. Refreshes them here, so that no frame has to."""
        try:
            self._connect()
            if not self.address.is_loopback and not self._credentials.valid:
                self._credentials.refresh(Request(httplib2.Http(timeout=self._seconds)))
        except CLIENT_FAULTS as error:
            fault = type(error).__name__
            if fault != self._credentials_fault:
                log.error("no credentials for %s (%s): see docs/deploying.md", self.name, fault)
            self._credentials_fault = fault
            return False
        self._credentials_fault = ""
        return not self._is_paused

    def close(self) -> None:
        """Close idle connections."""
        while self._idle:
            self._idle.pop().close()


def _is_the_tiers(answer: bytes) -> bool:
    """Whether an error is the prediction tier's own: those have a `type`, which Google's do not."""
    try:
        return isinstance(json.loads(answer)["error"]["type"], str)
    except (ValueError, KeyError, TypeError):
        return False
