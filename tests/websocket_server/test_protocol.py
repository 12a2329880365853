"""The stream contract without I/O: golden files that the page's tests read too, and whatever hypothesis thinks of."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import errors
from errors import (
    BadHello,
    BadMessage,
    BadOptions,
    EmptyPicture,
    Idle,
    NoHello,
    RelayError,
    SessionOver,
    StaleSequence,
    TooManyMessages,
    UnknownMessage,
)
from messages import Hello, Options, Renew, decode_data_url, decode_hello, decode_text, encode_data_url, encode_json
from protocol import (
    HEADER,
    TRANSITIONS,
    CreditWindow,
    Flag,
    Frame,
    Mailbox,
    MessageType,
    RateLimit,
    Result,
    State,
    Stream,
    StreamLimits,
    decode,
    encode_frame,
    encode_result,
)

GOLDEN = Path(__file__).resolve().parent.parent / "contracts" / "stream"
HELLO = encode_json({"type": "hello", "version": 1, "token": "a.b.c", "identity": "p1", "options": {}})


def golden(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


BINARY, TEXT, WINDOW, CODES = (golden(f"{name}.json") for name in ("binary", "text", "window", "codes"))


def named(cases: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


def opened(now: float = 0.0, **limits: float) -> Stream:
    """A stream after its hello."""
    stream = Stream(StreamLimits(**limits), now)
    stream.receive(HELLO, now)
    stream.accept(now, session_seconds=3600)
    return stream


def test_the_header_is_that_of_the_golden_file() -> None:
    assert HEADER.size == BINARY["header_bytes"]
    assert {each.name.lower(): each.value for each in MessageType} == BINARY["types"]
    assert {each.name.lower(): each.value for each in Flag if each.name and each.value} == BINARY["flags"]


@named(BINARY["frames"])
def test_golden_frames_are_read_and_written(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    frame = Frame(case["sequence"], int(case["capture_us"]), bytes.fromhex(case["image_hex"]), case["flags"])
    assert decode(data) == frame
    assert encode_frame(frame) == data


@named(BINARY["results"])
def test_golden_results_are_read_and_written(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    image = bytes.fromhex(case["image_hex"])
    result = Result(case["sequence"], int(case["capture_us"]), Flag(case["flags"]), case["metadata"], image)
    assert decode(data) == result
    assert encode_result(result) == data


@named(BINARY["malformed"])
def test_malformed_binary_messages_are_bad_messages(case: dict[str, Any]) -> None:
    with pytest.raises(BadMessage):
        decode(bytes.fromhex(case["hex"]))


@given(st.binary(max_size=200))
@example(b"\x01\x02" + bytes(14) + b"\x00\x00\x00\x00")
def test_any_bytes_are_a_message_or_a_bad_message(data: bytes) -> None:
    try:
        message = decode(data)
    except BadMessage:
        return
    if isinstance(message, Frame):
        assert encode_frame(message) == data


JSON_TEXTS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=9,
).map(json.dumps)


@given(st.text(max_size=200) | JSON_TEXTS)
def test_any_text_is_a_message_or_a_documented_error(text: str) -> None:
    for read in (decode_text, decode_hello, decode_data_url):
        with contextlib.suppress(BadMessage, UnknownMessage, BadOptions, BadHello, EmptyPicture):
            read(text)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.binary(max_size=50))
def test_frames_survive_the_way(sequence: int, capture_us: int, image: bytes) -> None:
    frame = Frame(sequence, capture_us, image)
    assert decode(encode_frame(frame)) == frame


def test_json_nested_too_deeply_is_a_bad_message() -> None:
    with pytest.raises(BadMessage):
        decode_text('{"a":' * 100_000)


def test_every_golden_text_of_the_page_is_read() -> None:
    kinds = {"hello": Hello, "options": Options, "renew": Renew}
    for message in TEXT["from_page"]:
        text = encode_json(message)
        read = decode_hello(text) if message["type"] == "hello" else decode_text(text)
        assert type(read) is kinds[message["type"]]


@named(TEXT["malformed_hello"])
def test_malformed_hellos_are_bad_hellos(case: dict[str, Any]) -> None:
    with pytest.raises(BadHello):
        decode_hello(case["text"])


def test_a_message_never_shows_its_token() -> None:
    assert "a.b.c" not in repr(decode_hello(HELLO))
    assert "d.e.f" not in repr(decode_text('{"type":"renew","token":"d.e.f"}'))


def test_data_urls_survive_the_way() -> None:
    assert decode_data_url(encode_data_url(b"\xff\xd8\xff\xd9")) == b"\xff\xd8\xff\xd9"


def all_errors(root: type[RelayError] = RelayError) -> list[type[RelayError]]:
    return [root, *(each for child in root.__subclasses__() for each in all_errors(child))]


def test_close_codes_are_those_of_the_golden_file() -> None:
    ours = {each.close_code for each in all_errors() if each.close_code is not None}
    assert ours | {1000} == {each["code"] for each in CODES["close_codes"]}


def test_golden_error_codes_exist_and_agree_on_being_fatal() -> None:
    ours = {each.code: each.close_code is not None for each in all_errors()}
    for each in CODES["error_codes"]:
        assert ours[each["code"]] is each["fatal"], each["code"]


def test_the_printed_tree_of_errors_is_the_real_one() -> None:
    assert errors.__doc__ is not None
    for each in all_errors():
        assert each.__name__ in errors.__doc__, f"{each.__name__} is missing at the top of errors.py"


@named(WINDOW["window"])
def test_golden_windows(case: dict[str, Any]) -> None:
    window = CreditWindow(case["window"])
    for step in case["steps"]:
        if "send" in step:
            window.send(step["send"])
        if "result" in step:
            assert window.acknowledge(step["result"]) is step["fresh"], step
        assert window.may_send is step.get("may_send", window.may_send), step
        assert window.in_flight == step.get("in_flight", window.in_flight), step


@named(WINDOW["mailbox"])
def test_golden_mailboxes(case: dict[str, Any]) -> None:
    mailbox: Mailbox[int] = Mailbox()
    for step in case["steps"]:
        if "put" in step:
            mailbox.put(step["put"])
        if "take" in step:
            assert mailbox.take() == step["take"]
        assert mailbox.dropped == step.get("dropped", mailbox.dropped)


@given(st.integers(1, 4), st.lists(st.tuples(st.booleans(), st.integers(0, 20)), max_size=60))
def test_a_window_never_exceeds_its_size_nor_draws_backwards(size: int, steps: list[tuple[bool, int]]) -> None:
    window, drawn = CreditWindow(size), -1
    for is_send, sequence in steps:
        if is_send:
            try:
                window.send(sequence)
            except ValueError:
                continue
        elif window.acknowledge(sequence):
            assert sequence > drawn
            drawn = sequence
        assert 0 <= window.in_flight <= size


@given(st.lists(st.booleans(), max_size=60))
def test_a_mailbox_holds_the_newest_and_counts_the_rest(steps: list[bool]) -> None:
    mailbox: Mailbox[int] = Mailbox()
    put = taken = 0
    newest: int | None = None
    for is_put in steps:
        if is_put:
            put += 1
            newest = put
            mailbox.put(put)
        else:
            item = mailbox.take()
            assert item == newest
            taken += item is not None
            newest = None
    assert put == taken + mailbox.dropped + (not mailbox.empty)


def test_frames_must_increase() -> None:
    stream = opened()
    assert stream.receive(encode_frame(Frame(9, 0, b"x")), 1) == Frame(9, 0, b"x")
    for sequence in (8, 9):
        with pytest.raises(StaleSequence) as caught:
            stream.receive(encode_frame(Frame(sequence, 0, b"x")), 1)
        assert caught.value.sequence == sequence
    assert stream.newest == 9


def test_data_urls_are_numbered_upwards() -> None:
    stream = opened()
    stream.receive(encode_frame(Frame(41, 0, b"x")), 1)
    frame = stream.receive("data:image/png;base64,eA==", 1)
    assert frame == Frame(42, 0, b"x", as_data_url=True)


@pytest.mark.parametrize("first", [b"\x01", encode_frame(Frame(1, 0, b"x")), "{}", "data:image/png;base64,eA=="])
def test_the_first_message_must_be_a_hello(first: str | bytes) -> None:
    with pytest.raises(BadHello):
        Stream(StreamLimits(), 0).receive(first, 0)


def test_a_second_hello_is_unknown_and_a_result_is_bad() -> None:
    stream = opened()
    with pytest.raises(UnknownMessage):
        stream.receive(HELLO, 1)
    with pytest.raises(BadMessage):
        stream.receive(encode_result(Result(1, 0, Flag.NONE, {})), 1)


def test_clocks_of_a_stream() -> None:
    with pytest.raises(NoHello):
        Stream(StreamLimits(hello_seconds=5), 0).check(5.1)
    stream = opened(idle_seconds=60)
    stream.check(60)
    with pytest.raises(Idle):
        stream.check(60.1)
    stream.receive('{"type":"renew","token":"x"}', 3599)
    stream.check(3600)
    with pytest.raises(SessionOver):
        stream.check(3600.1)


def test_too_many_messages() -> None:
    stream = opened(messages_per_second=10)
    with pytest.raises(TooManyMessages):
        for number in range(1, 22):
            stream.receive(encode_frame(Frame(number, 0, b"x")), 0.0)
    assert stream.newest == 19, "two seconds' worth at once, the hello among them"


@given(st.sampled_from(State), st.sampled_from(State))
def test_only_legal_transitions(start: State, end: State) -> None:
    stream = Stream(StreamLimits(), 0)
    stream.state = start
    if end is State.CLOSED:
        stream.close()
        assert stream.state is State.CLOSED
    elif end is State.STREAMING and end not in TRANSITIONS[start]:
        with pytest.raises(ValueError, match="transition"):
            stream.accept(0, 1)


@given(st.floats(0.5, 100), st.floats(1, 10), st.lists(st.floats(0, 2), max_size=50))
def test_a_rate_limit_keeps_its_rate(rate: float, burst: float, pauses: list[float]) -> None:
    limit, now, allowed = RateLimit(rate, burst), 0.0, 0
    for pause in pauses:
        now += pause
        allowed += limit.allow(now)
        delay = limit.delay(now)
        assert delay <= 1 / rate + 1e-9
        assert allowed <= burst + now * rate + 1e-6
