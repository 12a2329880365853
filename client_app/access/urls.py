"""Where visitors log in and read the terms."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from access import views

urlpatterns = [
    path("terms", views.terms, name="terms"),
    path("login", LoginView.as_view(template_name="access/login.html"), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
]
