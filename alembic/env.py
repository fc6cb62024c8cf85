"""Executed by the command `alembic` in a checkout.

The database: `-x url=…`, the environment variable EVENTSTORE_URL, or `sqlalchemy.url` in alembic.ini, in this order.
A PostgreSQL schema of its own for the tables: `-x schema=…`, or EVENTSTORE_SCHEMA.
"""

import os

from alembic import context
from sqlalchemy import make_url

from eventstore.migrations import environment
from eventstore.migrations.settings import Settings

arguments = context.get_x_argument(as_dictionary=True)
url = arguments.get("url") or os.environ.get("EVENTSTORE_URL") or context.config.get_main_option("sqlalchemy.url")
if not url:
    message = "which database? Pass -x url=postgresql://…, or set EVENTSTORE_URL"
    raise SystemExit(message)
settings = Settings(schema=arguments.get("schema") or os.environ.get("EVENTSTORE_SCHEMA") or None)
if context.is_offline_mode():
    environment.run_offline(make_url(url).get_backend_name(), settings)
else:
    options = context.config.cmd_opts  # None if Alembic is called from Python
    command = "" if options is None else options.cmd[0].__name__
    environment.run_on_url(url, settings, command=command, revision=getattr(options, "revision", ""))
