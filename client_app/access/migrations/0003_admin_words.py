"""What the admin calls things; the tables stay as they are."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("access", "0002_address_identities"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="limit",
            options={"ordering": ["name"], "verbose_name": "limit", "verbose_name_plural": "limits"},
        ),
        migrations.AlterModelOptions(
            name="termsacceptance",
            options={"verbose_name": "acceptance of the terms", "verbose_name_plural": "acceptances of the terms"},
        ),
        migrations.AlterField(
            model_name="limit",
            name="name",
            field=models.CharField(
                choices=[
                    ("visitor_sessions_per_hour", "sessions and pictures of a visitor, an hour"),
                    ("visitor_minutes_per_day", "minutes of a visitor's sessions, a day"),
                    ("address_sessions_per_hour", "sessions and pictures of an address, an hour"),
                    ("address_minutes_per_day", "minutes of an address's sessions, a day"),
                    ("address_identities", "enrolled faces of an address"),
                    ("session_fps", "frames a second of a session"),
                    ("session_pixels", "pixels of a session's frame"),
                    ("session_minutes", "minutes of a session"),
                ],
                max_length=32,
                primary_key=True,
                serialize=False,
                verbose_name="limit",
            ),
        ),
        migrations.AlterField(
            model_name="limit",
            name="value",
            field=models.PositiveIntegerField(
                blank=True,
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(100000000),
                ],
                verbose_name="value",
            ),
        ),
        migrations.AlterField(
            model_name="termsacceptance",
            name="at",
            field=models.DateTimeField(auto_now_add=True, db_index=True, verbose_name="time"),
        ),
        migrations.AlterField(
            model_name="termsacceptance",
            name="document",
            field=models.CharField(help_text="SHA-256 of the terms' text", max_length=64, verbose_name="document"),
        ),
        migrations.AlterField(
            model_name="termsacceptance",
            name="version",
            field=models.CharField(max_length=16, verbose_name="version"),
        ),
        migrations.AlterField(
            model_name="termsacceptance",
            name="visitor",
            field=models.CharField(max_length=32, verbose_name="visitor"),
        ),
    ]
