"""Revision es_0009: the table of the tags of events."""

from django.db import migrations, models

from eventstore.contrib.django.fields import HAS_COMPOSITE_KEYS
from eventstore.contrib.django.revisions import RunRevision

KEY = (
    (
        (
            "pk",
            models.CompositePrimaryKey(
                "tag", "position", blank=True, editable=False, primary_key=True, serialize=False
            ),
        ),
    )
    if HAS_COMPOSITE_KEYS
    else ()
)
POSITION = {} if HAS_COMPOSITE_KEYS else {"primary_key": True, "serialize": False}


class Migration(migrations.Migration):
    atomic = False
    dependencies = (("eventstore", "0008_fewer_checks"),)
    operations = (
        RunRevision("es_0009"),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="EventTag",
                    fields=[
                        *KEY,
                        ("tag", models.CharField(max_length=255)),
                        ("position", models.BigIntegerField(**POSITION)),
                        ("event_type", models.CharField(max_length=255)),
                    ],
                    options={"db_table": "es_event_tags", "abstract": False, "default_permissions": ("view",)},
                ),
            ],
        ),
    )
