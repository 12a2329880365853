"""Where everything is."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from django.views.i18n import JavaScriptCatalog, set_language

from facedetect import views

handler400 = "facedetect.telling.unreadable"
handler403 = "facedetect.telling.forbidden"
handler404 = "facedetect.telling.no_such_page"
handler500 = "facedetect.telling.failure"

urlpatterns = [
    path("", views.studio, name="studio"),
    path("stage", views.stage, name="stage"),
    path("gallery/<slug:identity>/portrait.jpg", views.portrait, name="portrait"),
    path("words.js", login_not_required(JavaScriptCatalog.as_view()), name="javascript-catalog"),
    path("language", login_not_required(set_language), name="set_language"),
    path("session", views.session, name="session"),
    path("image", views.image, name="image"),
    path("revocations", views.feed, name="revocations"),
    path("admin/", admin.site.urls),
    path("", include("access.urls")),
    path("", include("exports.urls")),
    path("", include("identities.urls")),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
]
