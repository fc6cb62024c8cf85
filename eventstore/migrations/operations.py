"""The operations of our revisions, in addition to Alembic's.

Each function is idempotent and works on both databases, and offline unless it says otherwise.

Revisions import only this module of the package. A function may be improved, but its result in the database must stay
the same.
"""

import inspect
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from eventstore.errors import EventsWouldBeLost, ProjectionsHavePartitions
from eventstore.migrations import on_postgresql, on_sqlite
from eventstore.migrations.dependents import refuse_dependents
from eventstore.migrations.name_clashes import refuse_existing_tables, refuse_name_clashes
from eventstore.migrations.place import refuse_elsewhere
from eventstore.migrations.settings import Settings

_DROPPED: Final = {
    "es_0001": ("es_streams", "es_events", "snapshots", "es_schema"),
    "es_0005": ("es_checkpoints", "es_dead_letters"),
    "es_0009": ("es_event_tags",),
    "es_0011": ("es_detached_parts",),
}
"""The tables that a downgrade of a revision drops, in the order in which appends and projections lock them."""
_DROPPED_COLUMNS: Final = {
    "es_0006": (("es_streams", "deleted_version"), ("es_streams", "archived_version")),
    "es_0007": tuple(
        ("es_checkpoints", name) for name in ("event_version", "event_stream_id", "event_id", "event_position")
    ),
    "es_0010": (("es_streams", "after_position"),),
    "es_0012": tuple(
        ("es_checkpoints", name)
        for name in (
            "partition_of",
            "partition_number",
            "stop_position",
            "next_partitions",
            "partitions",
            "outside_after",
            "started_after",
        )
    ),
}
_DROPPED_FUNCTIONS: Final = {"es_0006": ("es_refuse_history_change",)}


def schema() -> str | None:
    """Return the PostgreSQL schema of the tables, for the operations of Alembic."""
    return Settings.of(op.get_context().config).schema


def qualified(name: str) -> str:
    """Return the name of a table, with its schema if there is one, as text for `op.execute`.

    Colons are escaped, because SQLAlchemy takes them for parameters there. `add_constraints` takes escaped names, too.
    """
    return _name(name).replace(":", "\\:")


def _name(name: str) -> str:
    """Return the name of a table, with its schema if there is one, as it stands in SQL."""
    preparer = op.get_context().dialect.identifier_preparer
    of = schema()
    quoted = preparer.quote(name) if of is None else f"{preparer.quote_schema(of)}.{preparer.quote(name)}"
    return quoted.replace("%%", "%")  # doubled for statements with parameters, which these are not


def create_schema() -> None:
    """Create the PostgreSQL schema of the tables, unless it exists or none was named.

    Raises:
        ForeignMigrationHistory: Our tables exist already, so another migration history has created them.
        TableTaken: A table of the application has the name of one that any of the revisions creates.
    """
    name = schema()
    context = op.get_context()
    if not context.as_sql:  # the first checks of the first revision
        refuse_existing_tables(op.get_bind(), name)
        refuse_name_clashes(op.get_bind(), name)
    if name is None or _on_sqlite():
        return
    if not context.as_sql and sa.inspect(op.get_bind()).has_schema(name):
        return  # even with IF NOT EXISTS the statement needs the right to create it
    op.execute(sa.schema.CreateSchema(name, if_not_exists=True))


def begin() -> None:
    """Prepare the transaction of a revision; called first.

    On SQLite, whose driver begins no transaction for DDL, it begins one. On PostgreSQL there is one: the timeouts of
    the role are off until it ends. For a downgrade it locks the tables that will be dropped, all or none, with the lock
    timeout and the retries of `add_constraints`, and refuses to drop anything that the application's objects depend on.

    Raises:
        TablesElsewhere: The tables are in another schema than the one where the revision would create new ones.
        TableTaken: A table with the name of one that the next revision creates exists already.
        UnsuitableSetting: The connection is in AUTOCOMMIT, or at an isolation level other than READ COMMITTED.
        ReferredTo: The downgrade would drop what something of the application's depends on (PostgreSQL; on SQLite the
            drop itself is refused, and with it the whole migration).
        TableLocked: The locks were not free in the time to wait.
    """
    downgraded = _revision_being_downgraded()
    is_sqlite = _on_sqlite()
    if not op.get_context().as_sql:
        if not is_sqlite:
            on_postgresql.begin()
        refuse_elsewhere(op.get_bind(), schema())
        refuse_name_clashes(op.get_bind(), schema(), next_revision_only=True)
        if is_sqlite:
            on_sqlite.begin()
        elif downgraded is not None:
            refuse_dependents(
                op.get_bind(),
                tables=[_name(table) for table in _DROPPED.get(downgraded, ())],
                columns=[(_name(table), column) for table, column in _DROPPED_COLUMNS.get(downgraded, ())],
                functions=[_name(function) for function in _DROPPED_FUNCTIONS.get(downgraded, ())],
            )
    if not is_sqlite and downgraded in _DROPPED:
        on_postgresql.lock_to_drop([_name(table) for table in _DROPPED[downgraded]], _name("es_schema"), _settings())


def _revision_being_downgraded() -> str | None:
    """Return the revision whose `downgrade()` has called the caller; None if its `upgrade()` has.

    Alembic does not say which step it runs, and released revisions must not change.
    """
    frame = inspect.currentframe()
    caller = frame.f_back.f_back if frame is not None and frame.f_back is not None else None
    if caller is None or caller.f_code.co_name != "downgrade":
        return None
    revision: str | None = caller.f_globals.get("revision")
    return revision


def create_index_concurrently(name: str, table: str, *columns: str, using: str = "btree", options: str = "") -> None:
    """Build an index without blocking writers; on SQLite an ordinary CREATE INDEX.

    On PostgreSQL it runs outside of a transaction, without a lock timeout, and waits until all older transactions have
    ended. It does nothing if there is a valid index; it waits for a build in another session; and it drops and rebuilds
    an invalid index, which a failed build leaves behind.

    Args:
        name: The name of the index.
        table: The name of a table of the event store.
        columns: The names of the columns, in order.
        using: The access method; ignored on SQLite.
        options: Storage parameters, such as `autosummarize = on`; ignored on SQLite.

    Raises:
        MigrationInsideTransaction: The connection was in a transaction before the migration began.
        MigrationError: There is an index with that name and another definition.
    """
    if _on_sqlite():
        on_sqlite.create_index(name, table, columns)
    else:
        on_postgresql.build_index(name, _name(table), columns, using=using, options=options)


def drop_index_concurrently(name: str, table: str) -> None:
    """Drop an index if it exists, without blocking writers; on SQLite an ordinary DROP INDEX."""
    if _on_sqlite():
        op.drop_index(name, table, if_exists=True)
    else:
        on_postgresql.drop_index(name, _name(table))


def add_constraints(table: str, **definitions: str) -> None:
    """Add constraints to a table; existing ones are left unchanged.

    On PostgreSQL they are added NOT VALID, which needs the table's lock only for a moment: new rows are checked from
    then on, old ones by `validate_constraints`. Each is committed separately. If the lock is not free within the lock
    timeout, the attempt ends, lets writers pass, and is repeated. On SQLite all rows are checked, then the definition
    of the table is changed in place: only CHECK and FOREIGN KEY can be added.

    Args:
        table: The name of a table of the event store.
        definitions: The definitions as in CREATE TABLE, by name.

    Raises:
        TableLocked: The lock was not free in the time to wait (PostgreSQL).
        ConstraintViolated: A row violates a constraint (SQLite).
        MigrationInsideTransaction: The connection was in a transaction before the migration began (PostgreSQL).
    """
    if _on_sqlite():
        on_sqlite.add_constraints(table, definitions)
    else:
        plain = {name: definition.replace("\\:", ":") for name, definition in definitions.items()}
        on_postgresql.add_constraints(_name(table), plain, _settings())


def drop_constraints(table: str, *names: str) -> None:
    """Drop constraints that `add_constraints` has added, with the same locking and errors."""
    if _on_sqlite():
        on_sqlite.drop_constraints(table, names)
    else:
        on_postgresql.drop_constraints(_name(table), names, _settings())


def replace_constraints(table: str, *names: str, **definitions: str) -> None:
    """Drop CHECK constraints, if they exist, and add others, of which some may have the same names.

    It is one statement: at no moment does the table have neither. The rest is as for `add_constraints`, but constraints
    that exist under the names of the added ones are replaced.

    Args:
        table: The name of a table of the event store.
        names: The names of the constraints to drop.
        definitions: The definitions of those to add, as in CREATE TABLE, by name.
    """
    if _on_sqlite():
        on_sqlite.replace_constraints(table, names, definitions)
    else:
        on_postgresql.replace_constraints(_name(table), names, definitions, _settings())


def validate_constraints(table: str, *names: str) -> None:
    """Check the rows that are older than the constraints, without blocking writers. Does nothing on SQLite.

    Raises:
        ConstraintViolated: A row violates a constraint.
        MigrationInsideTransaction: The connection was in a transaction before the migration began.
    """
    if not _on_sqlite():
        on_postgresql.validate_constraints(_name(table), names)


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column as the last one, unless it exists: nullable without a default, or NOT NULL with a constant one.

    The rows are not rewritten. On PostgreSQL it locks the table as `add_constraints` does.
    """
    name, type_ = column.name, column.type.compile(dialect=op.get_context().dialect)
    if not column.nullable:
        type_ += f" DEFAULT {column.server_default.arg} NOT NULL"  # type: ignore[union-attr]  # there is one
    if _on_sqlite():
        on_sqlite.add_column(table, name, type_)
    else:
        on_postgresql.add_column(_name(table), name, type_, column.comment, _settings())


def drop_column(table: str, name: str) -> None:
    """Drop a column that `add_column` has added, if it exists, with the same locking."""
    if _on_sqlite():
        on_sqlite.drop_column(table, name)
    else:
        on_postgresql.drop_column(_name(table), name, _settings())


def set_default_to_newest_position(table: str, column: str) -> None:
    """Let new rows have the position that was drawn last, or 0 (PostgreSQL; does nothing on SQLite).

    All roles that may insert rows get SELECT on the sequence of positions, which the default needs. It locks the table
    as `add_constraints` does. If Citus has distributed the table, nothing is done.

    Args:
        table: The name of a table of the event store.
        column: The name of a column with the default 0.
    """
    if not _on_sqlite():
        on_postgresql.set_default_to_newest_position(_name(table), column, _name("es_events"), _settings())


def create_statement_trigger(name: str, table: str, event: str, *, when: str, function: str, body: str) -> None:
    """Create a trigger that fires once for each statement, and its function, unless it exists (PostgreSQL).

    It locks the table as `add_constraints` does; appends wait for that, reads do not.

    Args:
        name: The name of the trigger.
        table: The name of a table of the event store.
        event: The event as in CREATE TRIGGER, such as BEFORE UPDATE OR DELETE.
        when: The condition on which it fires.
        function: The name of its function.
        body: The body of the function in PL/pgSQL.
    """
    call = f"{_name(function)}()"
    definition = f"{event} ON {_name(table)} FOR EACH STATEMENT WHEN ({when}) EXECUTE FUNCTION {call}"
    on_postgresql.create_trigger(name, _name(table), definition, call=call, body=body, settings=_settings())


def drop_statement_trigger(name: str, table: str, *, function: str) -> None:
    """Drop a trigger and its function, if they exist (PostgreSQL)."""
    on_postgresql.drop_trigger(name, _name(table), f"{_name(function)}()", _settings())


def refuse_to_lose_events() -> None:
    """Lock es_events until the end of the transaction, and refuse to continue if it has rows.

    Raises:
        EventsWouldBeLost: There are events.
    """
    error = EventsWouldBeLost()
    if not _on_sqlite():
        on_postgresql.lock_and_refuse_rows(_name("es_events"), error)
    elif not op.get_context().as_sql and op.get_bind().execute(sa.text("SELECT 1 FROM es_events LIMIT 1")).first():
        raise error


def refuse_if_partitioned() -> None:
    """Refuse to continue if es_events is partitioned, or if parts of it were detached.

    Raises:
        LogIsPartitioned: It is.
    """
    if not _on_sqlite():
        on_postgresql.refuse_if_partitioned(_name("es_events"), _name("es_detached_parts"))


def refuse_if_projections_have_partitions() -> None:
    """Refuse to continue if a projection has partitions.

    Raises:
        ProjectionsHavePartitions: One has.
    """
    error = ProjectionsHavePartitions()
    query = f"SELECT 1 FROM {_name('es_checkpoints')} WHERE partitions > 1 LIMIT 1"
    if not _on_sqlite():
        on_postgresql.refuse_if_found(query, error)
    elif not op.get_context().as_sql and op.get_bind().execute(sa.text(query)).first():
        raise error


def set_schema_version(version: int) -> None:
    """Write the version of the tables to es_schema, which the store reads."""
    if not _on_sqlite() and not op.get_context().as_sql:
        on_postgresql.set_timeouts_aside()  # steps outside of a transaction have ended the one of `begin`
    op.execute(f"UPDATE {_name('es_schema')} SET version = {int(version)}".replace(":", "\\:"))


def _settings() -> Settings:
    return Settings.of(op.get_context().config)


def _on_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"
