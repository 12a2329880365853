"""Where exports are signed and read."""

from __future__ import annotations

from django.urls import path

from exports import views

urlpatterns = [
    path("exports", views.sign, name="exports"),
    path("verify", views.verify, name="verify"),
]
