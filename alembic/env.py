"""Executed by the command `alembic` in a checkout.

The database: `-x url=…`, the environment variable EVENTSTORE_URL, or `sqlalchemy.url` in alembic.ini, in this order.
"""

import os

from alembic import context

from eventstore.migrations import environment

url = (
    context.get_x_argument(as_dictionary=True).get("url")
    or os.environ.get("EVENTSTORE_URL")
    or context.config.get_main_option("sqlalchemy.url")
)
if not url:
    message = "which database? Pass -x url=postgresql+psycopg://…, or set EVENTSTORE_URL"
    raise SystemExit(message)
if context.is_offline_mode():
    environment.run_offline(url)
else:
    environment.run_on_url(url)
