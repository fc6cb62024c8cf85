"""What revisions are made of, beside Alembic's own operations.

Each function can be repeated, works on both databases, and offline where it says nothing else.

A revision imports this module and nothing else of the package. So what a function does may be improved, but what comes
of it in the database must stay the same.
"""

import inspect
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from eventstore.errors import EventsWouldBeLost
from eventstore.migrations import on_postgresql, on_sqlite
from eventstore.migrations.dependents import refuse_dependents
from eventstore.migrations.place import refuse_elsewhere
from eventstore.migrations.settings import Settings
from eventstore.migrations.strangers import refuse_own, refuse_strangers

_DROPPED: Final = {
    "es_0001": ("es_streams", "es_events", "snapshots", "es_schema"),
    "es_0005": ("es_checkpoints", "es_dead_letters"),
}
"""The tables that undoing a revision drops, in the order in which appends and projections lock them."""
_DROPPED_COLUMNS: Final = {
    "es_0006": (("es_streams", "deleted_version"), ("es_streams", "archived_version")),
    "es_0007": tuple(
        ("es_checkpoints", name) for name in ("event_version", "event_stream_id", "event_id", "event_position")
    ),
}
_DROPPED_FUNCTIONS: Final = {"es_0006": ("es_refuse_history_change",)}


def schema() -> str | None:
    """Return the PostgreSQL schema of the tables, for the operations of Alembic."""
    return Settings.of(op.get_context().config).schema


def qualified(name: str) -> str:
    """Return the name of a table, with its schema if there is one, as it stands in text for `op.execute`.

    SQLAlchemy takes a colon there for the beginning of a parameter, so it is escaped. `add_constraints` knows that.
    """
    return _name(name).replace(":", "\\:")


def _name(name: str) -> str:
    """Return the same as it stands in SQL."""
    preparer = op.get_context().dialect.identifier_preparer
    of = schema()
    quoted = preparer.quote(name) if of is None else f"{preparer.quote_schema(of)}.{preparer.quote(name)}"
    return quoted.replace("%%", "%")  # doubled for statements with parameters, which these are not


def create_schema() -> None:
    """Create the PostgreSQL schema of the tables, unless it is there or none was named.

    Raises:
        ForeignMigrationHistory: Our tables are there already, so another history has made them.
        TableTaken: One of our tables, whichever revision creates it, is there already, and so another one.
    """
    name = schema()
    context = op.get_context()
    if not context.as_sql:  # what comes first in the first revision
        refuse_own(op.get_bind(), name)
        refuse_strangers(op.get_bind(), name)
    if name is None or _on_sqlite():
        return
    if not context.as_sql and sa.inspect(op.get_bind()).has_schema(name):
        return  # IF NOT EXISTS asks for the right to create it even then
    op.execute(sa.schema.CreateSchema(name, if_not_exists=True))


def begin() -> None:
    """Make sure that a revision is a transaction, and that going back keeps no one waiting; called first.

    On SQLite, whose driver begins no transaction for DDL, it begins one. On PostgreSQL there is one: timeouts of the
    role are off until it ends, and tables that this revision drops when it is undone are locked here, all or none,
    within the lock timeout and again and again, as by `add_constraints`. Nothing is dropped that something of the
    application's needs.

    Raises:
        TablesElsewhere: The tables are in another schema than the one where the revision would make its own.
        TableTaken: A table that the next revision creates is there already.
        UnsuitableSetting: The connection is in AUTOCOMMIT, or at an isolation level other than READ COMMITTED.
        ReferredTo: Undoing the revision would drop what something of the application's needs (PostgreSQL; on SQLite the
            drop itself is refused, and with it the whole migration).
        TableLocked: The locks could not be had in all the time there was.
    """
    undone = _revision_that_is_undone()
    is_sqlite = _on_sqlite()
    if not op.get_context().as_sql:
        if not is_sqlite:
            on_postgresql.begin()
        refuse_elsewhere(op.get_bind(), schema())
        refuse_strangers(op.get_bind(), schema(), next_revision_only=True)
        if is_sqlite:
            on_sqlite.begin()
        elif undone is not None:
            refuse_dependents(
                op.get_bind(),
                tables=[_name(table) for table in _DROPPED.get(undone, ())],
                columns=[(_name(table), column) for table, column in _DROPPED_COLUMNS.get(undone, ())],
                functions=[_name(function) for function in _DROPPED_FUNCTIONS.get(undone, ())],
            )
    if not is_sqlite and undone in _DROPPED:
        on_postgresql.lock_to_drop([_name(table) for table in _DROPPED[undone]], _name("es_schema"), _settings())


def _revision_that_is_undone() -> str | None:
    """Return the revision whose `downgrade()` has called the caller, None if its `upgrade()` has.

    Alembic does not say which of its steps is at work, and the revisions stay as they were released.
    """
    frame = inspect.currentframe()
    caller = frame.f_back.f_back if frame is not None and frame.f_back is not None else None
    if caller is None or caller.f_code.co_name != "downgrade":
        return None
    revision: str | None = caller.f_globals.get("revision")
    return revision


def create_index_concurrently(name: str, table: str, *columns: str, using: str = "btree", options: str = "") -> None:
    """Build an index while others write to the table; a plain one on SQLite.

    On PostgreSQL it runs outside of a transaction, without a lock timeout, and waits until transactions have ended that
    are older than it. What a valid index of that name has done already is not done again; a build that is under way in
    another session is waited for; an invalid index, which a failed build leaves behind, is dropped and built anew.

    Args:
        name: Of the index.
        table: Of the event store.
        columns: Their names, in order.
        using: The access method. On SQLite there is but one.
        options: Storage parameters, as `autosummarize = on`. On SQLite there are none.

    Raises:
        MigrationInsideTransaction: The connection was in a transaction before the migration began.
        MigrationError: There is an index of that name that is another one.
    """
    if _on_sqlite():
        on_sqlite.create_index(name, table, columns)
    else:
        on_postgresql.build_index(name, _name(table), columns, using=using, options=options)


def drop_index_concurrently(name: str, table: str) -> None:
    """Drop an index while others write to the table, if it is there; a plain DROP on SQLite."""
    if _on_sqlite():
        op.drop_index(name, table, if_exists=True)
    else:
        on_postgresql.drop_index(name, _name(table))


def add_constraints(table: str, **definitions: str) -> None:
    """Add constraints to a table, of which those that are there are left alone.

    On PostgreSQL they are added NOT VALID, which asks for the table's lock but for a moment: new rows are checked from
    then on, old ones by `validate_constraints`. Each is committed by itself. Where the lock can't be had within the
    lock timeout, writers are let pass and it is tried again. On SQLite all rows are checked, then the definition of the
    table is changed in place: only CHECK and FOREIGN KEY can be added.

    Args:
        table: Of the event store.
        definitions: By name; as in CREATE TABLE.

    Raises:
        TableLocked: The lock could not be had in all the time there was (PostgreSQL).
        ConstraintViolated: A row does not satisfy one of them (SQLite).
        MigrationInsideTransaction: The connection was in a transaction before the migration began (PostgreSQL).
    """
    if _on_sqlite():
        on_sqlite.add_constraints(table, definitions)
    else:
        plain = {name: definition.replace("\\:", ":") for name, definition in definitions.items()}
        on_postgresql.add_constraints(_name(table), plain, _settings())


def drop_constraints(table: str, *names: str) -> None:
    """Drop constraints that `add_constraints` has added; in the same manner, with the same errors."""
    if _on_sqlite():
        on_sqlite.drop_constraints(table, names)
    else:
        on_postgresql.drop_constraints(_name(table), names, _settings())


def validate_constraints(table: str, *names: str) -> None:
    """Check the rows that were stored before the constraints, while others write to the table. Nothing to do on SQLite.

    Raises:
        ConstraintViolated: A row does not satisfy one of them.
        MigrationInsideTransaction: The connection was in a transaction before the migration began.
    """
    if not _on_sqlite():
        on_postgresql.validate_constraints(_name(table), names)


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column that takes NULL and has no default, as the last one, unless it is there.

    Its rows are left as they are. On PostgreSQL the table's lock is asked for as by `add_constraints`.
    """
    name, type_ = column.name, column.type.compile(dialect=op.get_context().dialect)
    if _on_sqlite():
        on_sqlite.add_column(table, name, type_)
    else:
        on_postgresql.add_column(_name(table), name, type_, column.comment, _settings())


def drop_column(table: str, name: str) -> None:
    """Drop a column that `add_column` has added, if it is there; in the same manner."""
    if _on_sqlite():
        on_sqlite.drop_column(table, name)
    else:
        on_postgresql.drop_column(_name(table), name, _settings())


def create_statement_trigger(name: str, table: str, event: str, *, when: str, function: str, body: str) -> None:
    """Create a trigger that fires once a statement, and its function, unless it is there (PostgreSQL).

    Appends wait while the table is locked, which is asked for as by `add_constraints`; reads do not.

    Args:
        name: Of the trigger.
        table: Of the event store.
        event: As in CREATE TRIGGER: BEFORE UPDATE OR DELETE.
        when: On which condition it fires.
        function: Its name.
        body: What it does, in PL/pgSQL.
    """
    call = f"{_name(function)}()"
    definition = f"{event} ON {_name(table)} FOR EACH STATEMENT WHEN ({when}) EXECUTE FUNCTION {call}"
    on_postgresql.create_trigger(name, _name(table), definition, call=call, body=body, settings=_settings())


def drop_statement_trigger(name: str, table: str, *, function: str) -> None:
    """Drop a trigger and its function, if they are there (PostgreSQL)."""
    on_postgresql.drop_trigger(name, _name(table), f"{_name(function)}()", _settings())


def refuse_to_lose_events() -> None:
    """Lock es_events until the end of the transaction, and go no further if it has rows.

    Raises:
        EventsWouldBeLost: There are events.
    """
    error = EventsWouldBeLost()
    if not _on_sqlite():
        on_postgresql.lock_and_refuse_rows(_name("es_events"), error)
    elif not op.get_context().as_sql and op.get_bind().execute(sa.text("SELECT 1 FROM es_events LIMIT 1")).first():
        raise error


def set_schema_version(version: int) -> None:
    """Write the version of the tables to es_schema: what the store looks at."""
    if not _on_sqlite() and not op.get_context().as_sql:
        on_postgresql.set_timeouts_aside()  # steps outside of a transaction have ended the one that `begin` knew
    op.execute(f"UPDATE {_name('es_schema')} SET version = {int(version)}".replace(":", "\\:"))


def _settings() -> Settings:
    return Settings.of(op.get_context().config)


def _on_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"
