"""The sockets as one would put them on the open internet: what is refused, bounded and closed, and with which code."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import select
import socket
import time
from collections.abc import Callable

import pytest
from websockets.exceptions import InvalidStatus

from messages import encode_json
from settings import Settings
from tests.websocket_server.page import JPEG, Page, Signer, hello
from tests.websocket_server.rawsocket import RawSocket, frame
from tests.websocket_server.servers import PredictionServer, RelayServer, get, wait_until

StartRelay = Callable[..., RelayServer]
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9


def upgrade_status(relay: RelayServer, path: str = "/websocket", **changes: str) -> tuple[int, dict[str, str]]:
    """Status and headers of an upgrade request; `changes` replace headers (`_` for `-`), "" removes one."""
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=5)
    try:
        connection.request("GET", path, headers={name: value for name, value in headers.items() if value})
        response = connection.getresponse()
        return response.status, dict(response.headers)
    finally:
        connection.close()


def test_http_answers(relay: RelayServer) -> None:
    assert get(f"{relay.url}/websocket")[0] == 426
    assert get(f"{relay.url}/nothing")[0] == 404
    assert upgrade_status(relay, "/nothing")[0] == 404
    assert get(f"{relay.url}/healthz") == (200, b'{"status":"ok"}\n')
    assert get(f"{relay.url}/readyz")[0] == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 101),
        ({"Origin": "http://localhost:8000"}, 101),
        ({"Origin": "HTTP://LOCALHOST:8000"}, 101),
        ({"Origin": "http://localhost:8001"}, 403),
        ({"Origin": "http://localhost:8000.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Connection": "keep-alive, Upgrade"}, 101),
        ({"Connection": "keep-alive"}, 426),
        ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Sec_WebSocket_Version": ""}, 426),
        ({"Sec_WebSocket_Key": ""}, 400),
        ({"Sec_WebSocket_Key": "not base64!"}, 400),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400),
    ],
)
def test_upgrades(relay: RelayServer, changes: dict[str, str], status: int) -> None:
    received, headers = upgrade_status(relay, **changes)
    assert received == status
    if status == 426:
        assert headers["Sec-WebSocket-Version"] == "13"
    assert "Sec-WebSocket-Extensions" not in headers


def test_a_page_of_another_origin_sees_403(relay: RelayServer) -> None:
    with pytest.raises(InvalidStatus) as caught:
        Page(relay.address, origin="https://evil.example")
    assert caught.value.response.status_code == 403


def test_a_request_with_a_body_is_refused(relay: RelayServer) -> None:
    with RawSocket(relay.port, upgrade=False) as client:
        client.send(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n")
        assert client.read_all().startswith(b"HTTP/1.1 400")


def test_a_request_line_without_end_is_refused(relay: RelayServer) -> None:
    with RawSocket(relay.port, upgrade=False) as client:
        client.send(b"GET /" + b"a" * 100_000)
        assert client.read_all().startswith(b"HTTP/1.1 414")


@pytest.mark.slow
def test_one_address_takes_only_so_many_connections(start_relay: StartRelay) -> None:
    relay = start_relay(sessions_per_address=1, request_seconds=60)
    most = Settings(sessions_per_address=1).connections_per_address
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawSocket(relay.port, upgrade=False)) for _ in range(2 * most)]
        began = time.monotonic()
        for client in clients[-most:]:
            assert client.read_all() == b""
        assert time.monotonic() - began < 20, "at once, and not after the 60 s that a request may take"
        assert relay.descriptors() < 2 * most
        assert get(f"{relay.url}/healthz")[0] == 0
    wait_until(lambda: get(f"{relay.url}/healthz")[0] == 200, what="room again")


@pytest.mark.slow
def test_connections_of_a_trusted_proxy_are_not_counted(start_relay: StartRelay) -> None:
    relay = start_relay(sessions_per_address=1, trusted_proxies="127.0.0.0/8")
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(RawSocket(relay.port, upgrade=False))
        assert get(f"{relay.url}/healthz")[0] == 200


def reset(client: RawSocket) -> None:
    """Let closing it end the connection with a reset, and without a word."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def test_requests_that_are_none_write_no_log(start_relay: StartRelay) -> None:
    relay = start_relay(request_seconds=1)
    assert relay.log is not None
    before = relay.log.read_bytes()
    for request in (
        b"\x00\xff\r\n\r\n",
        b"GET / HTTP/9\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a..b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: " + b"a" * 64 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: never ended",
    ):
        with RawSocket(relay.port, upgrade=False) as client:
            client.send(request)
            assert client.read_all().startswith(b"HTTP/1.1 400"), request
    with RawSocket(relay.port, upgrade=False) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: broken off")
        assert client.socket.recv(12) == b"HTTP/1.1 404"
        reset(client)
    assert get(f"{relay.url}/healthz")[0] == 200
    assert relay.log.read_bytes() == before


def test_who_does_not_take_its_answers_is_cut_off(start_relay: StartRelay) -> None:
    relay = start_relay(request_seconds=1)
    assert relay.log is not None
    before = relay.log.read_bytes()
    with RawSocket(relay.port, upgrade=False, receive_buffer=4096) as client:
        reset_came = select.poll()
        reset_came.register(client.socket, 0)  # for a hang-up, of which is told in any case, also after `send` met it
        client.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 5000)
        wait_until(lambda: bool(reset_came.poll(0)), what="a reset")
    assert relay.log.read_bytes() == before


MIB = 1 << 20
VIOLATIONS = {
    "oversize message": (frame(BINARY, b"x" * (MIB + 1)), 1009),
    "a length of 1 TiB": (frame(BINARY, b"x" * 1000, length=1 << 40), 1009),
    "a length of 2^63": (frame(BINARY, b"", length=1 << 63), 1009),
    "oversize by fragments": (frame(BINARY, b"x" * 600_000, final=False) + frame(0, b"x" * 600_000), 1009),
    "100,000 fragments of one byte": (frame(TEXT, b"x", final=False) + frame(0, b"x", final=False) * 99_999, 1009),
    "unmasked frame": (frame(TEXT, b"{}", mask=False), 1002),
    "reserved bits": (b"\xc1\x80\x00\x00\x00\x00", 1002),
    "reserved opcode": (frame(3, b""), 1002),
    "fragmented ping": (frame(PING, b"", final=False), 1002),
    "long ping": (frame(PING, b"x" * 126), 1002),
    "continuation of nothing": (frame(0, b"x"), 1002),
    "message within a message": (frame(TEXT, b"x", final=False) + frame(TEXT, b"x"), 1002),
    "close with one byte": (frame(CLOSE, b"x"), 1002),
    "close with 1005": (frame(CLOSE, b"\x03\xed"), 1002),
    "close with bad UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "bad UTF-8": (frame(TEXT, b"\xff\xfe"), 1007),
    "binary where the hello belongs": (frame(BINARY, b"x" * 20), 4007),
    "text that is no hello": (frame(TEXT, b"hello"), 4007),
    "a flood of pings": (frame(PING, b"x") * 200, 4005),
    "a hello of 100 kB": (frame(TEXT, b'{"type":"hello","x":"' + b"x" * 100_000 + b'"}'), 1009),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violations_close_with_their_code(relay: RelayServer, name: str) -> None:
    data, code = VIOLATIONS[name]
    with RawSocket(relay.port) as client:
        client.send(data)
        assert client.close_code() == code


def test_message_after_message_of_small_fragments(relay: RelayServer, signer: Signer) -> None:
    with RawSocket(relay.port) as client:
        client.send(frame(TEXT, hello(signer.token()).encode()))
        for sequence in (1, 2):
            header = bytes([1, 1, 0, 0]) + sequence.to_bytes(4, "little") + bytes(8)
            small = frame(0, b"x" * 64, final=False) * 12_000
            client.send(frame(BINARY, header, final=False) + small + frame(0, b""))
        assert client.close_code() == 4005


@pytest.mark.slow
def test_violations_leave_nothing_behind(relay: RelayServer) -> None:
    def attack() -> None:
        for data, _ in VIOLATIONS.values():
            with RawSocket(relay.port) as client:
                client.send(data)
                client.read_all()

    attack()  # the first time fills caches and the allocator's arenas
    before = relay.resident_bytes()
    for _ in range(3):
        attack()
    assert relay.resident_bytes() - before <= 2 * MIB
    wait_until(lambda: relay.metric("faceswap_relay_sessions") == 0, what="no session")


@pytest.mark.parametrize(
    ("message", "code"),
    [("not JSON", 1002), ("[]", 1002), (b"\x01\x01", 1002), (b"\x01\x02" + bytes(30), 1002), ("\x00" * 10, 1002)],
)
def test_messages_that_the_contract_does_not_know_close_with_1002(
    open_page: Callable[[], Page], signer: Signer, message: str | bytes, code: int
) -> None:
    page = open_page()
    page.begin(signer.token())
    page.socket.send(message)
    assert page.close_code() == code
    assert page.texts[-1] == {"type": "bye", "code": code, "reason": page.texts[-2]["message"]}


def test_no_hello_in_time(start_relay: StartRelay) -> None:
    relay = start_relay(hello_seconds=1, stats_seconds=0.5)
    began = time.monotonic()
    with Page(relay.address) as page:
        assert page.close_code() == 4001
    assert time.monotonic() - began > 0.9


def test_idle(start_relay: StartRelay, predictor: PredictionServer, signer: Signer) -> None:
    relay = start_relay(predictor, idle_seconds=3, stats_seconds=0.5)
    with Page(relay.address) as page:
        page.begin(signer.token())
        page.swap()
        swapped = time.monotonic()
        assert page.close_code() == 4002
    assert time.monotonic() - swapped > 2


def test_pings_are_answered_and_the_page_may_say_goodbye(relay: RelayServer) -> None:
    with RawSocket(relay.port) as client:
        client.send(frame(PING, b"are you there"))
        client.send(frame(CLOSE, b"\x03\xe8bye"))
        assert client.read_all() == b"\x8a\x0dare you there" + b"\x88\x02\x03\xe8"


@pytest.mark.slow
def test_a_request_that_comes_byte_by_byte_is_cut_off(start_relay: StartRelay) -> None:
    relay = start_relay(request_seconds=1)
    with RawSocket(relay.port, upgrade=False) as client:
        began = time.monotonic()
        closed = False
        while not closed and time.monotonic() - began < 20:
            client.send(b"G")
            client.socket.settimeout(0.2)
            try:
                closed = client.socket.recv(1000) == b"" or closed
            except TimeoutError:
                pass
            except ConnectionError:
                closed = True
        assert closed
    with RawSocket(relay.port, upgrade=False) as client:  # and one that never comes
        assert client.seconds_until_closed() < 20


@pytest.mark.slow
def test_silent_and_dribbling_peers_are_closed(start_relay: StartRelay, signer: Signer) -> None:
    relay = start_relay(ping_seconds=0.5, dead_seconds=2, stats_seconds=0.2)
    with RawSocket(relay.port) as silent, RawSocket(relay.port) as half, RawSocket(relay.port) as dribbling:
        for client in (silent, half, dribbling):
            client.send(frame(TEXT, hello(signer.token()).encode()))
        half.send(b"\x82")
        whole = frame(BINARY, b"x" * 1000)
        began = time.monotonic()
        dribbling.socket.settimeout(0.1)
        data, position = b"", 0
        while time.monotonic() - began < 20:
            dribbling.send(whole[position : position + 1])
            position += 1
            try:
                chunk = dribbling.socket.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if not chunk:
                break
            data += chunk
        assert 1.5 < time.monotonic() - began < 19
        silent_data = silent.read_all()
        assert b"\x89\x00" in silent_data, "it should have been pinged"
        assert half.close_code() == 4002
    wait_until(lambda: relay.metric("faceswap_relay_sessions") == 0)


@pytest.mark.slow
def test_a_page_that_answers_pings_lives_on(start_relay: StartRelay, signer: Signer) -> None:
    relay = start_relay(ping_seconds=0.3, dead_seconds=3, stats_seconds=0.1)
    with Page(relay.address) as page:
        page.begin(signer.token())
        began = time.monotonic()
        while time.monotonic() - began < 7:
            page.text("stats")  # websockets answers pings by itself


@pytest.mark.slow
def test_a_slow_reader_is_told_and_closed(
    start_relay: StartRelay, start_predictor: Callable[..., PredictionServer], signer: Signer
) -> None:
    relay = start_relay(start_predictor(), slow_reader_seconds=1.5, stats_seconds=0.2, close_seconds=4)
    image = JPEG + bytes(200_000)
    with RawSocket(relay.port, receive_buffer=4096) as slow, Page(relay.address) as other:
        slow.send(frame(TEXT, hello(signer.token()).encode()))
        other.begin(signer.token())
        slow.socket.settimeout(3)
        for sequence in range(1, 20):
            header = bytes([1, 1, 0, 0]) + sequence.to_bytes(4, "little") + bytes(8)
            slow.send(frame(BINARY, header + image))
            assert other.swap().image  # others go on meanwhile
            time.sleep(0.1)
        time.sleep(1)
        slow.socket.settimeout(30)
        assert slow.close_code() == 4006
        assert other.swap().image


@pytest.mark.slow
def test_a_slow_reader_that_never_reads_is_cut_off(
    start_relay: StartRelay, start_predictor: Callable[..., PredictionServer], signer: Signer
) -> None:
    relay = start_relay(start_predictor(), slow_reader_seconds=1, stats_seconds=0.2, close_seconds=0.5)
    with RawSocket(relay.port, receive_buffer=4096) as slow:
        slow.send(frame(TEXT, hello(signer.token()).encode()))
        slow.socket.settimeout(3)
        for sequence in range(1, 15):
            header = bytes([1, 1, 0, 0]) + sequence.to_bytes(4, "little") + bytes(8)
            slow.send(frame(BINARY, header + JPEG + bytes(200_000)))
            time.sleep(0.1)
        wait_until(lambda: relay.metric("faceswap_relay_sessions") == 0)
    assert relay.metric('faceswap_relay_sessions_ended_total{code="4006"}') == 1


def test_too_many_messages(start_relay: StartRelay, signer: Signer) -> None:
    relay = start_relay(messages_per_second=5)
    with Page(relay.address) as page:
        page.begin(signer.token())
        for _ in range(30):
            page.socket.send(encode_json({"type": "options", "identity": "p1", "options": {}}))
        assert page.close_code() == 4005


def test_an_aborted_connection_is_forgotten(relay: RelayServer, signer: Signer) -> None:
    with RawSocket(relay.port) as client:
        client.send(frame(TEXT, hello(signer.token()).encode()))
        wait_until(lambda: relay.metric("faceswap_relay_sessions") == 1)
        reset(client)
    wait_until(lambda: relay.metric("faceswap_relay_sessions") == 0)
