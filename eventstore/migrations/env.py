"""The script that Alembic executes for `eventstore.migrations`; see `environment.py`."""

from alembic import context

from eventstore.migrations import environment
from eventstore.migrations.settings import Settings

settings = Settings.of(context.config)
if context.is_offline_mode():
    environment.run_offline(context.config.attributes["dialect"], settings)
else:
    environment.run(context.config.attributes["connection"], settings)
