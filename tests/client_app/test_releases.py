"""Who adds other people, whose release nobody here sees; and how often faces are looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from facedetect.configuration import load
from tests.client_app.conftest import Visitor, served
from tests.client_app.test_admin import PASSWORD, Staff
from tests.client_app.test_enrolment import enrol


@pytest.fixture(scope="module")
def picture(root: Path) -> bytes:
    return (root / "prediction_model" / "identities" / "gallery" / "p7" / "portrait.jpg").read_bytes()


@pytest.mark.parametrize(
    ("given", "anyone"),
    [
        ({"DEBUG": "1"}, True),
        ({"DEBUG": "0"}, False),
        ({"DEBUG": "1", "FACESWAP_RELEASES": "staff"}, False),
        ({"DEBUG": "0", "FACESWAP_RELEASES": "anyone"}, True),
    ],
)
def test_who_releases_where_others_can_reach_the_service(given: dict[str, str], anyone: bool, tmp_path: Path) -> None:
    assert load(given, tmp_path / "none", needs_keys=False).anyone_releases == anyone


def test_who_releases_is_one_of_two() -> None:
    with pytest.raises(SystemExit, match="expected anyone or staff, received 'nobody'"):
        load({"FACESWAP_RELEASES": "nobody"}, needs_keys=False)


def test_where_only_staff_releases_nobody_else_does(picture: bytes, tmp_path: Path) -> None:
    with served(tmp_path, FACESWAP_RELEASES="staff") as client:
        visitor = client.visitor()
        page = visitor.http.get(f"{client.address}/enrol", timeout=10)
        assert 'value="self"' in page.text and 'value="release"' not in page.text
        answer = enrol(visitor, picture, kind="release")
        assert answer.status_code == 403
        assert "Only the operator's staff" in answer.json()["error"]["message"]


def test_staff_releases_where_only_staff_does(picture: bytes, tmp_path: Path) -> None:
    with served(tmp_path, FACESWAP_RELEASES="staff") as client:
        superuser = {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
        client.manage("createsuperuser", "--noinput", "--username=ada", "--email=ada@example.org", **superuser)
        visitor = Visitor(client.address, login=Staff(client, "ada").http.cookies["sessionid"] or "")
        answer = enrol(visitor, picture, kind="release")
        assert answer.status_code == 400, "it is looked at, and lacks its end"


def test_enrolling_counts_as_a_look_at_a_face(picture: bytes, tmp_path: Path) -> None:
    with served(tmp_path, FACESWAP_VISITOR_SESSIONS_PER_HOUR="1") as client:
        answer = enrol(client.visitor(), picture)
        assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0
