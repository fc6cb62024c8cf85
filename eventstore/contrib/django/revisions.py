"""Our Alembic revisions as operations of Django's migrations. The DDL is only in eventstore/migrations/versions."""

from typing import Any, Final

from django.db import router
from django.db.migrations.operations.base import Operation
from sqlalchemy import Engine

from eventstore import migrations
from eventstore.contrib.django.command_errors import command_errors
from eventstore.contrib.django.connections import refuse_manual_transactions
from eventstore.contrib.django.engines import engine_of
from eventstore.contrib.django.search_path import schema_to_migrate
from eventstore.errors import MigrationError, MigrationInsideTransaction
from eventstore.migrations.commands import revisions_after

_NOTHING: Final = "base"


class RunRevision(Operation):
    """Migrate the tables to one of our revisions, in a migration with `atomic = False`.

    It runs on a separate connection, as `eventstore migrate` does: one migration at a time, indexes built without
    blocking writers, short attempts to lock tables. It can be mixed with other ways to migrate, because the revision
    itself writes `es_alembic_version` and `es_schema`. On PostgreSQL the tables are in the schema of the project's
    `django_migrations`, so that each tenant has its own.

    Args:
        revision: The revision, such as `es_0002`.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(self, revision: str) -> None:
        self.revision = revision

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Do nothing, because the migration has the changes of the models."""

    def database_forwards(self, app_label: str, schema_editor: Any, _from_state: Any, _to_state: Any) -> None:
        """Upgrade; does nothing if the tables are at this revision or a later one.

        Raises:
            CommandError: The tables can't be migrated. The cause is one of our errors, or one of the database's.
        """
        if not router.allow_migrate(schema_editor.connection.alias, app_label):
            return
        if schema_editor.collect_sql:
            self._print(schema_editor)
            return
        with command_errors():
            engine, schema = self._tables(schema_editor)
            migrations.upgrade(engine, self.revision, schema=schema)

    def database_backwards(self, app_label: str, schema_editor: Any, _from_state: Any, _to_state: Any) -> None:
        """Downgrade to the revision before; does nothing if the tables are at an earlier one.

        Raises:
            CommandError: As for `database_forwards`; the cause is EventsWouldBeLost if it would drop the table of the
                events, which has rows.
        """
        if not router.allow_migrate(schema_editor.connection.alias, app_label):
            return
        if schema_editor.collect_sql:
            schema_editor.collected_sql.append(f"-- {self.revision} is undone online, by: manage.py migrate eventstore")
            return
        with command_errors():
            engine, schema = self._tables(schema_editor)
            current = migrations.current(engine, schema=schema)
            if current is not None and current >= self.revision:
                migrations.downgrade(engine, self._before(), schema=schema)

    def describe(self) -> str:
        """Return the description for `migrate --plan`."""
        return f"Run revision {self.revision} of the event store"

    def _tables(self, schema_editor: Any) -> tuple[Engine, str | None]:
        """Return an engine, and the schema to migrate."""
        connection = schema_editor.connection
        if connection.in_atomic_block:
            raise MigrationInsideTransaction(f"revision {self.revision}")
        refuse_manual_transactions(connection)
        return engine_of(connection.alias), schema_to_migrate(connection)

    def _before(self) -> str:
        """Return the revision before this one."""
        names = [_NOTHING, *(name for name, _ in revisions_after(_NOTHING, self.revision))]
        return names[-2]

    def _print(self, schema_editor: Any) -> None:
        """Collect the SQL of this one revision, for `sqlmigrate`."""
        before = self._before()
        dialect = schema_editor.connection.vendor
        try:
            script = migrations.sql(f"{before}:{self.revision}", dialect=dialect)
        except MigrationError as error:
            script = f"-- {error}"
        schema_editor.collected_sql.extend(script.strip().splitlines())
