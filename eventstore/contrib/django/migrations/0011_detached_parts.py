"""Revision es_0011: the list of the parts of the log that were detached."""

from django.db import migrations, models

from eventstore.contrib.django.revisions import RunRevision


class Migration(migrations.Migration):
    atomic = False
    dependencies = (("eventstore", "0010_after_position"),)
    operations = (
        RunRevision("es_0011"),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="DetachedPart",
                    fields=[
                        ("first_position", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("last_position", models.BigIntegerField()),
                        ("events", models.BigIntegerField()),
                        ("detached_at", models.DateTimeField()),
                        ("name", models.TextField()),
                        ("location", models.TextField(null=True)),
                        ("sha256", models.TextField(null=True)),
                    ],
                    options={"db_table": "es_detached_parts", "abstract": False, "default_permissions": ("view",)},
                ),
            ],
        ),
    )
