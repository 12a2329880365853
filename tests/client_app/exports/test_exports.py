"""What leaves the page: signed only with this session's watermark, in memory, and readable by anybody at /verify."""

from __future__ import annotations

import datetime
import io
import time
from pathlib import Path

import av
import cv2
import jwt
import pytest
from cryptography import x509
from django.conf import settings

from exports import certificate, provenance
from facedetect.errors import Unavailable, UnsupportedFile
from facedetect.signing import read_private_key
from prediction_model.labels import watermark
from prediction_model.types import BgrFrame
from tests.client_app.conftest import Client, Visitor

SESSION = "0123456789abcdef" * 2

if not settings.configured:
    settings.configure(USE_I18N=False)  # for what errors say; the server has settings of its own


@pytest.fixture(scope="module")
def visitor(client: Client) -> Visitor:
    return client.visitor()


def marked(frame: BgrFrame, session: str, key: bytes) -> BgrFrame:
    copy = frame.copy()
    watermark.embed(copy, int(session[:8], 16), key)
    return copy


def encoded(frame: BgrFrame, ending: str = ".jpg") -> bytes:
    return bytes(cv2.imencode(ending, frame)[1])


def film(frame: BgrFrame, frames: int = 10) -> bytes:
    """Fragmented MP4, as a browser's MediaRecorder writes it."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov"}) as out:
        stream = out.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt = frame.shape[1], frame.shape[0], "yuv420p"
        for _ in range(frames):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        out.mux(stream.encode())
    return file.getvalue()


class TestProvenance:
    """Signing and reading, without a server."""

    signer = certificate.self_made()

    def test_a_certificate_that_has_ended_signs_nothing(self) -> None:
        ends = x509.load_pem_x509_certificates(self.signer.chain)[0].not_valid_after_utc
        self.signer.check(ends - datetime.timedelta(seconds=1))
        with pytest.raises(Unavailable, match=f"ended on {ends.date()}"):
            self.signer.check(ends)

    @pytest.mark.parametrize("media", ["image/jpeg", "image/png", "video/mp4"])
    def test_a_signed_file_says_what_was_done_to_it(self, frame: BgrFrame, media: str) -> None:
        data = film(frame) if media == "video/mp4" else encoded(frame, f".{media[6:]}")
        signed = provenance.sign(data, provenance.media_type(data), self.signer, SESSION, {"p1": "cafe", "p8": ""})
        found = provenance.read(signed, media, self.signer)
        assert found is not None
        assert (found.state, found.ai_made, found.session) == ("trusted", True, SESSION)
        assert found.identities == ("p1", "p8")
        assert provenance.read(data, media, self.signer) is None

    def test_another_servers_signature_holds_but_is_not_trusted(self, frame: BgrFrame) -> None:
        signed = provenance.sign(encoded(frame), "image/jpeg", certificate.self_made(), SESSION, {"p1": ""})
        found = provenance.read(signed, "image/jpeg", self.signer)
        assert found is not None and found.state == "valid"

    def test_one_changed_byte_breaks_the_signature(self, frame: BgrFrame) -> None:
        signed = bytearray(provenance.sign(encoded(frame), "image/jpeg", self.signer, SESSION, {"p1": ""}))
        signed[len(signed) * 3 // 4] ^= 0xFF
        found = provenance.read(bytes(signed), "image/jpeg", self.signer)
        assert found is not None and found.state == "invalid"

    def test_a_damaged_file_is_not_signed(self, frame: BgrFrame) -> None:
        with pytest.raises(UnsupportedFile, match="damaged"):
            provenance.sign(encoded(frame, ".png")[:2000], "image/png", self.signer, SESSION, {"p1": ""})

    def test_the_certificate_is_made_once_and_its_key_is_private(self, tmp_path: Path) -> None:
        made = certificate.load(tmp_path / "c2pa")
        assert certificate.load(tmp_path / "c2pa") == made
        assert (tmp_path / "c2pa" / certificate.KEY_FILE).stat().st_mode & 0o777 == 0o600
        assert [path.name for path in tmp_path.iterdir()] == ["c2pa"]


class TestSigning:
    """`POST /exports`."""

    @pytest.mark.parametrize("media", ["image/jpeg", "image/png", "video/mp4"])
    def test_a_file_of_this_session_comes_back_signed_and_verifies(
        self, client: Client, visitor: Visitor, frame: BgrFrame, media: str
    ) -> None:
        picture = marked(frame, visitor.session, client.watermark_key)
        data = film(picture) if media == "video/mp4" else encoded(picture, f".{media[6:]}")
        answer = visitor.export(data, media)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == media
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="ai-modified-')

        found = client.visitor().verify(answer.content, media).json()
        assert found["verdict"] == "modified"
        assert found["signature"]["state"] == "trusted"
        assert found["signature"]["session"] == visitor.session
        assert found["watermark"]["sessions"] == [visitor.session[:8]]

    def test_a_file_without_a_watermark_is_refused(self, visitor: Visitor, frame: BgrFrame) -> None:
        answer = visitor.export(encoded(frame), "image/jpeg")
        assert (answer.status_code, answer.json()["error"]["type"]) == (422, "unmarked_file")

    def test_another_sessions_file_is_refused(self, client: Client, visitor: Visitor, frame: BgrFrame) -> None:
        picture = marked(frame, client.visitor().session, client.watermark_key)
        assert visitor.export(encoded(picture), "image/jpeg").status_code == 422

    def test_a_revoked_session_signs_nothing(self, client: Client, frame: BgrFrame) -> None:
        visitor = client.visitor()
        client.manage("revoke", "session", visitor.session)
        picture = marked(frame, visitor.session, client.watermark_key)
        assert visitor.export(encoded(picture), "image/jpeg").status_code == 403

    @pytest.mark.parametrize("token", ["", "a.b.c"])
    def test_without_a_session_nothing_is_signed(
        self, client: Client, visitor: Visitor, frame: BgrFrame, token: str
    ) -> None:
        picture = marked(frame, visitor.session, client.watermark_key)
        assert visitor.export(encoded(picture), "image/jpeg", token=token).status_code == 403

    @pytest.mark.parametrize(("hours", "status"), [(23, 200), (25, 403)])
    def test_what_the_page_kept_is_signed_for_a_day(
        self, client: Client, visitor: Visitor, frame: BgrFrame, hours: int, status: int
    ) -> None:
        key = read_private_key(client.environment["FACESWAP_SIGNING_KEY"])
        claims = jwt.decode(visitor.token, options={"verify_signature": False})
        late = jwt.encode({**claims, "exp": int(time.time()) - hours * 3600}, key, algorithm="EdDSA")
        picture = marked(frame, visitor.session, client.watermark_key)
        assert visitor.export(encoded(picture), "image/jpeg", token=late).status_code == status

    def test_an_identity_that_is_not_offered_is_refused(self, visitor: Visitor, frame: BgrFrame) -> None:
        for identity in ("nobody", "", "p1,nobody"):
            assert visitor.export(encoded(frame), "image/jpeg", identity=identity).status_code == 404
        assert visitor.export(encoded(frame), "image/jpeg", identity=",".join(["p1"] * 33)).status_code == 400

    def test_every_face_in_the_picture_is_named(self, client: Client, visitor: Visitor, frame: BgrFrame) -> None:
        picture = marked(frame, visitor.session, client.watermark_key)
        signed = visitor.export(encoded(picture), "image/jpeg", identity="p1,p8").content
        found = client.visitor().verify(signed, "image/jpeg").json()
        assert found["signature"]["identities"] == ["p1", "p8"]

    def test_another_kind_of_file_is_refused(self, visitor: Visitor) -> None:
        answer = visitor.export(b"GIF89a" + bytes(100), "image/gif")
        assert (answer.status_code, answer.json()["error"]["type"]) == (415, "unsupported_file")

    def test_a_file_beyond_the_limit_is_refused_by_its_length(self, visitor: Visitor) -> None:
        answer = visitor.export(bytes((31 << 20) + 1), "video/mp4")
        assert (answer.status_code, answer.json()["error"]["type"]) == (413, "file_too_large")

    def test_a_foreign_page_cannot_post(self, visitor: Visitor) -> None:
        answer = visitor.post("/exports", b"x", "image/jpeg", **{"X-CSRFToken": "wrong"})
        assert answer.status_code == 403

    def test_no_upload_touches_the_disk(self, client: Client, visitor: Visitor, frame: BgrFrame) -> None:
        before = sorted(client.folder.rglob("*"))
        large = encoded(marked(cv2.resize(frame, (1920, 1440)), visitor.session, client.watermark_key), ".png")
        assert len(large) > 2_621_440  # from where Django spools uploads by default
        assert visitor.export(large, "image/png").status_code == 200
        assert sorted(client.folder.rglob("*")) == before


class TestVerify:
    """`/verify`, without a signature."""

    def test_an_untouched_picture_is_said_to_be_unknown(self, client: Client, frame: BgrFrame) -> None:
        found = client.visitor().verify(encoded(frame), "image/jpeg").json()
        assert (found["verdict"], found["signature"], found["watermark"]["sessions"]) == ("unknown", None, [])
        assert any("does not prove" in sentence for sentence in found["sentences"])

    def test_the_watermark_is_found_where_the_signature_was_removed(self, client: Client, frame: BgrFrame) -> None:
        small = cv2.resize(marked(frame, SESSION, client.watermark_key), None, fx=0.5, fy=0.5)
        found = client.visitor().verify(
            bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]), "image/jpeg"
        )
        assert found.json()["verdict"] == "modified"
        assert found.json()["watermark"]["sessions"] == [SESSION[:8]]

    def test_a_changed_file_is_said_to_be_changed(self, client: Client, frame: BgrFrame) -> None:
        visitor = client.visitor()
        signed = bytearray(
            visitor.export(encoded(marked(frame, visitor.session, client.watermark_key)), "image/jpeg").content
        )
        signed[len(signed) * 3 // 4] ^= 0xFF
        assert visitor.verify(bytes(signed), "image/jpeg").json()["verdict"] == "changed"
