from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("identities", "0010_training"),
    ]

    operations = [
        migrations.AddField(
            model_name="training",
            name="model",
            field=models.CharField(
                blank=True, default="", help_text="SHA-256 of the model that came into use", max_length=64
            ),
            preserve_default=False,
        ),
    ]
