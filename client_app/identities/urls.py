"""Where identities are enrolled and deleted."""

from __future__ import annotations

from django.urls import path

from identities import views

urlpatterns = [
    path("enrol", views.enrol, name="enrol"),
    path("enrolments", views.enrolments, name="enrolments"),
    path("enrolments/<slug:enrolment>/frames", views.frames, name="enrolment-frames"),
    path("identities/<slug:identity>/revoke", views.revoke, name="identity-revoke"),
    path("removal", views.removal, name="removal"),
]
