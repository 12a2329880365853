"""`ModelPrediction`: what AI Platform called a custom prediction routine, and what every server of this package calls.

It takes instances as they come over the wire, and gives predictions as they go over it; the work is in `pipeline`.
"""

from __future__ import annotations

import base64
import binascii
import logging
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from prediction_model.engines.base import SwapEngine
from prediction_model.engines.cache import EngineCache
from prediction_model.errors import (
    BadInstance,
    IdentityNotAllowed,
    PictureTooLarge,
    PredictionError,
    UnreadablePicture,
)
from prediction_model.faces.detect import BlazeFace, Detection, Detector
from prediction_model.faces.dlib_detector import DlibDetector
from prediction_model.identities.package import PORTRAIT, IdentityPackage
from prediction_model.identities.sealing import StoreKey
from prediction_model.identities.store import IdentityStore
from prediction_model.labels.label import put_labels
from prediction_model.options import DEFAULT_IDENTITY, FrameOptions, parse_options
from prediction_model.picture import picture_size, read_picture
from prediction_model.pipeline import FrameAnswer, FrameRequest, Pipeline
from prediction_model.settings import ROOT, Settings, current
from prediction_model.tokens import Session, TokenVerifier
from prediction_model.types import BgrFrame, Box, JsonObject

LOG = logging.getLogger(__name__)

MAX_INSTANCES = 64
MAX_IMAGE_CHARACTERS = 16 * 1024 * 1024
"""Of base64: 12 MiB of picture."""
LARGEST_COORDINATE = 1e5

_OBJECT_FIELDS = {"image", "session", "track", "captured_us", "options"}
_ORIGINAL_FIELDS = {"image", "startX", "startY", "width", "height", "landmarks", "session", "track", "options"}
_RIGHT_EYE_OF_68, _LEFT_EYE_OF_68 = slice(36, 42), slice(42, 48)


class ModelPrediction:
    """Swaps the faces of pictures. Thread-safe.

    Attributes:
        settings: the service's.
        gallery: folder of the shipped identities.
        tokens: checks session tokens.
        store_key: opens enrolled identities, and seals new ones; None: there is none.
        identities: the gallery and the store of enrolled identities.
        pipeline: what runs the frames; `pipeline.finder` is the calling thread's face finder.
    """

    def __init__(self, model_dir: Path, settings: Settings) -> None:
        """Use `from_path`."""
        self.settings = settings
        self.tokens = TokenVerifier(settings.verify_key)
        self.gallery = model_dir
        enrolled = settings.identity_store
        places: list[str | Path] = [model_dir, enrolled if "://" in enrolled else ROOT / enrolled]
        self.store_key = StoreKey.of(settings)
        self.identities = IdentityStore(places, self.tokens, key=self.store_key)
        detector: type[Detector] = DlibDetector if settings.detector == "dlib" else BlazeFace
        decode = partial(read_picture, max_pixels=settings.max_pixels)
        self.pipeline = Pipeline(decode, partial(_label, settings.watermark_key_bytes), detector)
        self._engines = EngineCache(lambda: self.pipeline.finder)

    @classmethod
    def from_path(cls, model_dir: str | Path, settings: Settings | None = None) -> ModelPrediction:
        """Load once per process.

        Args:
            model_dir: a folder of identity packages, such as `prediction_model/identities/gallery`.
            settings: the service's; None: from the environment and `.env`.
        """
        # Frames run side by side in threads of their own: a pool of OpenCV's under each would only get in the way.
        cv2.setNumThreads(1)
        return cls(Path(model_dir), settings or current())

    def predict(self, instances: Sequence[Any], **kwargs: Any) -> list[Any]:
        """One prediction per instance, in order, JSON-serialisable.

        Args:
            instances: any of the contract's three forms: an object with `image.b64`; a base64 text; or an object with
                `image`, `startX`, `startY`, `width`, `height` (and `landmarks`), whose face is not looked for.
            kwargs: what else the request held; not used.

        Returns:
            Answers as in docs/architecture.md. A bad instance becomes `{"error": {"type", "message", "code"}}`.

        Raises:
            BadInstance: `instances` is not a list, or too long.
        """
        if not isinstance(instances, list | tuple) or len(instances) > MAX_INSTANCES:
            received = len(instances) if isinstance(instances, list | tuple) else type(instances).__name__
            raise BadInstance(f"`instances` must be a list of at most {MAX_INSTANCES}; received {received}.")
        room = _PixelRoom(self.settings.max_pixels)
        return [self._predict_one(instance, room) for instance in instances]

    def predict_frame(self, picture: bytes, instance: JsonObject) -> tuple[bytes | None, JsonObject]:
        """The same for one picture, without base64.

        Args:
            picture: JPEG, PNG or WebP.
            instance: the instance's other fields.

        Returns:
            The JPEG (None when it is held back), and the answer without its image.

        Raises:
            PredictionError: the frame cannot be answered.
        """
        answer = self._run(picture, instance)
        return answer.picture, answer.json()

    def warm_up(self) -> None:
        """Swap the default identity's own portrait, so that the first frame of a session does not wait for its engine
        to load. Says so in the log where that cannot be; the service may still serve other identities."""
        portrait = self.gallery / DEFAULT_IDENTITY / PORTRAIT
        try:
            self.predict_frame(portrait.read_bytes(), {})
        except (OSError, PredictionError) as error:
            LOG.warning("%s is not ready to be served: %s", DEFAULT_IDENTITY, error)

    def engine_of(self, package: IdentityPackage, engine: str) -> SwapEngine:
        """The loaded `engine` of `package`; whether anybody may use it is not asked here."""
        return self._engines.get(package, engine)

    def _predict_one(self, instance: Any, room: _PixelRoom) -> Any:
        try:
            if isinstance(instance, str):
                answer = self._run(room.take(_decode_image(instance)), {})
                return None if answer.picture is None else base64.b64encode(answer.picture).decode("ascii")
            if not isinstance(instance, dict):
                raise BadInstance(
                    f"An instance must be an object or a base64 text; received {type(instance).__name__}."
                )
            answer = self._run(room.take(_decode_image(instance.get("image"))), instance)
            image = answer.picture and {"b64": base64.b64encode(answer.picture).decode("ascii")}
            return {"image": image, **answer.json()}
        except PredictionError as error:
            return {"error": {"type": error.type, "message": str(error), "code": error.status}}
        except Exception:
            LOG.exception("an instance was not answered")
            message = "The prediction service failed on this instance: send the next one."
            return {"error": {"type": "internal", "message": message, "code": 500}}

    def _run(self, picture: bytes, instance: JsonObject) -> FrameAnswer:
        original = "startX" in instance
        unknown = sorted(
            str(name) for name in instance if name not in (_ORIGINAL_FIELDS if original else _OBJECT_FIELDS)
        )
        if unknown:
            raise BadInstance(f"An instance has no field {unknown[0][:40]!r}; docs/architecture.md lists its fields.")
        options = parse_options(instance.get("options"))
        token = instance.get("session")
        session = None if token is None else self.tokens.session(token)
        engine, assigned = self._engine(options, session), self._assigned(options, session)
        request = FrameRequest(
            picture,
            options,
            track=None if original else instance.get("track"),
            captured_us=_captured(instance.get("captured_us")),
            payload=0 if session is None else session.payload,
            detections=[_given_face(instance)] if original else None,
        )
        return self.pipeline.run(request, engine, assigned)

    def _assigned(self, options: FrameOptions, session: Session | None) -> dict[int, SwapEngine]:
        """The engines of `options.identities`, by the number of the face that gets them. Each of them is checked as the
        one identity is, also while the face of its number is not in sight: what is not allowed gets no frame at all."""
        assigned = {}
        for number, identity in options.identities.items():
            package = self._package(identity, session)
            engine = options.engine if options.engine in package.engines else None
            assigned[number] = self.engine_of(package, engine or package.engine)
        return assigned

    def _engine(self, options: FrameOptions, session: Session | None) -> SwapEngine:
        package = self._package(options.identity, session)
        engine = options.engine or package.engine
        if engine not in package.engines:
            has = " and ".join(package.engines)
            raise BadInstance(f"`options.engine`: {package.id} has {has}; received {engine!r}.")
        return self.engine_of(package, engine)

    def _package(self, identity: str, session: Session | None) -> IdentityPackage:
        """The package of `identity`, if the session, or anybody at all, may wear it."""
        package = self.identities.get(identity)
        if session is None:
            if package.kind != "synthetic" or package.folder.parent != self.gallery:
                raise IdentityNotAllowed(f"{package.id} needs a session token: start a session on the page.")
        elif session.identities.get(package.id) != package.consent_hash:
            raise IdentityNotAllowed(f"This session may not wear {package.id}: choose it on the page first.")
        elif package.consent_expires <= time.time():
            raise IdentityNotAllowed(f"The consent to wear {package.id} has expired: ask for a new one.")
        return package


class _PixelRoom:
    """Pixels that one call may still have swapped: a few hundred kB could hold dozens of the largest pictures."""

    def __init__(self, pixels: int) -> None:
        self._left = self._most = pixels

    def take(self, picture: bytes) -> bytes:
        """`picture` itself. Raises PictureTooLarge where the call's pictures are too many pixels together."""
        try:
            width, height = picture_size(picture)
        except UnreadablePicture:
            return picture  # costs nothing; what is wrong with it is told where it is read
        if self._left < self._most and width * height > self._left:
            raise PictureTooLarge(
                f"Expected pictures of at most {self._most} pixels in one call; received more. Send fewer at a time."
            )
        self._left -= width * height
        return picture


def _label(key: bytes, frame: BgrFrame, payload: int) -> BgrFrame:
    return put_labels(frame, payload, key)


def _decode_image(image: Any) -> bytes:
    """The bytes of an instance's image: `{"b64": text}` or the text itself, with or without a data URL's head."""
    text = image.get("b64") if isinstance(image, dict) else image
    if not isinstance(text, str) or len(text) > MAX_IMAGE_CHARACTERS:
        raise BadInstance(
            f"`image` must be base64 of a JPEG, PNG or WebP, at most {MAX_IMAGE_CHARACTERS} characters, as text or as "
            f"{{'b64': text}}; received {type(text).__name__}{f' of {len(text)}' if isinstance(text, str) else ''}."
        )
    if text.startswith("data:image/"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadInstance("`image` must be base64, and this is not: encode the picture's bytes.") from None


def _captured(given: Any) -> int | None:
    """`captured_us`: capture time in microseconds."""
    if given is None:
        return None
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given < 1 << 63:
        raise BadInstance(f"`captured_us` must be microseconds, a whole number; received {str(given)[:40]!r}.")
    return given


def _given_face(instance: JsonObject) -> Detection:
    """The face that an instance of the original form names: its box and, where there are 68 landmarks, its eyes."""
    numbers = []
    for name in ("startX", "startY", "width", "height"):
        value = instance.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= LARGEST_COORDINATE:
            raise BadInstance(f"`{name}` must be a number of pixels; received {str(value)[:40]!r}.")
        numbers.append(float(value))
    x, y, width, height = numbers
    if width < 1 or height < 1:
        raise BadInstance(f"`width` and `height` must be at least 1 pixel; received {width:g} and {height:g}.")
    eyes = np.array([[x + 0.3 * width, y + 0.4 * height], [x + 0.7 * width, y + 0.4 * height]], np.float32)
    landmarks = instance.get("landmarks")
    if landmarks is not None:
        try:
            points = np.array(landmarks, np.float32).reshape(-1, 2)
        except (TypeError, ValueError, OverflowError):
            raise BadInstance("`landmarks` must be a list of [x, y] in pixels.") from None
        if not np.isfinite(points).all() or (points.size and np.abs(points).max() > LARGEST_COORDINATE):
            raise BadInstance("`landmarks` must be a list of [x, y] in pixels, all finite.")
        if len(points) == 68:
            eyes = np.stack([points[_RIGHT_EYE_OF_68].mean(axis=0), points[_LEFT_EYE_OF_68].mean(axis=0)])
    return Detection(Box(x, y, width, height), 1.0, eyes)
