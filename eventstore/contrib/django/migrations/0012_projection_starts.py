"""Revision es_0012: where projections begin, their partitions, and which events had outside effects."""

from django.db import migrations, models

from eventstore.contrib.django.revisions import RunRevision


class Migration(migrations.Migration):
    atomic = False
    dependencies = (("eventstore", "0011_detached_parts"),)
    operations = (
        RunRevision("es_0012"),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AddField("checkpoint", "started_after", models.BigIntegerField(default=0)),
                migrations.AddField("checkpoint", "outside_after", models.BigIntegerField(null=True)),
                migrations.AddField("checkpoint", "partitions", models.IntegerField(default=1)),
                migrations.AddField("checkpoint", "next_partitions", models.IntegerField(null=True)),
                migrations.AddField("checkpoint", "stop_position", models.BigIntegerField(null=True)),
                migrations.AddField("checkpoint", "partition_number", models.IntegerField(null=True)),
                migrations.AddField("checkpoint", "partition_of", models.CharField(max_length=255, null=True)),
            ],
        ),
    )
