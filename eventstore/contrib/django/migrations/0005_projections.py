"""Revision es_0005: the tables of checkpoints and dead letters."""

import django.db.models.deletion
from django.db import migrations, models

from eventstore.contrib.django.fields import HAS_COMPOSITE_KEYS
from eventstore.contrib.django.revisions import RunRevision

KEY = (
    (
        (
            "pk",
            models.CompositePrimaryKey(
                "projection_id", "position", blank=True, editable=False, primary_key=True, serialize=False
            ),
        ),
    )
    if HAS_COMPOSITE_KEYS
    else ()
)
POSITION = {} if HAS_COMPOSITE_KEYS else {"primary_key": True, "serialize": False}


class Migration(migrations.Migration):
    atomic = False
    dependencies = (("eventstore", "0004_validate_constraints"),)
    operations = (
        RunRevision("es_0005"),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="Checkpoint",
                    fields=[
                        ("name", models.CharField(max_length=255, primary_key=True, serialize=False)),
                        ("position", models.BigIntegerField()),
                        ("updated_at", models.DateTimeField()),
                        ("seen_at", models.DateTimeField(null=True)),
                        ("failed_at", models.DateTimeField(null=True)),
                        ("worker", models.TextField(null=True)),
                        ("failure", models.TextField(null=True)),
                    ],
                    options={"db_table": "es_checkpoints", "abstract": False, "default_permissions": ("view",)},
                ),
                migrations.CreateModel(
                    name="DeadLetter",
                    fields=[
                        *KEY,
                        (
                            "projection",
                            models.ForeignKey(
                                db_column="projection",
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="dead_letters",
                                to="eventstore.checkpoint",
                            ),
                        ),
                        ("position", models.BigIntegerField(**POSITION)),
                        ("version", models.BigIntegerField()),
                        ("stream_id", models.CharField(max_length=255)),
                        ("event_type", models.CharField(max_length=255)),
                        ("event_id", models.UUIDField()),
                        ("status", models.CharField(max_length=255)),
                        ("attempts", models.IntegerField()),
                        ("first_failed_at", models.DateTimeField()),
                        ("last_failed_at", models.DateTimeField()),
                        ("closed_at", models.DateTimeField(null=True)),
                        ("error", models.TextField(null=True)),
                        ("note", models.TextField(null=True)),
                    ],
                    options={
                        "db_table": "es_dead_letters",
                        "permissions": (
                            ("retry_deadletter", "Can retry dead letters"),
                            ("discard_deadletter", "Can discard dead letters"),
                        ),
                        "abstract": False,
                        "default_permissions": ("view",),
                    },
                ),
            ],
        ),
    )
