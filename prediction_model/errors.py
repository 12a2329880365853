"""What can go wrong in the prediction service, as one shallow tree.

PredictionError
├── BadInstance          400
├── BadToken             401
├── EngineFileRefused    500
├── ExportRefused        500
├── ExtraMissing         501
├── FaceModelMissing     503
├── IdentityNotAllowed   403
├── IdentityTaken        409
├── InstanceFailed       500
├── LabellingFailed      500
├── PackageRefused       409
├── PictureTooLarge      413
├── PictureTooSmall      400
├── RefusedPortrait      422
├── RequestTooLarge      413
├── RunRefused           400
├── StoreKeyMissing      503
├── StoreUnreachable     503
├── TooManyTrainings     429
├── TrainingDataRefused  400
├── TrainingOutOfMemory  507
├── UnknownIdentity      404
├── UnknownTraining      404
└── UnreadablePicture    400
"""

from __future__ import annotations

CANONICAL = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}
"""Google's canonical code for an HTTP status; `INTERNAL` for any other."""


class PredictionError(Exception):
    """Root of the tree. `type` names it in answers, `status` is the HTTP status it becomes."""

    type = "internal"
    status = 500

    @property
    def canonical(self) -> str:
        """Google's name for the status, as their APIs answer it."""
        return CANONICAL.get(self.status, "INTERNAL")


class BadInstance(PredictionError):
    """An instance whose fields are not those of the contract."""

    type = "bad_instance"
    status = 400


class BadToken(PredictionError):
    """A session's, an operator's or a consent's token that does not hold."""

    type = "bad_token"
    status = 401


class EngineFileRefused(PredictionError):
    """A file of an identity package that its engine cannot use."""

    type = "engine_file_refused"
    status = 500

    def __init__(self, source: str, why: str) -> None:
        super().__init__(f"The engine file {source} is refused: {why}. Export the identity again.")


class ExportRefused(PredictionError):
    """What would be served differs too much from what was trained."""

    type = "export_refused"
    status = 500

    def __init__(self, difference: float, largest: float) -> None:
        super().__init__(
            f"The int8 weights differ from the trained ones by {difference:.2f} of 255 on average, expected at most "
            f"{largest:.0f}: nothing was exported. Train longer, or look for a run that diverged."
        )


class ExtraMissing(PredictionError):
    """An optional dependency that this needs is not installed."""

    type = "extra_missing"
    status = 501

    def __init__(self, what: str, package: str, extra: str) -> None:
        remedy = "run `python3 run.py --train`, or " if extra == "train" else ""
        super().__init__(f"{what} needs {package}, which is not installed: {remedy}`pip install '.[{extra}]'`.")


class FaceModelMissing(PredictionError):
    """A face model's file is absent or not the expected one."""

    type = "face_model_missing"
    status = 503

    def __init__(self, name: str, why: str, install: str) -> None:
        super().__init__(
            f"The model {name} cannot be used because {why}: start with `python3 run.py`, or run `{install}`."
        )


class IdentityNotAllowed(PredictionError):
    """The session's token, or its absence, does not allow this identity."""

    type = "identity_not_allowed"
    status = 403


class IdentityTaken(PredictionError):
    """An id that another identity has."""

    type = "identity_taken"
    status = 409


class InstanceFailed(PredictionError):
    """What the model put in an instance's place: its type and status are those of the error it names."""

    type = "internal"
    status = 500

    def __init__(self, error: object) -> None:
        told = error if isinstance(error, dict) else {}
        super().__init__(str(told.get("message", "The model failed on this instance: send the next one.")))
        self.type = str(told.get("type", self.type))
        code = told.get("code")
        self.status = code if isinstance(code, int) and 400 <= code < 600 else self.status


class LabellingFailed(PredictionError):
    """The badge or the watermark could not be put on: no frame leaves."""

    type = "labelling_failed"
    status = 500


class PackageRefused(PredictionError):
    """An identity package whose hashes, kind or consent do not hold."""

    type = "package_refused"
    status = 409

    def __init__(self, identity: str, why: str) -> None:
        super().__init__(f"The identity package {identity!r} is refused: {why}. Make or fetch it again.")


class PictureTooLarge(PredictionError):
    """A picture of too many bytes or pixels."""

    type = "picture_too_large"
    status = 413


class PictureTooSmall(PredictionError):
    """A picture on which a label could not be read."""

    type = "picture_too_small"
    status = 400


class RefusedPortrait(PredictionError):
    """A portrait that no identity can be made from."""

    type = "refused_portrait"
    status = 422


class RequestTooLarge(PredictionError):
    """A request of too many bytes."""

    type = "request_too_large"
    status = 413


class RunRefused(PredictionError):
    """A training run's folder that cannot be continued or exported as asked."""

    type = "run_refused"
    status = 400


class StoreKeyMissing(PredictionError):
    """An enrolled face that cannot be kept: it would lie on the disk for everybody to see."""

    type = "store_key_missing"
    status = 503

    def __init__(self) -> None:
        super().__init__(
            "Enrolled faces are encrypted at rest, and FACESWAP_STORE_KEY is not set: `python3 run.py` writes one into "
            "`.env`; set it where the prediction service runs."
        )


class StoreUnreachable(PredictionError):
    """A store of identity packages, or the folder of trainings, that does not answer or is full."""

    type = "store_unreachable"
    status = 503

    def __init__(self, place: str, error: Exception) -> None:
        why = getattr(error, "strerror", None) or type(error).__name__
        super().__init__(f"The store {place} cannot be used ({why}): try again later.")


class TooManyTrainings(PredictionError):
    """More trainings wait than this service keeps."""

    type = "too_many_trainings"
    status = 429


class TrainingDataRefused(PredictionError):
    """Pictures, videos or folders that nothing can be trained on."""

    type = "training_data_refused"
    status = 400


class TrainingOutOfMemory(PredictionError):
    """The training does not fit into memory."""

    type = "training_out_of_memory"
    status = 507

    def __init__(self, batch_size: int) -> None:
        smaller = f"--batch-size {max(1, batch_size // 2)}" if batch_size > 1 else "a smaller --preset"
        super().__init__(f"A batch of {batch_size} does not fit into memory: train with {smaller}.")


class UnknownIdentity(PredictionError):
    """No package of that id is served here."""

    type = "unknown_identity"
    status = 404


class UnknownTraining(PredictionError):
    """No training of that id is known here."""

    type = "unknown_training"
    status = 404


class UnreadablePicture(PredictionError):
    """Bytes that are no picture, or a broken one."""

    type = "unreadable_picture"
    status = 400
