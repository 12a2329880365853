"""Scalars for TensorBoard, without TensorFlow or TensorBoard: an event file is a sequence of small records.

A record is a TFRecord (length, its checksum, data, its checksum; CRC-32C, masked) around an `Event` protocol buffer
(tensorflow/core/util/event.proto), of which a scalar needs four fields. Read it with `tensorboard --logdir RUN`.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_DOUBLE, _VARINT, _BYTES, _FLOAT = 1, 0, 2, 5
"""Wire types of protocol buffers."""


class ScalarLog:
    """Appends scalars to a new event file in `folder`.

    A run that goes on writes a further file; TensorBoard reads them as one.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"events.out.tfevents.{time.time_ns()}.training").open("wb")
        self._write(_field(3, _BYTES, b"brain.Event:2"))

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write `scalars` by name, such as `loss`, as they were after `step`."""
        values = b""
        for name, value in scalars.items():
            tag = _field(1, _BYTES, name.encode())
            values += _field(1, _BYTES, tag + _field(2, _FLOAT, struct.pack("<f", value)))
        self._write(_field(2, _VARINT, _varint(step)) + _field(5, _BYTES, values))

    def close(self) -> None:
        """Close the file; nothing can be added afterwards."""
        self._file.close()

    def _write(self, event: bytes) -> None:
        event = _field(1, _DOUBLE, struct.pack("<d", time.time())) + event
        length = struct.pack("<Q", len(event))
        for part in (length, event):
            self._file.write(part + struct.pack("<I", _masked_crc32c(part)))
        self._file.flush()


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _field(number: int, wire_type: int, value: bytes) -> bytes:
    length = _varint(len(value)) if wire_type == _BYTES else b""
    return _varint(number << 3 | wire_type) + length + value


@cache
def _crc32c_table() -> tuple[int, ...]:
    """CRC-32C (Castagnoli), reflected polynomial 0x82F63B78."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


def _masked_crc32c(data: bytes) -> int:
    crc, table = 0xFFFFFFFF, _crc32c_table()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
