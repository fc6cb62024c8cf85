"""Revision es_0006: events are protected against changes, and streams can be deleted and archived."""

from django.db import migrations, models

from eventstore.contrib.django.revisions import RunRevision


class Migration(migrations.Migration):
    atomic = False
    dependencies = (("eventstore", "0005_projections"),)
    operations = (
        RunRevision("es_0006"),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AddField("stream", "deleted_version", models.BigIntegerField(null=True)),
                migrations.AddField("stream", "archived_version", models.BigIntegerField(null=True)),
            ],
        ),
    )
