"""Fault 14, a full disk: the prediction service says so in a sentence, leaves nothing half-written, and swaps on.

What fills the disk of a running service is its own limit of file sizes (`RLIMIT_FSIZE`): a write beyond it fails in the
middle, as on a full disk, with EFBIG in the place of ENOSPC. That needs no root.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from prediction_model.identities.package import FACE
from prediction_model.types import BgrFrame
from tests.prediction_model.serving.test_http import Service, serving
from tests.prediction_model.serving.test_studio import Studio, jpeg_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of a running process are Linux's")

NOTHING = 0
HALF_A_PORTRAIT = 20_000
"""Bytes: less than a portrait, more than a card."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("full")


@pytest.fixture
def service(folder: Path, free_port: Callable[[], int]) -> Iterator[Service]:
    with serving(free_port(), folder=folder) as running:
        yield running


@pytest.fixture
def portrait(gallery: Path) -> bytes:
    return (gallery / "p8" / FACE).read_bytes()


@contextmanager
def full_disk(service: Service, left: int) -> Iterator[None]:
    """No file of the service's workers can grow beyond `left` bytes."""
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text(encoding="ascii")
    workers = [int(pid) for pid in children.split()]
    assert workers
    before = [resource.prlimit(worker, resource.RLIMIT_FSIZE) for worker in workers]
    for worker, (_, hard) in zip(workers, before, strict=True):
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (left, hard))
    yield
    for worker, limits in zip(workers, before, strict=True):
        resource.prlimit(worker, resource.RLIMIT_FSIZE, limits)


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_14_with_a_full_disk_nobody_is_enrolled_and_sessions_go_on(
    service: Service, folder: Path, portrait: bytes, frames: Callable[[str], list[BgrFrame]]
) -> None:
    studio, picture = Studio(service), jpeg_of(frames("w1")[10])
    status, made = studio.enrol("before", portrait)
    assert status == 201
    wear = {"session": service.signer.session({"before": made["consent_hash"]}), "options": {"identity": "before"}}
    enrolled = files_in(folder / "enrolled")
    for left in (NOTHING, HALF_A_PORTRAIT):
        with full_disk(service, left):
            status, answer = studio.enrol("late", portrait)
            assert (status, answer["error"]["type"]) == (503, "store_unreachable")
            assert answer["error"]["message"].endswith("cannot be used (File too large): try again later.")
            assert service.frame(picture, wear)[1]["swapped"] is True
            assert service.frame(picture, {"options": {"identity": "p1"}})[1]["swapped"] is True
        assert files_in(folder / "enrolled") == enrolled, "nothing half-written"
    assert studio.enrol("late", portrait)[0] == 201, "once there is room again"
    with full_disk(service, NOTHING):
        assert studio.call("DELETE", "/v1/identities/before") == (204, {}), "what is deleted needs no room"
    assert service.frame(picture, wear)[0] == 404


@pytest.mark.skipif(find_spec("keras") is None, reason="what trains is not installed: `python3 run.py --train`")
def test_14_with_a_full_disk_no_training_is_begun(service: Service, folder: Path, portrait: bytes) -> None:
    studio = Studio(service)
    assert studio.enrol("learner", portrait)[0] == 201
    with full_disk(service, NOTHING):
        status, answer = studio.call("POST", "/v1/trainings", b'{"identity": "learner"}', "application/json")
        assert (status, answer["error"]["type"]) == (503, "store_unreachable")
    assert files_in(folder / "trainings") == set(), "no face is left there"
