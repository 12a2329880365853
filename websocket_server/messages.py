"""Text messages of the stream contract: JSON control messages and data URLs, without I/O.

Both sides' tests read `tests/contracts/stream/text.json`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

from errors import BadHello, BadMessage, BadOptions, EmptyPicture, UnknownMessage

VERSION = 1
MAX_JSON_CHARACTERS = 32 * 1024
"""Of a JSON message, whose largest part is a token. A megabyte takes 100 ms to read, and nobody else gets a turn."""
MAX_TOKEN_CHARACTERS = 8192
MAX_IDENTITY_CHARACTERS = 64
FACE_NUMBERS = ("1", "2", "3", "4")
"""The prediction tier follows no more faces."""
DATA_URL_PREFIX = "data:image/"
RESULT_DATA_URL_PREFIX = "data:image/jpeg;base64,"

JsonObject: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Options:
    """What frames are to become, from the next one on."""

    identity: str
    """Of every face that has none of its own."""
    identities: Mapping[str, str]
    """Number of a face → its own identity."""
    options: JsonObject

    @property
    def worn(self) -> frozenset[str]:
        """Every identity that a face may get."""
        return frozenset((self.identity, *self.identities.values()))


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message."""

    token: str = field(repr=False)
    options: Options


@dataclass(frozen=True, slots=True)
class Renew:
    """A fresh token for the same session."""

    token: str = field(repr=False)


_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def encode_json(value: Mapping[str, Any]) -> str:
    """Compact JSON, beyond ASCII as it is. Raises ValueError for what JSON is not: NaN, infinities, absurd nesting."""
    try:
        return _ENCODER.encode(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:32]} is beyond every float")
    return number


_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)


def decode_json(text: str) -> JsonObject:
    """A JSON object that `encode_json` can write again, in UTF-8.

    Raises ValueError for what is not one: NaN, infinities, halves of surrogate pairs and absurd nesting are not.
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")
    if "\\u" in text:  # only an escape can hold half a pair
        encode_json(value).encode()
    return value


def decode_data_url(text: str) -> bytes:
    """The picture of a `data:image/…;base64,` URL. Raises EmptyPicture where there is none to read."""
    kind, comma, body = text.partition(",")
    if not comma or not kind.endswith(";base64"):
        raise EmptyPicture("Expected data:image/…;base64,…; received a data URL without base64.")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise EmptyPicture("Expected a data URL in base64; received characters that are not base64.") from None


def encode_data_url(image: bytes) -> str:
    """A JPEG as the original page expects it."""
    return RESULT_DATA_URL_PREFIX + base64.b64encode(image).decode("ascii")


def _is_number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


OPTIONS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "engine": ("autoencoder, photo or onnx", lambda value: value in ("autoencoder", "photo", "onnx")),
    "faces": ("largest or all", lambda value: value in ("largest", "all")),
    "bystanders": ("blur or leave", lambda value: value in ("blur", "leave")),
    "on_failure": ("hold, blur or black", lambda value: value in ("hold", "blur", "black")),
    "quality": ("a whole number from 1 to 95", lambda value: isinstance(value, int) and _is_number(value, 1, 95)),
    "mirror": ("true or false", lambda value: isinstance(value, bool)),
    "strength": ("a number from 0 to 1", lambda value: _is_number(value, 0, 1)),
    "edge": ("a number from 0 to 1", lambda value: _is_number(value, 0, 1)),
    "mouth": ("theirs or mine", lambda value: value in ("theirs", "mine")),
    "eyes": ("theirs or mine", lambda value: value in ("theirs", "mine")),
}
"""Options a page may send, what each expects, and whether a value is that. Others are refused: no option unlabels."""


def check_options(options: Any) -> JsonObject:
    """`options` itself, if the contract knows all of it. Raises BadOptions."""
    if not isinstance(options, dict):
        raise BadOptions("Expected options to be an object; received something else.")
    for name, value in options.items():
        if name not in OPTIONS:
            raise BadOptions(f"Expected options among {', '.join(OPTIONS)}; received {name[:32]!r}.")
        expected, holds = OPTIONS[name]
        if not (isinstance(value, str | int | float) and holds(value)):
            raise BadOptions(f"Expected option {name} to be {expected}; received {str(value)[:32]!r}.")
    return options


def _options(message: JsonObject) -> Options:
    identities = message.get("identities", {})
    if not isinstance(identities, dict) or any(number not in FACE_NUMBERS for number in identities):
        raise BadOptions(f"Expected identities to be an object of face numbers, {' to '.join(FACE_NUMBERS[::3])}.")
    for identity in (message.get("identity"), *identities.values()):
        if not isinstance(identity, str) or not 0 < len(identity) <= MAX_IDENTITY_CHARACTERS:
            raise BadOptions(f"Expected an identity to be a name of 1 to {MAX_IDENTITY_CHARACTERS} characters.")
    return Options(message["identity"], identities, check_options(message.get("options", {})))


def _token(message: JsonObject) -> str:
    token = message.get("token")
    if not isinstance(token, str) or not 0 < len(token) <= MAX_TOKEN_CHARACTERS:
        raise BadOptions(f"Expected token to be a text of 1 to {MAX_TOKEN_CHARACTERS} characters.")
    return token


def decode_hello(text: str) -> Hello:
    """The first message. Raises BadHello."""
    try:
        message = decode_json(text)
    except ValueError:
        raise BadHello("Expected a hello in JSON as the first message; received something else.") from None
    if message.get("type") != "hello":
        raise BadHello("Expected the first message to be of type hello.")
    if type(message.get("version")) is not int or message["version"] != VERSION:
        raise BadHello(f"Expected version {VERSION} of the stream in the hello. Reload the page.")
    try:
        return Hello(_token(message), _options(message))
    except BadOptions as error:
        raise BadHello(str(error)) from None


def decode_text(text: str) -> Options | Renew:
    """A text message after the hello that is not a data URL. Raises BadMessage, UnknownMessage or BadOptions."""
    try:
        message = decode_json(text)
    except ValueError:
        raise BadMessage("Expected a JSON object or a data URL; received some other text.") from None
    match message.get("type"):
        case "options":
            return _options(message)
        case "renew":
            return Renew(_token(message))
        case other:
            raise UnknownMessage(f"Expected type options or renew; received {str(other)[:32]!r}.")
