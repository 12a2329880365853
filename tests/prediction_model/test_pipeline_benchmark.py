"""`python -m benchmarks pipeline` measures as many frames as it is told, and says what it cannot measure."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.pipeline import run


def test_one_frame_of_each_clip_is_measured() -> None:
    measured = run(None, ["--frames", "1", "--engine", "photo"])
    assert measured["photo.frame_ms_p50"] > 0 and 0 <= measured["photo.swapped_share"] <= 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--frames", "0"], "expected a number from 1"),
        (["--identity", "nobody"], "No identity"),
        (["--engine", "gan"], "gan"),
    ],
)
def test_what_it_cannot_measure_is_one_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(None, ["--frames", "1", *arguments])
    assert says in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("film", "says"), [(None, "found none"), ("broken.mkv", "broken.mkv has no frame that can be read")]
)
def test_material_that_cannot_be_read_is_one_sentence(
    film: str | None, says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clips").mkdir()
    if film is not None:
        (tmp_path / "clips" / film).write_bytes(b"no film")
    with pytest.raises(SystemExit):
        run(tmp_path, [])
    assert says in capfd.readouterr().err.splitlines()[-1]
