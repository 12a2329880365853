"""What gunicorn serves: `gunicorn facedetect.wsgi:application`."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from facedetect.bodies import ReceivedBodies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "facedetect.settings")
application = ReceivedBodies(
    get_wsgi_application(), most_bytes=max(settings.FACESWAP.export_bytes, settings.FACESWAP.picture_bytes)
)
