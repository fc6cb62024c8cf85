"""Revision es_0008: checks that the code does as well are taken off es_streams and es_events."""

from django.db import migrations

from eventstore.contrib.django.revisions import RunRevision


class Migration(migrations.Migration):
    atomic = False
    dependencies = (("eventstore", "0007_checkpoint_events"),)
    operations = (RunRevision("es_0008"),)
