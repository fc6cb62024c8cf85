"""Migrations: the Alembic revisions that make and change the tables, and the ways to run them.

Run them as a step of your deployment, before the new code starts: `alembic upgrade head` from a checkout, or
`eventstore.migrations.upgrade(engine)`. The store itself only checks that the schema fits.
"""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine

from eventstore.backends import backend_for
from eventstore.migrations.environment import VERSION_TABLE

__all__ = ["current", "upgrade", "versions_path"]

_HERE: Final = Path(__file__).parent


def versions_path() -> Path:
    """Return the folder of the revisions, for `version_locations` of an application's own Alembic."""
    return _HERE / "versions"


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the tables to a revision; does nothing where they are there already.

    Each revision is a transaction of its own: one that fails leaves nothing behind.

    Args:
        engine: Of the database; its user must be allowed to create tables.
        revision: Defaults to the newest.

    Raises:
        UnsupportedDatabase: The engine is of another database or driver.
        alembic.util.CommandError: There is no such revision.
    """
    backend_for(engine, lock_timeout_seconds=0)
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def current(engine: Engine) -> str | None:
    """Return the revision that the tables are at, None where there are none."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
