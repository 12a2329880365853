"""How often the live check takes two people for one, or one for two: dlib's descriptor at the shipped threshold.

Material: `DIR/london`, faces of 102 people, neutral and smiling (DeBruine & Jones, Face Research Lab London Set, CC BY
4.0; measured only). The neutral picture is enrolled, as the page sends it; the smiling one is before the camera, in the
size and compression of the live check's frames. Without that folder: one frame of each committed wearer enrolled,
and later frames before the camera; two people tell nothing about rates.

same.pairs, other.pairs         pairs compared: one person's two pictures; everybody's picture and everybody else's
unseen                          pictures in which no face was found; they are in no pair
false_reject.rate, .low, .high  of `same` pairs, those at the threshold or above it, and the 95 % interval of that share
false_accept.rate, .low, .high  of `other` pairs, those below the threshold. The interval takes pairs for independent,
                                which those of the same person are not: `false_accept.people` is the share of enrolled
                                people whom at least one other would pass for, `.people_high` its interval's end
same.distance_mean, _p95, _max  of `same` pairs; `other.distance_mean`, `_p05`, `_min` of the others
threshold                       the shipped one
at_50, at_55.false_reject, .false_accept    the rates at 0.50 and at 0.55
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import sqrt
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from prediction_model.faces.embed import SAME_PERSON, Descriptor, describe
from prediction_model.training.actors import Mesher
from prediction_model.types import BgrFrame

WEARERS = Path(__file__).resolve().parent.parent / "tests" / "data" / "wearers"
ENROLLED_SIDE, ENROLLED_QUALITY = 1280, 92
"""Pixels of the longest side, and JPEG quality, as `enrol.js` sends the picture."""
LIVE_SIDE, LIVE_QUALITY = 480, 80
"""The same of the live check's frames."""
WEARER_FRAMES = (0, 20, 40, 60)
STRICTER = (0.50, 0.55)
"""Thresholds whose rates are told beside those of the shipped one."""
CONFIDENCE = 1.96
"""Standard deviations within which 95 % of a normal distribution are."""


@dataclass(frozen=True)
class Person:
    """One person's descriptors."""

    name: str
    enrolled: Descriptor
    live: tuple[Descriptor, ...]


def run(data: Path | None, arguments: Sequence[str] = ()) -> Mapping[str, float]:
    """Measure; see the module's docstring."""
    argparse.ArgumentParser(prog="python -m benchmarks livecheck").parse_args(arguments)
    mesher = Mesher()
    people: list[Person] = []
    unseen = 0
    for name, enrolled, live in _pictures(data):
        seen = _describe(mesher, enrolled, ENROLLED_SIDE, ENROLLED_QUALITY)
        shown = [found for p in live if (found := _describe(mesher, p, LIVE_SIDE, LIVE_QUALITY)) is not None]
        unseen += len(live) - len(shown) + (seen is None)
        if seen is not None:
            people.append(Person(name, seen, tuple(shown)))
    same, other, passed_for = _distances(people)
    results = {"threshold": SAME_PERSON, "same.pairs": len(same), "other.pairs": len(other), "unseen": unseen}
    results |= _share("false_reject", int((same >= SAME_PERSON).sum()), len(same))
    results |= _share("false_accept", int((other < SAME_PERSON).sum()), len(other))
    for threshold in STRICTER:
        results[f"at_{threshold * 100:.0f}.false_reject"] = float((same >= threshold).mean())
        results[f"at_{threshold * 100:.0f}.false_accept"] = float((other < threshold).mean())
    among_people = _share("", passed_for, len(people))
    return {
        **results,
        "false_accept.people": among_people[".rate"],
        "false_accept.people_high": among_people[".high"],
        "same.distance_mean": float(same.mean()),
        "same.distance_p95": float(np.quantile(same, 0.95)),
        "same.distance_max": float(same.max()),
        "other.distance_mean": float(other.mean()),
        "other.distance_p05": float(np.quantile(other, 0.05)),
        "other.distance_min": float(other.min()),
    }


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of which `hits` of `count` were seen (Wilson, 1927)."""
    share, spread = hits / count, CONFIDENCE**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = CONFIDENCE * sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def _share(name: str, hits: int, count: int) -> dict[str, float]:
    low, high = wilson(hits, count)
    return {f"{name}.rate": hits / count, f"{name}.low": low, f"{name}.high": high}


def _distances(people: Sequence[Person]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], int]:
    """Distances of `same` pairs and of `other` pairs, and how many of the enrolled somebody else would pass for."""
    same: list[float] = []
    other: list[float] = []
    passed_for = 0
    for enrolled in people:
        strangers: list[float] = []
        for person in people:
            found = [float(np.linalg.norm(enrolled.enrolled - live)) for live in person.live]
            (same if person is enrolled else strangers).extend(found)
        other += strangers
        passed_for += min(strangers) < SAME_PERSON
    return np.array(same, np.float32), np.array(other, np.float32), passed_for


def _pictures(data: Path | None) -> Iterator[tuple[str, BgrFrame, list[BgrFrame]]]:
    """Each person's name, the picture to enrol, and those before the camera."""
    faces = sorted((data / "london").glob("*_*.jpg")) if data is not None else []
    for name, files in groupby(faces, key=lambda path: path.name.partition("_")[0]):
        pictures = {path.stem.partition("_")[2]: path for path in files}
        if {"neutral", "smiling"} <= pictures.keys():
            yield name, _read(pictures["neutral"]), [_read(pictures["smiling"])]
    for path in [] if faces else sorted(WEARERS.glob("*.mp4")):
        film = cv2.VideoCapture(str(path))
        frames = [np.asarray(frame, np.uint8) for _, frame in iter(film.read, (False, None))]
        film.release()
        first, *later = (frames[number] for number in WEARER_FRAMES)
        yield path.stem, first, later


def _read(path: Path) -> BgrFrame:
    picture = cv2.imread(str(path))
    if picture is None:
        raise ValueError(f"Expected a picture; {path.name} cannot be read. Fetch the folder again.")
    return np.asarray(picture, np.uint8)


def _describe(mesher: Mesher, picture: BgrFrame, side: int, quality: int) -> Descriptor | None:
    """The descriptor of the picture as the page would send it; None where no face is seen."""
    scale = min(1.0, side / max(picture.shape[:2]))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    code = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    sent = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
    mesh = mesher.mesh(sent)
    return None if mesh is None else describe(sent, mesh)
