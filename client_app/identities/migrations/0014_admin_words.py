"""What the admin calls things; the tables stay as they are."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("identities", "0013_address"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="consent",
            options={"verbose_name": "consent", "verbose_name_plural": "consents"},
        ),
        migrations.AlterModelOptions(
            name="identity",
            options={"verbose_name": "identity", "verbose_name_plural": "identities"},
        ),
        migrations.AlterModelOptions(
            name="removalrequest",
            options={"verbose_name": "request for removal", "verbose_name_plural": "requests for removal"},
        ),
        migrations.AlterModelOptions(
            name="revocation",
            options={"verbose_name": "revocation", "verbose_name_plural": "revocations"},
        ),
        migrations.AlterModelOptions(
            name="training",
            options={"verbose_name": "training", "verbose_name_plural": "trainings"},
        ),
        migrations.AlterField(
            model_name="consent",
            name="document",
            field=models.CharField(help_text="SHA-256 of what was agreed to", max_length=64, verbose_name="document"),
        ),
        migrations.AlterField(
            model_name="consent",
            name="expires",
            field=models.DateTimeField(verbose_name="ends"),
        ),
        migrations.AlterField(
            model_name="consent",
            name="given",
            field=models.DateTimeField(auto_now_add=True, verbose_name="given"),
        ),
        migrations.AlterField(
            model_name="consent",
            name="hash",
            field=models.CharField(help_text="SHA-256 of the token", max_length=64, verbose_name="hash"),
        ),
        migrations.AlterField(
            model_name="consent",
            name="subject",
            field=models.CharField(help_text="who agreed", max_length=128, verbose_name="person"),
        ),
        migrations.AlterField(
            model_name="identity",
            name="consent",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, to="identities.consent", verbose_name="consent"
            ),
        ),
        migrations.AlterField(
            model_name="identity",
            name="created",
            field=models.DateTimeField(auto_now_add=True, verbose_name="created"),
        ),
        migrations.AlterField(
            model_name="identity",
            name="engines",
            field=models.CharField(default="photo", help_text="space-separated", max_length=64, verbose_name="engines"),
        ),
        migrations.AlterField(
            model_name="identity",
            name="id",
            field=models.CharField(max_length=64, primary_key=True, serialize=False, verbose_name="id"),
        ),
        migrations.AlterField(
            model_name="identity",
            name="kind",
            field=models.CharField(
                choices=[("self", "own face"), ("release", "by a release")], max_length=8, verbose_name="kind"
            ),
        ),
        migrations.AlterField(
            model_name="identity",
            name="name",
            field=models.CharField(blank=True, max_length=64, verbose_name="name"),
        ),
        migrations.AlterField(
            model_name="identity",
            name="owner",
            field=models.CharField(db_index=True, help_text="the visitor's id", max_length=32, verbose_name="owner"),
        ),
        migrations.AlterField(
            model_name="identity",
            name="revoked",
            field=models.DateTimeField(blank=True, null=True, verbose_name="revoked"),
        ),
        migrations.AlterField(
            model_name="removalrequest",
            name="closed",
            field=models.DateTimeField(blank=True, null=True, verbose_name="closed"),
        ),
        migrations.AlterField(
            model_name="removalrequest",
            name="contact",
            field=models.EmailField(max_length=254, verbose_name="e-mail address"),
        ),
        migrations.AlterField(
            model_name="removalrequest",
            name="due",
            field=models.DateTimeField(verbose_name="due"),
        ),
        migrations.AlterField(
            model_name="removalrequest",
            name="identity",
            field=models.CharField(
                blank=True,
                help_text="id of the identity that it turned out to be about",
                max_length=64,
                verbose_name="identity",
            ),
        ),
        migrations.AlterField(
            model_name="removalrequest",
            name="received",
            field=models.DateTimeField(auto_now_add=True, verbose_name="received"),
        ),
        migrations.AlterField(
            model_name="removalrequest",
            name="what",
            field=models.TextField(
                help_text="which identity, or where it was seen", max_length=2000, verbose_name="words"
            ),
        ),
        migrations.AlterField(
            model_name="revocation",
            name="at",
            field=models.DateTimeField(auto_now_add=True, verbose_name="time"),
        ),
        migrations.AlterField(
            model_name="revocation",
            name="kind",
            field=models.CharField(
                choices=[("identity", "identity"), ("session", "session")], max_length=8, verbose_name="kind"
            ),
        ),
        migrations.AlterField(
            model_name="revocation",
            name="target",
            field=models.CharField(
                db_index=True, help_text="id of the identity or session", max_length=64, verbose_name="what"
            ),
        ),
        migrations.AlterField(
            model_name="training",
            name="ended",
            field=models.DateTimeField(blank=True, null=True, verbose_name="ended"),
        ),
        migrations.AlterField(
            model_name="training",
            name="identity",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, to="identities.identity", verbose_name="identity"
            ),
        ),
        migrations.AlterField(
            model_name="training",
            name="model",
            field=models.CharField(
                blank=True, help_text="SHA-256 of the model that came into use", max_length=64, verbose_name="model"
            ),
        ),
        migrations.AlterField(
            model_name="training",
            name="outcome",
            field=models.CharField(
                blank=True,
                choices=[
                    ("better", "better"),
                    ("not_better", "not better"),
                    ("failed", "failed"),
                    ("cancelled", "cancelled"),
                    ("revoked", "revoked"),
                ],
                max_length=10,
                verbose_name="outcome",
            ),
        ),
        migrations.AlterField(
            model_name="training",
            name="owner",
            field=models.CharField(help_text="the visitor's id", max_length=32, verbose_name="owner"),
        ),
        migrations.AlterField(
            model_name="training",
            name="started",
            field=models.DateTimeField(auto_now_add=True, verbose_name="started"),
        ),
        migrations.AlterField(
            model_name="training",
            name="training",
            field=models.CharField(
                blank=True,
                help_text="the prediction service's id; empty: just being started",
                max_length=16,
                verbose_name="training",
            ),
        ),
    ]
