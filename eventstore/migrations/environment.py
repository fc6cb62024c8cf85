"""How Alembic runs our revisions, whoever starts it: `alembic` in a checkout or `migrations.upgrade` from the wheel."""

from typing import Final

from alembic import context
from sqlalchemy import Connection, event

from eventstore.backends import engine_for

VERSION_TABLE: Final = "es_alembic_version"
"""Our own: with a shared alembic_version, the application's Alembic and ours would each miss the other's revisions."""


def run(connection: Connection) -> None:
    """Run the revisions that were asked for, each in a transaction of its own."""
    if connection.dialect.name == "sqlite":
        # SQLite's DDL is transactional, but its driver begins no transaction for it
        event.listen(connection, "begin", lambda begun: begun.exec_driver_sql("BEGIN IMMEDIATE"))
    context.configure(
        connection=connection,
        version_table=VERSION_TABLE,
        transaction_per_migration=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_on_url(url: str) -> None:
    """Run them on a database named by a URL."""
    engine = engine_for(url)
    try:
        with engine.connect() as connection:
            run(connection)
    finally:
        engine.dispose()


def run_offline(url: str) -> None:
    """Print the SQL instead of running it."""
    context.configure(
        url=url, version_table=VERSION_TABLE, transaction_per_migration=True, transactional_ddl=True, literal_binds=True
    )
    with context.begin_transaction():
        context.run_migrations()
