"""Revision es_0003: the constraints that es_0001 left out."""

from django.db import migrations

from eventstore.contrib.django.revisions import RunRevision


class Migration(migrations.Migration):
    atomic = False
    dependencies = (("eventstore", "0002_read_indexes"),)
    operations = (RunRevision("es_0003"),)
