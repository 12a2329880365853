from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("identities", "0011_training_model"),
    ]

    operations = [
        migrations.CreateModel(
            name="UnfinishedPackage",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("begun", models.DateTimeField(auto_now_add=True)),
            ],
        ),
    ]
