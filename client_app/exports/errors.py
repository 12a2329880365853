"""What can go wrong with a file that is to be signed or read; the tree's root is in `facedetect.errors`.

ClientError
├── BadRequest 400
│   ├── UnsupportedFile 415
│   └── FileTooLarge 413
├── UnmarkedFile 422
└── Unavailable 503
"""

from __future__ import annotations

from facedetect.errors import BadRequest, ClientError


class UnsupportedFile(BadRequest):
    """Neither a picture nor a film that can carry a signature."""

    status = 415
    type = "unsupported_file"


class FileTooLarge(BadRequest):
    """More bytes than the host of this server accepts."""

    status = 413
    type = "file_too_large"


class UnmarkedFile(ClientError):
    """A file without this session's watermark: nobody has foreign files signed here."""

    status = 422
    type = "unmarked_file"
