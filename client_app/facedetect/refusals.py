"""What the prediction service refuses, in the visitor's language; its own sentences are English, and for its log."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

SENTENCES = {
    "extra_missing": _(
        "Training a model needs TensorFlow, which is not installed here. Whoever runs this server starts it with "
        "`python3 run.py --train`."
    ),
    "face_model_missing": _(
        "The face models are missing here. Whoever runs this server starts it with `python3 run.py`, which fetches "
        "them."
    ),
    "picture_too_large": _("The file is too large, or its picture has too many pixels. Choose a smaller one."),
    "picture_too_small": _("The picture is too small. Choose a larger one."),
    "refused_portrait": _("No face can be made from this picture. Choose one that shows your face from the front."),
    "request_too_large": _("The file is too large, or its picture has too many pixels. Choose a smaller one."),
    "store_key_missing": _(
        "Enrolled faces are encrypted, and the key for that is missing here: whoever runs this server sets "
        "FACESWAP_STORE_KEY, which `python3 run.py` makes."
    ),
    "too_many_trainings": _("As many models are being trained as this server takes. Try again later."),
    "unreadable_picture": _(
        "The file is no picture that can be read, nor a film, or it is damaged. Choose another one."
    ),
}
"""By the `type` of its errors (prediction_model/errors.py): those that a visitor can meet."""


def sentence_of(type_: str, own: str) -> str:
    """The sentence for an error of this type, else the service's `own`."""
    return str(SENTENCES.get(type_, own))
