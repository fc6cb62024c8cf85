"""Revision es_0007: checkpoints name the event that they stand at."""

from django.db import migrations, models

from eventstore.contrib.django.revisions import RunRevision


class Migration(migrations.Migration):
    atomic = False
    dependencies = (("eventstore", "0006_history"),)
    operations = (
        RunRevision("es_0007"),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AddField("checkpoint", "event_position", models.BigIntegerField(null=True)),
                migrations.AddField("checkpoint", "event_id", models.UUIDField(null=True)),
                migrations.AddField("checkpoint", "event_stream_id", models.CharField(max_length=255, null=True)),
                migrations.AddField("checkpoint", "event_version", models.BigIntegerField(null=True)),
            ],
        ),
    )
