"""Revision es_0004: the rows that are older than these constraints are checked."""

from django.db import migrations

from eventstore.contrib.django.revisions import RunRevision


class Migration(migrations.Migration):
    atomic = False
    dependencies = (("eventstore", "0003_constraints"),)
    operations = (RunRevision("es_0004"),)
