"""Revision es_0001: the tables of streams, events and snapshots."""

import django.db.models.deletion
from django.db import migrations, models

from eventstore.contrib.django.fields import HAS_COMPOSITE_KEYS
from eventstore.contrib.django.revisions import RunRevision

STREAM = {
    "db_column": "stream_id",
    "on_delete": django.db.models.deletion.DO_NOTHING,
    "related_name": "+",
    "to": "eventstore.stream",
}
KEY_OF_SNAPSHOT = (
    (
        (
            "pk",
            models.CompositePrimaryKey(
                "stream_id", "schema_version", blank=True, editable=False, primary_key=True, serialize=False
            ),
        ),
        ("stream", models.ForeignKey(**STREAM)),
    )
    if HAS_COMPOSITE_KEYS
    else (("stream", models.OneToOneField(primary_key=True, serialize=False, **STREAM)),)
)


class Migration(migrations.Migration):
    initial = True
    atomic = False
    dependencies = ()
    operations = (
        RunRevision("es_0001"),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="Stream",
                    fields=[
                        ("stream_id", models.CharField(max_length=255, primary_key=True, serialize=False)),
                        ("category", models.CharField(max_length=255, serialize=False)),
                        ("version", models.BigIntegerField()),
                        ("created_at", models.DateTimeField()),
                        ("updated_at", models.DateTimeField()),
                    ],
                    options={"db_table": "es_streams", "abstract": False, "default_permissions": ("view",)},
                ),
                migrations.CreateModel(
                    name="Event",
                    fields=[
                        ("position", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("version", models.BigIntegerField()),
                        ("category", models.CharField(max_length=255, serialize=False)),
                        ("event_type", models.CharField(max_length=255)),
                        ("event_id", models.UUIDField()),
                        ("recorded_at", models.DateTimeField()),
                        ("schema_version", models.IntegerField()),
                        ("codec", models.SmallIntegerField()),
                        ("data", models.BinaryField()),
                        ("metadata", models.JSONField(null=True)),
                        (
                            "stream",
                            models.ForeignKey(
                                db_column="stream_id",
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="events",
                                to="eventstore.stream",
                            ),
                        ),
                    ],
                    options={"db_table": "es_events", "abstract": False, "default_permissions": ("view",)},
                ),
                migrations.CreateModel(
                    name="Snapshot",
                    fields=[
                        *KEY_OF_SNAPSHOT,
                        ("schema_version", models.IntegerField()),
                        ("version", models.BigIntegerField()),
                        ("codec", models.SmallIntegerField()),
                        ("state", models.BinaryField()),
                        ("created_at", models.DateTimeField()),
                    ],
                    options={"db_table": "snapshots", "abstract": False, "default_permissions": ("view",)},
                ),
            ],
        ),
    )
