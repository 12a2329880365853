"""Pictures and descriptors at rest: encrypted with a key that follows from Django's SECRET_KEY.

Who holds the database alone can read none of them; who changes SECRET_KEY loses them (the packages stay).
"""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils.translation import gettext as _

from facedetect.errors import Unavailable

PURPOSE = b"faceswap: identities at rest"


def _cipher() -> Fernet:
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(settings.SECRET_KEY.encode())
    return Fernet(base64.urlsafe_b64encode(key))


def encrypt(data: bytes) -> bytes:
    """`data`, readable by this server only."""
    return _cipher().encrypt(data)


def decrypt(data: bytes | memoryview) -> bytes:
    """What `encrypt` was given. Raises Unavailable where SECRET_KEY has changed since."""
    try:
        return _cipher().decrypt(bytes(data))
    except InvalidToken:
        raise Unavailable(
            _("This picture cannot be read any more: the server's secret has changed. Enrol again.")
        ) from None
