"""The command line: files in and out, exit statuses, nothing half-written, nothing overwritten."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from prediction_model.__main__ import main, names
from prediction_model.labels.watermark import read
from prediction_model.settings import current
from prediction_model.tokens import TokenVerifier
from prediction_model.types import BgrFrame
from tests.prediction_model.keys import Signer

Frames = Callable[[str], list[BgrFrame]]


@pytest.fixture
def clip(tmp_path: Path, frames: Frames) -> Path:
    """Twelve frames of w2, with sound."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as made:
        video, sound = made.add_stream("libx264", rate=15), made.add_stream("aac", rate=48_000)
        video.height, video.width, video.pix_fmt = 480, 640, "yuv420p"
        tone = np.sin(np.arange(48_000 * 4 // 5) * 0.05)[None].astype(np.float32)
        audio = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        audio.sample_rate = 48_000
        made.mux(sound.encode(audio))
        for frame in frames("w2")[:12]:
            made.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        made.mux([*video.encode(None), *sound.encode(None)])
    return path


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"serve", "swap", "identities"} <= set(names())
    for name in names():
        with pytest.raises(SystemExit) as stopped:
            main([name, "--help"])
        assert stopped.value.code == 0
        assert f"python -m prediction_model {name}" in capsys.readouterr().out


def test_a_picture_is_swapped_and_labelled(tmp_path: Path, frames: Frames) -> None:
    source, target = tmp_path / "in.png", tmp_path / "out.jpg"
    cv2.imwrite(str(source), frames("w1")[0])
    assert main(["swap", str(source), str(target), "--identity", "p4"]) == 0
    swapped = np.asarray(cv2.imread(str(target)), np.uint8)
    assert read(swapped, current().watermark_key_bytes) == 0
    assert np.abs(swapped[150:350, 240:420].astype(int) - frames("w1")[0][150:350, 240:420]).mean() > 6


def test_a_video_keeps_its_length_and_sound(tmp_path: Path, clip: Path) -> None:
    target = tmp_path / "out.mp4"
    assert main(["swap", str(clip), str(target), "--identity", "p8"]) == 0
    with av.open(str(target)) as made, av.open(str(clip)) as live:
        frames = [np.asarray(f.to_ndarray(format="bgr24"), np.uint8) for f in made.decode(video=0)]
        assert len(frames) == 12
        assert made.streams.audio[0].codec_context.name == "aac"
        assert abs((made.duration or 0) - (live.duration or 0)) < 100_000
    marks = [read(frame, current().watermark_key_bytes) for frame in frames]
    assert marks.count(0) >= 11
    assert list(tmp_path.glob(".*")) == []


def test_nothing_is_overwritten_unasked(tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out.mp4"
    target.write_text("mine")
    assert main(["swap", str(clip), str(target)]) == 2
    assert target.read_text() == "mine" and "--force" in capsys.readouterr().err
    assert main(["swap", str(clip), str(target), "--force"]) == 0
    assert target.stat().st_size > 1000


@pytest.mark.parametrize("content", [b"", b"not a video", b"\0\0\0\x20ftypisom" + bytes(100)])
def test_a_broken_video_leaves_nothing_behind(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    source.write_bytes(content)
    assert main(["swap", str(source), str(target)]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_cut_off_video_leaves_nothing_behind(tmp_path: Path, clip: Path) -> None:
    whole = clip.read_bytes()
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    source.write_bytes(whole[: len(whole) // 2])
    assert main(["swap", str(source), str(target)]) == 1
    assert not target.exists() and list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.mp4", "out.mp4"], "there is no file"),
        (["{clip}", "out.avi"], "OUT must end in"),
        (["{clip}", "nowhere/out.mp4"], "there is no folder"),
    ],
)
def test_wrong_use_is_a_sentence(
    tmp_path: Path, clip: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["swap", *(each.format(clip=clip) for each in arguments)]) == 2
    assert sentence in capsys.readouterr().err


def test_an_unknown_identity_is_a_sentence(tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["swap", str(clip), str(tmp_path / "out.mp4"), "--identity", "nobody"]) == 1
    assert capsys.readouterr().err.strip() == "swap: No identity 'nobody' is served here."


def test_verify_finds_a_changed_package(gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("p1", "p2"):
        shutil.copytree(gallery / name, tmp_path / name)
    assert main(["identities", "verify", str(tmp_path)]) == 0
    (tmp_path / "p2" / "portrait.jpg").write_bytes(b"another")
    assert main(["identities", "verify", str(tmp_path)]) == 1
    assert "p2" in capsys.readouterr().err


def test_a_consent_is_signed_for_one_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    signer = Signer()
    document = tmp_path / "release.pdf"
    document.write_bytes(b"signed")
    monkeypatch.setenv("FACESWAP_SIGNING_KEY", signer.signing_key)
    words = ["consent", "--identity", "me", "--kind", "release", "--subject", "An Actor", "--document", str(document)]
    assert main(["identities", *words]) == 0
    claims = TokenVerifier(signer.verify_key).consent(capsys.readouterr().out.strip())
    assert (claims["sub"], claims["kind"], claims["subject"]) == ("me", "release", "An Actor")
    document.unlink()
    assert main(["identities", *words]) == 1


@pytest.mark.parametrize(
    "words",
    [
        "serve --workers 0",
        "serve --port 65536",
        "serve --threads 1.5",
        "serve-ray --replicas 0",
        "extract in out --per-second 0",
        "extract in out --most-faces -3",
        "train photo in out --id me --kind self --minutes nan",
        "train photo in out --id me --kind self --preview-steps 0",
        "train photo in out --id me --kind self --batch-size x",
    ],
)
def test_a_number_out_of_range_is_said_with_the_range(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    assert stopped.value.code == 2
    assert re.search(r"expected a number from \S+ to \S+, received", capsys.readouterr().err)


def test_a_file_in_the_place_of_a_folder_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["export-package", "--identity", "p1", str(tmp_path / "file" / "model")]) == 1
    assert capsys.readouterr().err == f"export-package: {tmp_path / 'file' / 'model'}: Not a directory.\n"


def test_a_folder_in_the_place_of_a_picture_is_one_sentence(
    tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.mp4").mkdir()
    assert main(["swap", str(clip), str(tmp_path / "out.mp4"), "--force"]) == 2
    assert main(["swap", str(tmp_path), str(tmp_path / "other.mp4")]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_nothing_is_served_from_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="there is no folder"):
        main(["serve", "--model-dir", str(tmp_path / "nowhere")])


def test_no_consent_is_signed_for_an_id_that_none_can_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "signed.pdf").touch()
    words = ["--kind", "self", "--subject", "Me", "--document", str(tmp_path / "signed.pdf")]
    assert main(["identities", "consent", "--identity", "Bad Id", *words]) == 1
    assert "lower-case letters" in capsys.readouterr().err
