"""Migrations: the Alembic revisions that make and change the tables, and the ways to run them.

Run them as a step of your deployment, before the new code starts: `eventstore migrate`, `alembic upgrade head` from a
checkout, or `eventstore.migrations.upgrade(engine)`. The store itself only checks that the schema fits.
"""

from eventstore.migrations.autogenerate import exclude_tables
from eventstore.migrations.commands import check, current, downgrade, head, pending, sql, upgrade, versions_path
from eventstore.migrations.fixing import fix
from eventstore.migrations.lock import deploy_lock
from eventstore.migrations.many_schemas import SchemaOutcome, find_schemas, upgrade_schemas
from eventstore.migrations.provisioning import provision
from eventstore.migrations.settings import Progress
from eventstore.migrations.verification import verify

__all__ = [
    "Progress",
    "SchemaOutcome",
    "check",
    "current",
    "deploy_lock",
    "downgrade",
    "exclude_tables",
    "find_schemas",
    "fix",
    "head",
    "pending",
    "provision",
    "sql",
    "upgrade",
    "upgrade_schemas",
    "verify",
    "versions_path",
]
