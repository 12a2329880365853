"""A picture that a form brings."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _

from facedetect.errors import BadRequest, PictureTooLarge


def uploaded_picture(request: HttpRequest) -> tuple[bytes, str]:
    """The form's `picture` and its media type. Raises BadRequest, PictureTooLarge."""
    most = settings.FACESWAP.picture_bytes
    if int(request.META.get("CONTENT_LENGTH") or 0) > most:  # before the form is read
        raise PictureTooLarge(
            _("Expected a picture of at most %(most)d MB. Choose a smaller one.") % {"most": most >> 20}
        )
    picture = request.FILES.get("picture")
    if picture is None or not picture.size:
        raise BadRequest(_("Expected a picture; received none. Choose a JPEG, PNG or WebP photo."))
    return picture.read(), picture.content_type or "application/octet-stream"
