"""A picture of an enrolled face is up to 12 MiB: it leaves the database where it is shown, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PAGES = """
from datetime import timedelta
import django
django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, reset_queries
from django.test import Client
from django.utils import timezone
from access.terms import VERSION
from identities.encryption import encrypt
from identities.models import Consent, Identity, Training

call_command("migrate", verbosity=0)
client = Client()
assert client.post("/session", {"terms": VERSION}).status_code == 200
owner = client.cookies["faceswap_visitor"].value.partition(":")[0]
consent = Consent.objects.create(subject="Jo", expires=timezone.now() + timedelta(days=1))
about = {"owner": owner, "name": "Jo", "kind": "self", "consent": consent}
identity = Identity.objects.create(id="u-1", portrait=encrypt(b"x"), **about)
Training.objects.create(identity=identity, owner=owner, outcome="failed", ended=timezone.now())
staff = Client()
staff.force_login(User.objects.create_superuser("ada"))

def read(who, path, status=200):
    reset_queries()
    answer = who.get(path)
    assert answer.status_code == status, (path, answer.status_code)
    return any('"portrait"' in query["sql"] for query in connection.queries)

assert "u-1" in client.get("/").content.decode()
print([path for path in ("/", "/stage", "/enrol") if read(client, path)])
print([each for each in ("identity", "consent", "training") if read(staff, f"/admin/identities/{each}/")])
print(read(client, "/gallery/u-1/portrait.jpg"))
"""


def test_no_page_and_no_list_reads_pictures(root: Path, tmp_path: Path) -> None:
    settings = {
        "DEBUG": "1",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "facedetect.settings",
        "ALLOWED_HOSTS": "testserver",
        "SECRET_KEY": "x" * 50,
        "FACESWAP_SIGNING_KEY": "A" * 43,
        "FACESWAP_PREDICTION_URL": "http://127.0.0.1:9",
    }
    ran = subprocess.run(
        [sys.executable, "-c", PAGES],
        cwd=root / "client_app",
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.splitlines() == ["[]", "[]", "True"], ran.stdout + ran.stderr
