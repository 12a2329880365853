from typing import Any

from django.db import migrations, models

NAME = "address_identities"


def make_row(apps: Any, schema_editor: Any) -> None:
    """Beside the others, so that the admin shows it."""
    apps.get_model("access", "Limit").objects.get_or_create(name=NAME)


class Migration(migrations.Migration):
    dependencies = [
        ("access", "0001_initial"),
    ]

    operations = [
        migrations.AlterField(
            model_name="limit",
            name="name",
            field=models.CharField(
                choices=[
                    ("visitor_sessions_per_hour", "Visitor Sessions Per Hour"),
                    ("visitor_minutes_per_day", "Visitor Minutes Per Day"),
                    ("address_sessions_per_hour", "Address Sessions Per Hour"),
                    ("address_minutes_per_day", "Address Minutes Per Day"),
                    (NAME, "Address Identities"),
                    ("session_fps", "Session Fps"),
                    ("session_pixels", "Session Pixels"),
                    ("session_minutes", "Session Minutes"),
                ],
                max_length=32,
                primary_key=True,
                serialize=False,
            ),
        ),
        migrations.RunPython(make_row, migrations.RunPython.noop),
    ]
