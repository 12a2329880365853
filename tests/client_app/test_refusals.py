"""What the prediction service refuses is told by its type; test_translations.py sees to the German."""

from __future__ import annotations

import prediction_model.errors
from facedetect.refusals import SENTENCES, sentence_of

TYPES = {
    each.type for each in vars(prediction_model.errors).values() if isinstance(each, type) and hasattr(each, "type")
}


def test_only_types_that_the_service_has_are_known() -> None:
    assert SENTENCES and set(SENTENCES) <= TYPES


def test_what_is_not_known_is_told_in_the_services_own_words() -> None:
    assert sentence_of("something_new", "Its own sentence.") == "Its own sentence."
