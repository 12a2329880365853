from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("identities", "0012_unfinished_package"),
    ]

    operations = [
        migrations.AddField(
            model_name=name,
            name="address",
            field=models.CharField(
                blank=True, default="", max_length=64, help_text="keyed hash, to count; empty: not counted"
            ),
        )
        for name in ("identity", "enrolment")
    ]
