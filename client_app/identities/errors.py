"""What can go wrong with an identity; the tree's root is in `facedetect.errors`.

ClientError
├── BadRequest 400
│   ├── NoSuchEnrolment 404
│   └── TrainingRuns 409
└── PoorPicture 422
"""

from __future__ import annotations

from facedetect.errors import BadRequest, ClientError


class NoSuchEnrolment(BadRequest):
    """It has ended, or is another visitor's."""

    status = 404
    type = "no_such_enrolment"


class TrainingRuns(BadRequest):
    """The visitor has a training that has not ended."""

    status = 409
    type = "training_runs"


class PoorPicture(ClientError):
    """A picture that cannot become an identity; the sentence says what to do better."""

    status = 422
    type = "poor_picture"
