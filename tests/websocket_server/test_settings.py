"""Settings, tokens' keys and pictures' headers: what is read from the outside, without a server."""

from __future__ import annotations

import struct
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from pictures import picture_size
from settings import Settings, environment_name, load
from tests.websocket_server.servers import RELAY_FOLDER


def test_every_setting_has_a_default_and_a_line_of_help() -> None:
    for each in fields(Settings):
        assert each.metadata["help"], each.name
        assert "\n" not in each.metadata["help"]


def test_the_environment_comes_before_the_env_file(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text('# a comment\n\nFACESWAP_FPS=12\nexport FACESWAP_WINDOW="3"\nFACESWAP_VERIFY_KEY=abc\n')
    settings = load({"FACESWAP_FPS": "15", "FACESWAP_PREDICTORS": "http://a:1/, http://b:2"}, env_file)
    assert (settings.fps, settings.window, settings.verify_key) == (15.0, 3, "abc")
    assert settings.predictors == ("http://a:1", "http://b:2")


@pytest.mark.parametrize(
    ("name", "value"),
    [("fps", "fast"), ("fps", "0"), ("fps", "nan"), ("window", "-1"), ("window", "1.5"), ("trusted_proxies", "home")],
)
def test_a_value_that_cannot_be_read_exits_with_its_name(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SystemExit, match=environment_name(name)):
        load({environment_name(name): value}, tmp_path / ".env")


def test_without_a_key_production_does_not_start(tmp_path: Path) -> None:
    assert load({}, tmp_path / ".env").verify_key == ""
    with pytest.raises(SystemExit, match="FACESWAP_VERIFY_KEY"):
        load({"DEBUG": "0"}, tmp_path / ".env")


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"FACESWAP_VERIFY_KEY": "c2hvcnQ"}, "FACESWAP_VERIFY_KEY"),
        ({"FACESWAP_PREDICTOR": "telepathy"}, "FACESWAP_PREDICTOR"),
        ({"FACESWAP_PREDICTORS": "127.0.0.1:8002"}, "FACESWAP_PREDICTORS"),
        ({"FACESWAP_PREDICTORS": ""}, "FACESWAP_PREDICTORS"),
    ],
)
def test_a_wrong_setting_exits_with_one_sentence(environment: dict[str, str], sentence: str) -> None:
    command = [sys.executable, "-c", "import main"]
    ended = subprocess.run(
        command, cwd=RELAY_FOLDER, env={"FACESWAP_VERIFY_KEY": "", **environment}, capture_output=True, text=True
    )
    assert ended.returncode != 0
    assert sentence in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def jpeg(width: int, height: int, marker: int = 0xC0) -> bytes:
    app0 = b"\xff\xe0\x00\x10JFIF" + bytes(10)
    return b"\xff\xd8" + app0 + b"\xff" + bytes([marker, 0, 17, 8]) + struct.pack(">HH", height, width) + bytes(12)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (jpeg(640, 480), (640, 480)),
        (jpeg(30_000, 30_000, 0xC2), (30_000, 30_000)),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 7, 9), (7, 9)),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(10) + struct.pack("<HH", 640, 480), (640, 480)),
        (b"RIFF\x00\x00\x00\x00WEBPVP8L" + bytes(4) + b"\x2f" + struct.pack("<I", 639 | 479 << 14), (640, 480)),
        (b"RIFF\x00\x00\x00\x00WEBPVP8X" + bytes(8) + b"\x7f\x02\x00\xdf\x01\x00", (640, 480)),
        (b"", None),
        (b"GIF89a", None),
        (b"\xff\xd8", None),
        (b"\xff\xd8\xff\xe0\xff\xff", None),
        (b"\xff\xd8" + b"\xff\xe0\x00\x02" * 1000, None),
        (b"\xff\xd8" + b"\xff\xe0\x00\x00" * 1000, None),
        (b"\x89PNG\r\n\x1a\n", None),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", None),
    ],
)
def test_picture_sizes(data: bytes, size: tuple[int, int] | None) -> None:
    assert picture_size(data) == size
