"""The terms that everybody accepts before a face is swapped."""

from __future__ import annotations

from hashlib import sha256

VERSION = "2026-11"
"""Whoever changes a sentence changes this too: every visitor is then asked anew."""
SENTENCES = (
    "you are 18 or older;",
    "you make no intimate or sexual imagery of anybody;",
    "you deceive nobody: who sees the picture may know that it is modified, and the label stays on.",
)
"""In English; pages translate them (`tests/client_app/test_translations.py` checks that they can)."""
DOCUMENT = sha256("\n".join((VERSION, *SENTENCES)).encode()).hexdigest()
