"""`ModelPrediction`: three forms of instance, errors beside answers, sessions and options."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import jwt
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from prediction_model.errors import BadInstance, BadToken, IdentityNotAllowed, UnknownIdentity
from prediction_model.labels.watermark import read
from prediction_model.options import FrameOptions, parse_options
from prediction_model.prediction import MAX_INSTANCES, ModelPrediction
from prediction_model.settings import Settings
from tests.prediction_model.conftest import Frames

SESSION = "5eed" * 8


@pytest.fixture(scope="module")
def jpeg(frames: Frames) -> bytes:
    return bytes(cv2.imencode(".jpg", frames("w1")[0], [cv2.IMWRITE_JPEG_QUALITY, 92])[1])


def text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def picture(answer: str) -> np.ndarray[Any, Any]:
    return np.asarray(cv2.imdecode(np.frombuffer(base64.b64decode(answer), np.uint8), cv2.IMREAD_COLOR))


def untimed(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "timings_ms"}


def test_an_object_gets_an_object(model: ModelPrediction, jpeg: bytes) -> None:
    (answer,) = model.predict([{"image": {"b64": text(jpeg)}, "track": None, "options": {"identity": "p2"}}])
    assert json.loads(json.dumps(answer)) == answer
    assert set(answer) == {"image", "faces", "swapped", "track", "timings_ms"}
    assert answer["swapped"] and picture(answer["image"]["b64"]).shape == (480, 640, 3)
    assert {"decode", "find", "swap", "paste", "label", "encode"} == set(answer["timings_ms"])
    x, y, width, height = answer["faces"][0]["box"]
    assert 100 < x < 300 and 0 < y < 200 and 150 < width < 400 and 150 < height < 400
    assert 0.5 < answer["faces"][0]["confidence"] <= 1


@pytest.mark.parametrize("head", ["", "data:image/jpeg;base64,"])
def test_a_bare_text_gets_a_bare_text(model: ModelPrediction, jpeg: bytes, head: str) -> None:
    (answer,) = model.predict([head + text(jpeg)])
    assert isinstance(answer, str) and picture(answer).shape == (480, 640, 3)


def test_the_original_form_names_the_face(model: ModelPrediction, jpeg: bytes) -> None:
    (found,) = model.predict([{"image": {"b64": text(jpeg)}}])
    x, y, width, height = found["faces"][0]["box"]
    given = {"image": text(jpeg), "startX": x, "startY": y, "width": width, "height": height, "landmarks": []}
    (answer,) = model.predict([given])
    assert answer["swapped"]
    assert answer["faces"][0]["box"] == pytest.approx([x, y, width, height], abs=6)
    corner = {**given, "startX": 0, "startY": 0, "width": 60, "height": 60}
    (elsewhere,) = model.predict([corner])
    assert not elsewhere["swapped"]  # the detector, which would have found the face, did not run


BAD: dict[str, Any] = {
    "a number": 3,
    "no image": {"options": {}},
    "not base64": {"image": {"b64": "?!"}},
    "not a picture": {"image": {"b64": text(b"not a picture")}},
    "unknown field": {"image": {"b64": ""}, "imge": 1},
    "options not an object": {"image": {"b64": ""}, "options": 7},
    "unknown option": {"image": {"b64": ""}, "options": {"speed": 1}},
    "unknown identity": {"image": {"b64": ""}, "options": {"identity": "nobody"}},
    "path for an identity": {"image": {"b64": ""}, "options": {"identity": "../p1"}},
    "box not a number": {"image": "", "startX": "a", "startY": 0, "width": 1, "height": 1},
    "box not finite": {"image": "", "startX": float("nan"), "startY": 0, "width": 1, "height": 1},
    "landmarks of words": {"image": "", "startX": 0, "startY": 0, "width": 9, "height": 9, "landmarks": ["a"]},
    "landmarks beyond numbers": {
        **{"image": "", "startX": 0, "startY": 0, "width": 9, "height": 9},
        "landmarks": [[10**400, 1]],
    },
    "hostile track": {"image": {"b64": ""}, "track": {"faces": 9}},
    "negative time": {"image": {"b64": ""}, "captured_us": -1},
    "session that is none": {"image": {"b64": ""}, "session": "abc"},
    "session of half a character": {"image": {"b64": ""}, "session": "\ud800"},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_instance_leaves_its_neighbours_alone(model: ModelPrediction, jpeg: bytes, bad: Any) -> None:
    if isinstance(bad, dict):
        if bad.get("image") == "":
            bad = {**bad, "image": text(jpeg)}
        if bad.get("image") == {"b64": ""}:
            bad = {**bad, "image": {"b64": text(jpeg)}}
    good, error = model.predict([{"image": {"b64": text(jpeg)}}, bad])
    assert good["swapped"]
    assert set(error) == {"error"} and set(error["error"]) == {"type", "message", "code"}
    assert 400 <= error["error"]["code"] < 500
    assert error["error"]["message"].rstrip().endswith(".") and "Traceback" not in error["error"]["message"]


def test_a_call_takes_no_more_pixels_than_the_largest_picture(gallery: Path, jpeg: bytes) -> None:
    model = ModelPrediction.from_path(gallery, Settings(max_pixels=2 * 640 * 480))
    large = bytes(cv2.imencode(".jpg", np.zeros((960, 1280, 3), np.uint8))[1])
    answers = model.predict([{"image": {"b64": text(data)}} for data in (jpeg, large, jpeg, jpeg)])
    assert [answer.get("swapped") for answer in answers] == [True, None, True, None]
    assert [answer["error"]["code"] for answer in answers if "error" in answer] == [413, 413]


def test_n_instances_are_n_calls(model: ModelPrediction, frames: Frames) -> None:
    pictures = [bytes(cv2.imencode(".jpg", frames(name)[at])[1]) for name, at in (("w1", 0), ("w2", 0), ("w1", 30))]
    instances = [{"image": {"b64": text(data)}, "options": {"quality": 90}} for data in pictures]
    together = [untimed(answer) for answer in model.predict(instances)]
    assert together == [untimed(model.predict([instance])[0]) for instance in instances]


def test_threads_do_not_disturb_each_other(model: ModelPrediction, frames: Frames) -> None:
    pictures = [bytes(cv2.imencode(".jpg", frames(name)[0])[1]) for name in ("w1", "w2")]
    expected = [untimed(model.predict_frame(data, {})[1]) for data in pictures]
    wrong: list[object] = []

    def work(which: int) -> None:
        for _ in range(5):
            answer = untimed(model.predict_frame(pictures[which], {})[1])
            if answer != expected[which]:
                wrong.append(answer)

    threads = [threading.Thread(target=work, args=(which % 2,)) for which in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_predict_frame_holds_back_what_it_cannot_swap(model: ModelPrediction) -> None:
    grey = bytes(cv2.imencode(".jpg", np.full((120, 160, 3), 99, np.uint8))[1])
    held, answer = model.predict_frame(grey, {"options": {"on_failure": "hold"}})
    assert held is None and not answer["swapped"] and answer["faces"] == []
    assert model.predict([{"image": {"b64": text(grey)}, "options": {"on_failure": "hold"}}])[0]["image"] is None


@pytest.mark.parametrize("instances", [{}, "abc", None, [""] * (MAX_INSTANCES + 1)], ids=type)
def test_instances_must_be_a_short_list(model: ModelPrediction, instances: Any) -> None:
    with pytest.raises(BadInstance):
        model.predict(instances)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quality", 0),
        ("quality", 96),
        ("quality", True),
        ("quality", "80"),
        ("strength", -0.1),
        ("strength", float("nan")),
        ("edge", -0.1),
        ("edge", 1.01),
        ("edge", True),
        ("identities", ["p1"]),
        ("identities", {"0": "p1"}),
        ("identities", {"5": "p1"}),
        ("identities", {1: "p1"}),
        ("identities", {"01": "p1"}),
        ("identities", {"1": None}),
        ("identities", {"1": ""}),
        ("identities", {"1": "p" * 65}),
        ("mirror", 1),
        ("faces", "everyone"),
        ("identity", ""),
        ("identity", 1),
        ("eyes", ["mine"]),
        ("on_failure", "show"),
    ],
)
def test_each_option_is_checked(name: str, value: Any) -> None:
    with pytest.raises(BadInstance, match=name):
        parse_options({name: value})


def test_options_left_out_or_null_keep_their_defaults() -> None:
    assert (
        parse_options(None) == parse_options({}) == parse_options({"engine": None, "quality": None}) == FrameOptions()
    )


@pytest.fixture(scope="module")
def signing() -> tuple[Ed25519PrivateKey, Settings]:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return key, Settings(verify_key=base64.urlsafe_b64encode(public).decode().rstrip("="))


@pytest.fixture(scope="module")
def token(signing: tuple[Ed25519PrivateKey, Settings]) -> Callable[..., str]:
    def sign(**changed: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": "faceswap-client",
            "aud": ["faceswap-relay", "faceswap-prediction"],
            "sub": SESSION,
            "iat": now,
            "exp": now + 300,
            "jti": "1",
            "identities": {"p1": ""},
            "limits": {},
            **changed,
        }
        return jwt.encode(claims, signing[0], algorithm="EdDSA")

    return sign


def test_a_session_wears_what_its_token_names_and_marks_it(
    gallery: Path, signing: tuple[Ed25519PrivateKey, Settings], token: Callable[..., str], jpeg: bytes
) -> None:
    model = ModelPrediction.from_path(gallery, signing[1])
    made, _ = model.predict_frame(jpeg, {"session": token(), "options": {"quality": 90}})
    assert made is not None
    frame = np.asarray(cv2.imdecode(np.frombuffer(made, np.uint8), cv2.IMREAD_COLOR), np.uint8)
    assert read(frame, signing[1].watermark_key_bytes) == int(SESSION[:8], 16)
    with pytest.raises(IdentityNotAllowed):
        model.predict_frame(jpeg, {"session": token(), "options": {"identity": "p2"}})
    with pytest.raises(IdentityNotAllowed):
        model.predict_frame(jpeg, {"session": token(identities={"p1": "another hash"})})
    with pytest.raises(BadToken):
        model.predict_frame(jpeg, {"session": token(exp=int(time.time()) - 1)})


def test_dlib_can_find_the_faces(gallery: Path, jpeg: bytes) -> None:
    _, answer = ModelPrediction.from_path(gallery, Settings(detector="dlib")).predict_frame(jpeg, {})
    assert answer["swapped"] and len(answer["faces"]) == 1


def test_without_a_token_only_the_gallery_is_served(tmp_path: Path, gallery: Path, jpeg: bytes) -> None:
    elsewhere = tmp_path / "p1b"
    elsewhere.mkdir()
    for file in (gallery / "p1").iterdir():
        (elsewhere / file.name).write_bytes(file.read_bytes())
    card = json.loads((elsewhere / "identity.json").read_text())
    (elsewhere / "identity.json").write_text(json.dumps({**card, "id": "p1b"}))
    model = ModelPrediction.from_path(gallery, Settings(identity_store=str(tmp_path)))
    with pytest.raises(IdentityNotAllowed):
        model.predict_frame(jpeg, {"options": {"identity": "p1b"}})
    with pytest.raises(UnknownIdentity):
        model.predict_frame(jpeg, {"options": {"identity": "p99"}})
