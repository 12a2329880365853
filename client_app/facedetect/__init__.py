"""The Django project: the studio page, session tokens and pictures."""
