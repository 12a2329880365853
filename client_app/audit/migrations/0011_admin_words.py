"""What the admin calls things; the tables stay as they are."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0010_training_events"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="auditentry",
            options={"ordering": ["number"], "verbose_name": "audit entry", "verbose_name_plural": "audit entries"},
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="at_ms",
            field=models.BigIntegerField(help_text="milliseconds since 1970, UTC", verbose_name="time"),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="consent_hash",
            field=models.CharField(blank=True, max_length=64, verbose_name="consent's hash"),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="details",
            field=models.JSONField(blank=True, default=dict, verbose_name="details"),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="event",
            field=models.CharField(
                choices=[
                    ("session_started", "session started"),
                    ("picture_swapped", "picture swapped"),
                    ("export_signed", "file signed"),
                    ("identity_enrolled", "identity enrolled"),
                    ("identity_revoked", "identity revoked"),
                    ("session_revoked", "session revoked"),
                    ("training_started", "training started"),
                    ("training_ended", "training ended"),
                    ("removal_requested", "removal requested"),
                    ("removal_closed", "request for removal closed"),
                ],
                db_index=True,
                max_length=32,
                verbose_name="event",
            ),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="hash",
            field=models.CharField(help_text="SHA-256 of all of the above", max_length=64, verbose_name="hash"),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="identity",
            field=models.CharField(blank=True, db_index=True, max_length=64, verbose_name="identity"),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="number",
            field=models.BigIntegerField(primary_key=True, serialize=False, verbose_name="number"),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="previous",
            field=models.CharField(help_text="hash of the entry before", max_length=64, verbose_name="entry before"),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="session",
            field=models.CharField(blank=True, db_index=True, max_length=32, verbose_name="session"),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="signature",
            field=models.CharField(help_text="Ed25519 over the hash, hex", max_length=128, verbose_name="signature"),
        ),
    ]
