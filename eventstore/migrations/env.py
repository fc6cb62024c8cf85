"""Executed by Alembic for `eventstore.migrations`; see `environment.py`."""

from alembic import context

from eventstore.migrations import environment

environment.run(context.config.attributes["connection"])
