"""Django's settings. What an operator may change is read in `configuration`; the rest follows from it."""

from __future__ import annotations

import os
import secrets
import sys
from datetime import timedelta
from urllib.parse import urlsplit

from csp.constants import NONE, SELF

from facedetect.configuration import ROOT, database, load

BASE_DIR = ROOT / "client_app"
KEYLESS_COMMANDS = {"collectstatic", "makemigrations"}
FACESWAP = load(needs_keys=not KEYLESS_COMMANDS.intersection(sys.argv[1:2]))

DEBUG = FACESWAP.debug
# Without one, a developer's server signs with a secret of its own, which ends with it.
SECRET_KEY = FACESWAP.secret_key or secrets.token_urlsafe(50)
ALLOWED_HOSTS = list(FACESWAP.allowed_hosts)

INSTALLED_APPS = [
    "facedetect",  # before staticfiles: its runserver is the one to run
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "axes",
    "access",
    "identities",
    "exports",
    "audit",
]
MIDDLEWARE = [
    "facedetect.middleware.heads_alone",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "facedetect.middleware.permissions_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "facedetect.middleware.tell_refusals",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    *(["access.login.LoginRequired"] if FACESWAP.login == "required" else []),
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",  # the last, as it asks to be
]
ROOT_URLCONF = "facedetect.urls"
WSGI_APPLICATION = "facedetect.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {"default": database(FACESWAP.database_url)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "studio"
SESSION_COOKIE_AGE = int(timedelta(hours=12).total_seconds())

# Against guessing. Whoever is locked out is so by address, so that nobody can lock another out by their name.
AXES_LOCKOUT_PARAMETERS = ["ip_address"]
AXES_CLIENT_IP_CALLABLE = "access.addresses.login_address"
AXES_FAILURE_LIMIT = FACESWAP.login_failures
AXES_COOLOFF_TIME = timedelta(minutes=FACESWAP.login_lockout_minutes)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_CALLABLE = "access.login.locked_out"
AXES_DISABLE_ACCESS_LOG = True  # who logged in, and from where, is kept no longer than a lockout lasts
AXES_VERBOSE = False

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "facedetect.staticfiles.ModuleStorage"},
}
WHITENOISE_USE_FINDERS = DEBUG

# A picture is read in memory or not at all: no upload is spooled to disk.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
FILE_UPLOAD_MAX_MEMORY_SIZE = FACESWAP.picture_bytes

_websocket = urlsplit(FACESWAP.websocket_url)
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "worker-src": [SELF],
        "style-src": [SELF],
        "font-src": [SELF],
        "img-src": [SELF, "blob:", "data:"],
        "media-src": [SELF, "blob:"],
        "connect-src": [SELF, f"{_websocket.scheme}://{_websocket.netloc}"],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "facedetect.telling.csrf_failure"

# A browser gives a page its camera only over HTTPS (or from this machine).
if not DEBUG and FACESWAP.https:
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^revocations$"]  # what other services ask for
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE = True
if FACESWAP.behind_proxy or "GAE_ENV" in os.environ:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": []},  # Django's own one would say again, while DEBUG is on, what the root's says
        # Who asks by another name is told so; a traceback for each scanner would bury the rest.
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        "axes": {"level": "WARNING"},  # who logs in is not logged
    },
}
