"""Words that visitors write and others read: names, and what a request for removal says."""

from __future__ import annotations

import unicodedata

from django.utils.translation import gettext as _

from facedetect.errors import BadRequest

LINES = "\r\n\t"
"""What a text of several lines has."""
JOINERS = "\u200c\u200d"
"""Persian and the scripts of India cannot be spelled without them (nor many an emoji). Of the other format characters a
name needs none, and they hide what it says: U+202E turns around all that follows, on the page and in the audit log."""
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode's general categories of control and format characters, of what is no character, and of other line ends."""
BLANK = set("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters, marks and symbols by their category, and nothing at all by their looks."""
SEEN = "LNPS"
"""First letters of those of letters, numbers, punctuation and symbols."""


def check_text(text: str, allowed: str = JOINERS) -> None:
    """Raises BadRequest for a text that shows nothing, or has characters that are not seen, but for `allowed`."""
    categories = {character: unicodedata.category(character) for character in set(text)}
    hidden = {character for character, category in categories.items() if category in UNSEEN or character in BLANK}
    if hidden - set(allowed) or not any(category[0] in SEEN for category in categories.values()):
        raise BadRequest(_("The text has characters that cannot be seen, or that turn it around. Type it anew."))
