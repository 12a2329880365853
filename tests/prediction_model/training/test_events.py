"""Scalars are written as TensorBoard reads them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from prediction_model.training.events import ScalarLog, _masked_crc32c


def test_the_checksum_is_crc32c_masked_as_tfrecord_does() -> None:
    # CRC-32C of "123456789" is 0xE3069283 (RFC 3720's check value); the mask is TFRecord's.
    expected = ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert _masked_crc32c(b"123456789") == expected


def test_records_carry_their_length_and_end_where_the_file_ends(tmp_path: Path) -> None:
    log = ScalarLog(tmp_path)
    log.add(300, {"loss": 0.5})
    log.close()
    (file,) = tmp_path.iterdir()
    content, records = file.read_bytes(), []
    while content:
        (length,) = struct.unpack_from("<Q", content)
        records.append(content[12 : 12 + length])
        content = content[16 + length :]
    assert b"brain.Event:2" in records[0]
    assert b"loss" in records[1] and struct.pack("<f", 0.5) in records[1] and b"\x10\xac\x02" in records[1]


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_reads_them(tmp_path: Path) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard is not installed"
    )
    for step in (1, 2):
        log = ScalarLog(tmp_path)
        log.add(step * 1000, {"loss": 1 / step, "psnr_db": 20.0 + step})
        log.close()
    accumulator = reader.EventAccumulator(str(tmp_path))
    accumulator.Reload()
    assert [(event.step, event.value) for event in accumulator.Scalars("loss")] == [(1000, 1.0), (2000, 0.5)]
    assert accumulator.Scalars("psnr_db")[-1].value == 22.0
