"""Our Alembic revisions as operations of Django's migrations. The DDL is in eventstore/migrations/versions, once."""

from typing import Any, Final

from django.db import router
from django.db.migrations.operations.base import Operation

from eventstore import migrations
from eventstore.contrib.django.engines import engine_of
from eventstore.errors import MigrationError, MigrationInsideTransaction
from eventstore.migrations.commands import revisions_after

_NOTHING: Final = "base"


class RunRevision(Operation):
    """Bring the tables to one of our revisions, in a migration with `atomic = False`.

    It runs on a connection of its own, as `eventstore migrate` does: one deployer at a time, indexes built while others
    write, locks tried for but a moment. What another way in has done already is not done again, and the other ways in
    find what was done here: `es_alembic_version` and `es_schema` are written by the revision itself.

    Args:
        revision: As `es_0002`.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(self, revision: str) -> None:
        self.revision = revision

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Do nothing: the migration says what becomes of the models."""

    def database_forwards(self, app_label: str, schema_editor: Any, _from_state: Any, _to_state: Any) -> None:
        """Upgrade; does nothing where the tables are at this revision, or beyond it."""
        if not router.allow_migrate(schema_editor.connection.alias, app_label):
            return
        if schema_editor.collect_sql:
            self._print(schema_editor)
            return
        engine = self._engine(schema_editor)
        migrations.upgrade(engine, self.revision)

    def database_backwards(self, app_label: str, schema_editor: Any, _from_state: Any, _to_state: Any) -> None:
        """Downgrade, to the revision before; does nothing where the tables are at an earlier one.

        Raises:
            EventsWouldBeLost: It would drop the table of the events, and there are some.
        """
        if not router.allow_migrate(schema_editor.connection.alias, app_label):
            return
        if schema_editor.collect_sql:
            schema_editor.collected_sql.append(f"-- {self.revision} is undone online, by: manage.py migrate eventstore")
            return
        engine = self._engine(schema_editor)
        done = migrations.current(engine)
        if done is not None and done >= self.revision:
            migrations.downgrade(engine, self._before())

    def describe(self) -> str:
        """Say what it does, for `migrate --plan`."""
        return f"Run revision {self.revision} of the event store"

    def _engine(self, schema_editor: Any) -> Any:
        connection = schema_editor.connection
        if connection.in_atomic_block:
            raise MigrationInsideTransaction(f"revision {self.revision}")
        return engine_of(connection.alias)

    def _before(self) -> str:
        """Return the revision before this one."""
        names = [_NOTHING, *(name for name, _ in revisions_after(_NOTHING, self.revision))]
        return names[-2]

    def _print(self, schema_editor: Any) -> None:
        """Collect the SQL of this one revision, for `sqlmigrate`."""
        before = self._before()
        dialect = schema_editor.connection.vendor
        try:
            printed = migrations.sql(f"{before}:{self.revision}", dialect=dialect)
        except MigrationError as error:
            printed = f"-- {error}"
        schema_editor.collected_sql.extend(printed.strip().splitlines())
