"""What one frame is to become: the `options` of an instance, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from prediction_model.compositing.mask import NEUTRAL_EDGE
from prediction_model.errors import BadInstance
from prediction_model.faces.track import MAX_FACES

DEFAULT_IDENTITY = "p1"
BEST_QUALITY = 95
IDENTITY_CHARACTERS = 64
NUMBERS = {str(number): number for number in range(1, MAX_FACES + 1)}
"""A face's number as JSON has it, a key of `identities`."""


@dataclass(frozen=True, slots=True)
class FrameOptions:
    """The `options` of one instance; a page sends those it wants other than these defaults."""

    identity: str = DEFAULT_IDENTITY
    """Whose face to put on."""
    identities: Mapping[int, str] = field(default_factory=dict)
    """Number of a face (its track's, 1 to 4) → whose face it gets instead."""
    engine: Literal["autoencoder", "photo", "onnx"] | None = None
    """None: each identity package's own; one of `identities` that does not have it gets its own too."""
    faces: Literal["largest", "all"] = "largest"
    """Swap one face, or every one."""
    bystanders: Literal["blur", "leave"] = "blur"
    """What becomes of faces that are not swapped."""
    on_failure: Literal["hold", "blur", "black"] = "blur"
    """What to answer when no face could be swapped; `hold` is no image."""
    quality: int = 80
    """JPEG, 1 to 95."""
    mirror: bool = False
    """Flip the answer left to right, before the badge is put on."""
    strength: float = 1.0
    """0 to 1: how far the face is swapped."""
    edge: float = NEUTRAL_EDGE
    """0 to 1: how wide the swapped face's soft edge is."""
    mouth: Literal["theirs", "mine"] | None = None
    eyes: Literal["theirs", "mine"] | None = None
    """The identity's or the wearer's own; None: what the engine does best."""


def parse_options(given: Any) -> FrameOptions:
    """The options in an instance's `options` object; fields that are missing or null keep their defaults.

    Raises:
        BadInstance: an unknown field, or a value that is not one of a field's.
    """
    if given is None:
        return FrameOptions()
    if not isinstance(given, dict):
        raise BadInstance(f"`options` must be an object; received {type(given).__name__}.")
    known = _kinds()
    unknown = sorted(str(name) for name in given if name not in known)
    if unknown:
        names = ", ".join(field.name for field in fields(FrameOptions))
        raise BadInstance(f"`options` has no field {unknown[0][:40]!r}; it has {names}.")
    return FrameOptions(
        **{name: _checked(name, value, known[name]) for name, value in given.items() if value is not None}
    )


@cache
def _kinds() -> dict[str, Any]:
    """The fields' types. Python evaluates their annotations anew each time that it is asked."""
    return get_type_hints(FrameOptions)


def _checked(name: str, value: Any, kind: Any) -> Any:
    choices = [c for part in (kind, *get_args(kind)) if get_origin(part) is Literal for c in get_args(part)]
    if choices:
        if value not in choices:
            raise _refused(name, " or ".join(repr(c) for c in choices), value)
    elif kind is bool:
        if not isinstance(value, bool):
            raise _refused(name, "true or false", value)
    elif name == "quality":
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= BEST_QUALITY:
            raise _refused(name, f"a whole number from 1 to {BEST_QUALITY}", value)
    elif name in ("strength", "edge"):
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            raise _refused(name, "a number from 0 to 1", value)
        return float(value)
    elif name == "identities":
        if not isinstance(value, dict) or any(number not in NUMBERS for number in value):
            raise _refused(name, f"an object whose keys are faces' numbers, 1 to {MAX_FACES}", value)
        return {NUMBERS[number]: _checked(f"{name}.{number}", identity, str) for number, identity in value.items()}
    elif not isinstance(value, str) or not 0 < len(value) <= IDENTITY_CHARACTERS:
        raise _refused(name, f"a text of 1 to {IDENTITY_CHARACTERS} characters", value)
    return value


def _refused(name: str, expected: str, value: Any) -> BadInstance:
    return BadInstance(f"`options.{name}` must be {expected}; received {str(value)[:40]!r}.")
