"""The live check of a `self` enrolment, without I/O: random head turns and a blink, by the person of the picture.

It tells a person before the camera from a photograph held into it. It does not withstand a virtual camera that plays a
film or another swap: docs/safety.md says so.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from identities.inspection import SAME_PERSON, Face

TURN_DEGREES = 18.0
SHUT_EYES, OPEN_EYES = 0.4, 0.65
TURNS = 3


class Challenge(StrEnum):
    """What is asked for; `left` is the person's own left."""

    LEFT = "left"
    RIGHT = "right"
    BLINK = "blink"

    def met_by(self, face: Face) -> bool:
        match self:
            case Challenge.LEFT:
                return face.yaw > TURN_DEGREES
            case Challenge.RIGHT:
                return face.yaw < -TURN_DEGREES
            case Challenge.BLINK:
                return face.eyes_open < SHUT_EYES and abs(face.yaw) < TURN_DEGREES

    def undone_by(self, face: Face) -> bool:
        """Whether `face` is the rest position before this challenge: each must be done anew, not held from before."""
        return face.eyes_open > OPEN_EYES if self is Challenge.BLINK else abs(face.yaw) < TURN_DEGREES / 2


@dataclass
class LiveCheck:
    """The challenges in their order, and how far they are done. It is stored between the frames."""

    challenges: list[Challenge]
    done: int = 0
    rested: bool = False
    """Whether the rest position before the present challenge was seen."""

    @classmethod
    def make(cls, chance: random.Random) -> LiveCheck:
        """Three random turns, and a blink at a random place among them."""
        challenges = [chance.choice((Challenge.LEFT, Challenge.RIGHT)) for _ in range(TURNS)]
        challenges.insert(chance.randrange(TURNS + 1), Challenge.BLINK)
        return cls(challenges)

    @property
    def next(self) -> Challenge | None:
        """What is asked for now; None when all is done."""
        return self.challenges[self.done] if self.done < len(self.challenges) else None

    def see(self, faces: Sequence[Face], descriptor: Sequence[float]) -> bool:
        """Take note of one frame; whether it was the person of `descriptor`, alone.

        Somebody else in the picture starts the check anew: nobody does the turns for another.
        """
        challenge = self.next
        if challenge is None:
            return True
        if len(faces) != 1 or faces[0].distance(descriptor) >= SAME_PERSON:
            self.done, self.rested = 0, False
            return False
        if not self.rested:
            self.rested = challenge.undone_by(faces[0])
        elif challenge.met_by(faces[0]):
            self.done, self.rested = self.done + 1, False
        return True
