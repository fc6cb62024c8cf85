"""Revision es_0010: streams know a position below those of all their events."""

from django.db import migrations, models

from eventstore.contrib.django.revisions import RunRevision


class Migration(migrations.Migration):
    atomic = False
    dependencies = (("eventstore", "0009_event_tags"),)
    operations = (
        RunRevision("es_0010"),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AddField("stream", "after_position", models.BigIntegerField(default=0, serialize=False)),
            ],
        ),
    )
