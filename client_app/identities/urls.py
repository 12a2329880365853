"""Where identities are enrolled and deleted."""

from __future__ import annotations

from django.urls import path

from identities import training_views, views

urlpatterns = [
    path("enrol", views.enrol, name="enrol"),
    path("enrolments", views.enrolments, name="enrolments"),
    path("enrolments/<slug:enrolment>/frames", views.frames, name="enrolment-frames"),
    path("identities/<slug:identity>/revoke", views.revoke, name="identity-revoke"),
    path("trainings", training_views.trainings, name="trainings"),
    path("identities/<slug:identity>/training", training_views.train, name="identity-train"),
    path("identities/<slug:identity>/training/cancel", training_views.cancel, name="identity-train-cancel"),
    path("identities/<slug:identity>/training/preview.jpg", training_views.preview, name="identity-train-preview"),
    path("removal", views.removal, name="removal"),
]
