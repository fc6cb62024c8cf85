"""Revision es_0002: the indexes for reading the global order."""

from django.db import migrations

from eventstore.contrib.django.revisions import RunRevision


class Migration(migrations.Migration):
    atomic = False
    dependencies = (("eventstore", "0001_tables"),)
    operations = (RunRevision("es_0002"),)
