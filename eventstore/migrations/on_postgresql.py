"""The operations of a revision on PostgreSQL, done without blocking writers for long."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Final

from alembic import op
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, NotSupportedError, SQLAlchemyError

from eventstore.common.backoff import spread
from eventstore.errors import (
    ConstraintViolated,
    LogIsPartitioned,
    MigrationConnectionLost,
    MigrationError,
    MigrationInsideTransaction,
    RowTypeInUse,
    TableLocked,
)
from eventstore.migrations import catalog
from eventstore.migrations.session import no_timeouts, refuse_other_transactions, set_all
from eventstore.migrations.settings import Progress, Settings
from eventstore.migrations.sql_text import NAME, block, literal

_LOCK_NOT_AVAILABLE: Final = "55P03"
_DEADLOCK_DETECTED: Final = "40P01"
_DUPLICATE_TABLE: Final = "42P07"
_DUPLICATE_OBJECT: Final = "42710"
_VIOLATIONS: Final = frozenset({"23503", "23514"})
_POLL_SECONDS: Final = 0.5
_CANCELLING_SECONDS: Final = 1.0
"""How long an autovacuum may take to end after the server has cancelled it."""
_SET_LOCK_TIMEOUT: Final = text("SELECT set_config('lock_timeout', :value, true)")
_SET_LOCK_TIMEOUT_FOR_AUTOVACUUM: Final = text("""
SELECT set_config('lock_timeout', CAST(
    1000 * extract(epoch FROM CAST(current_setting('deadlock_timeout') AS interval)) + :more AS integer) || 'ms', true)
""")


def build_index(name: str, table: str, columns: Sequence[str], *, using: str, options: str) -> None:
    """See `operations.create_index_concurrently`."""
    quote = op.get_context().dialect.identifier_preparer.quote
    body = f"{quote(name)} ON {table} USING {using} ({', '.join(map(quote, columns))})"
    body += f" WITH ({options})" if options else ""
    index = _in_schema_of(table, name)
    with _outside_transaction(f"building index {name}", lock_timeout_seconds=0) as connection:
        if connection is None:
            _execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {body}")
            _execute(_refuse_invalid(index))
            return
        expected = catalog.Index(valid=True, using=using, columns=tuple(columns))
        while not _is_there(connection, name, table, expected):
            if catalog.find_index(connection, table, name) is not None:
                _report(f"dropping index {name}, which a failed build has left invalid")
                _execute_between_builds(connection, table, f"DROP INDEX CONCURRENTLY IF EXISTS {index}")
            _report(f"building index {name}")
            try:
                _execute(f"CREATE INDEX CONCURRENTLY {body}")
            except DBAPIError as error:
                # another session has created it meanwhile: check it; but a relation of another table is an error
                was_created = _state(error) == _DUPLICATE_TABLE and catalog.find_index(connection, table, name)
                if not was_created and _state(error) != _DEADLOCK_DETECTED:
                    raise


def _is_there(connection: Connection, name: str, table: str, expected: catalog.Index) -> bool:
    """Return whether there is a valid index, after all builds in progress: a killed client's build goes on."""
    _wait_for_builds(connection, table)
    index = catalog.find_index(connection, table, name)
    if index is not None and not index.is_like(expected):
        msg = f"index {name} on {table} is {index}, but must be {expected}; drop or rename it, then migrate again"
        raise MigrationError(msg)
    return index is not None and index.valid


def _wait_for_builds(connection: Connection, table: str) -> None:
    """Wait, without requesting a lock, until no session builds an index of the table concurrently.

    A statement that requests the table's lock would wait for the build, and the build would wait for its transaction.
    """
    building = catalog.builders(connection, table)
    if building:
        _report(f"an index of {table} is being built", waiting_for=catalog.describe(connection, building))
    while building:
        time.sleep(_POLL_SECONDS)
        building = catalog.builders(connection, table)


def _execute_between_builds(connection: Connection, table: str, sql: str) -> None:
    """Execute a statement that conflicts with building indexes of the table; retry if a build has begun meanwhile."""
    while True:
        _wait_for_builds(connection, table)
        try:
            _execute(sql)
        except DBAPIError as error:
            if _state(error) != _DEADLOCK_DETECTED:
                raise
        else:
            return


def _report(step: str, waiting_for: tuple[str, ...] = ()) -> None:
    Settings.of(op.get_context().config).report(Progress(step, waiting_for=waiting_for))


def _refuse_invalid(index: str) -> str:
    query = f"SELECT FROM pg_index WHERE indexrelid = {literal(index)}::regclass AND NOT indisvalid"
    message = f"a failed build has left {index} invalid; DROP INDEX CONCURRENTLY {index}, and build it again"
    return _raise_if(query, message)


def _raise_if(query: str, message: str) -> str:
    """Return a block that raises an error if a query has rows; without a %, which drivers would double."""
    return block(f"IF EXISTS ({query}) THEN RAISE USING MESSAGE = {literal(message)}; END IF")


def drop_index(name: str, table: str) -> None:
    """See `operations.drop_index_concurrently`."""
    sql = f"DROP INDEX CONCURRENTLY IF EXISTS {_in_schema_of(table, name)}"
    with _outside_transaction(f"dropping index {name}", lock_timeout_seconds=0) as connection:
        if connection is None:
            _execute(sql)
        else:
            _execute_between_builds(connection, table, sql)


def add_constraints(table: str, definitions: Mapping[str, str], settings: Settings) -> None:
    """See `operations.add_constraints`."""
    quote = op.get_context().dialect.identifier_preparer.quote
    with _outside_transaction(f"adding constraints to {table}", settings.lock_timeout_seconds) as connection:
        for name, definition in definitions.items():
            sql = f"ALTER TABLE {table} ADD CONSTRAINT {quote(name)} {definition} NOT VALID"
            if connection is None:
                _execute(sql)
            else:
                is_done = partial(_has_constraint, connection, table, name)
                tables = _locked_by(table, definition)
                _retry(connection, f"adding constraint {name}", tables, [sql], settings, is_done=is_done)


def _has_constraint(connection: Connection, table: str, name: str) -> bool:
    return catalog.find_constraint(connection, table, name) is not None


def drop_constraints(table: str, names: Sequence[str], settings: Settings) -> None:
    """See `operations.drop_constraints`."""
    quote = op.get_context().dialect.identifier_preparer.quote
    with _outside_transaction(f"dropping constraints of {table}", settings.lock_timeout_seconds) as connection:
        for name in names:
            sql = f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {quote(name)}"
            if connection is None:
                _execute(sql)
            else:
                tables = _locked_by(table, catalog.find_constraint(connection, table, name))
                _retry(connection, f"dropping constraint {name}", tables, [sql], settings, is_done=lambda: False)


def replace_constraints(table: str, names: Sequence[str], definitions: Mapping[str, str], settings: Settings) -> None:
    """See `operations.replace_constraints`."""
    quote, step = op.get_context().dialect.identifier_preparer.quote, f"replacing constraints of {table}"
    parts = [f"DROP CONSTRAINT IF EXISTS {quote(name)}" for name in dict.fromkeys([*names, *definitions])]
    parts += [f"ADD CONSTRAINT {quote(name)} {definition} NOT VALID" for name, definition in definitions.items()]
    with _outside_transaction(step, settings.lock_timeout_seconds) as connection:
        # Citus takes no ADD CONSTRAINT together with others. The transaction around them has the same effect.
        is_apart = connection is not None and catalog.is_distributed(connection, table)
        changes = parts if is_apart else [", ".join(parts)]
        _execute_or_retry(connection, step, table, [f"ALTER TABLE {table} {change}" for change in changes], settings)


def add_column(table: str, name: str, type_: str, comment: str | None, settings: Settings) -> None:
    """See `operations.add_column`."""
    step, column = f"adding column {name} to {table}", op.get_context().dialect.identifier_preparer.quote(name)
    add = f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column} {type_}"
    describe = f"COMMENT ON COLUMN {table}.{column} IS {literal(comment or '')}"
    with _outside_transaction(step, settings.lock_timeout_seconds) as connection:
        try:
            for sql in (add, describe):
                _execute_or_retry(connection, step, table, [sql], settings)
        except NotSupportedError as error:
            raise RowTypeInUse(table, str(error.orig).partition("\n")[0]) from error


def drop_column(table: str, name: str, settings: Settings) -> None:
    """See `operations.drop_column`."""
    step, column = f"dropping column {name} of {table}", op.get_context().dialect.identifier_preparer.quote(name)
    with _outside_transaction(step, settings.lock_timeout_seconds) as connection:
        _execute_or_retry(connection, step, table, [f"ALTER TABLE {table} DROP COLUMN IF EXISTS {column}"], settings)


def set_default_to_newest_position(table: str, column: str, events: str, settings: Settings) -> None:
    """See `operations.set_default_to_newest_position`."""
    step = f"setting the default of {column} of {table}"
    with _outside_transaction(step, settings.lock_timeout_seconds) as connection:
        if connection is not None and catalog.is_distributed(connection, table):
            _report(f"not {step}: Citus would have to read the sequence on a worker")
            return
        # the name of the sequence is not ours to choose: es_events_position_seq may be taken
        body = f"""
            DECLARE
                sequence text := pg_get_serial_sequence({literal(events)}, 'position');
                grantee text;
            BEGIN
                EXECUTE 'ALTER TABLE {table.replace("'", "''")} ALTER COLUMN {column} SET DEFAULT '
                    || 'coalesce(pg_sequence_last_value(' || quote_literal(sequence) || '::regclass), 0)';
                FOR grantee IN
                    SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END
                    FROM (
                        SELECT relowner, relacl FROM pg_class WHERE oid = {literal(table)}::regclass
                        UNION ALL SELECT NULL, attacl FROM pg_attribute WHERE attrelid = {literal(table)}::regclass
                    ) AS acls CROSS JOIN aclexplode(acls.relacl) AS a LEFT JOIN pg_roles r ON r.oid = a.grantee
                    WHERE a.privilege_type = 'INSERT' AND a.grantee IS DISTINCT FROM acls.relowner
                        AND (a.grantee = 0 OR r.oid IS NOT NULL)
                LOOP
                    EXECUTE 'GRANT SELECT ON SEQUENCE ' || sequence || ' TO ' || grantee;
                END LOOP;
            END
        """
        _execute_or_retry(connection, step, table, [block(body)], settings)


def refuse_if_partitioned(events: str, detached_parts: str) -> None:
    """See `operations.refuse_if_partitioned`."""
    # two queries with a column: Citus can't plan a union of its tables with others, or a subquery without columns
    partitioned = f"SELECT 1 AS one FROM pg_class WHERE oid = {literal(events)}::regclass AND relkind = 'p'"
    for query in (partitioned, f"SELECT 1 AS one FROM {detached_parts}"):
        refuse_if_found(query, LogIsPartitioned())


def refuse_if_found(query: str, error: Exception) -> None:
    """Raise an error if a query returns rows. The SQL that is printed does so when it is applied."""
    if op.get_context().as_sql:
        _execute(_raise_if(query, str(error)))
    elif op.get_bind().execute(text(f"SELECT 1 FROM ({_escaped(query)}) AS found LIMIT 1")).first():
        raise error


def create_trigger(name: str, table: str, definition: str, *, call: str, body: str, settings: Settings) -> None:
    """See `operations.create_statement_trigger`."""
    step = f"creating trigger {name}"
    with _outside_transaction(step, settings.lock_timeout_seconds) as connection:
        if connection is not None and catalog.is_distributed(connection, table):
            _report(f"not {step}: Citus has no triggers on distributed tables; use grants")
            return
        _execute(f"CREATE OR REPLACE FUNCTION {call} RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        if connection is None or catalog.find_trigger(connection, table, name) is None:
            _execute_or_retry(connection, step, table, [f"CREATE OR REPLACE TRIGGER {name} {definition}"], settings)


def drop_trigger(name: str, table: str, call: str, settings: Settings) -> None:
    """See `operations.drop_statement_trigger`."""
    step = f"dropping trigger {name}"
    with _outside_transaction(step, settings.lock_timeout_seconds) as connection:
        if connection is None or not catalog.is_distributed(connection, table):  # there Citus has none
            _execute_or_retry(connection, step, table, [f"DROP TRIGGER IF EXISTS {name} ON {table}"], settings)
        _execute(f"DROP FUNCTION IF EXISTS {call}")


def _execute_or_retry(
    connection: Connection | None, step: str, table: str, statements: Sequence[str], settings: Settings
) -> None:
    """Execute idempotent statements in one transaction, with retries; if SQL is only printed, print them."""
    if connection is None:
        for sql in statements:
            _execute(sql)
    else:
        _retry(connection, step, [table], statements, settings, is_done=lambda: False)


def _locked_by(table: str, definition: str | None) -> list[str]:
    """Return the tables that are locked to add or drop a constraint, including the other table of a foreign key."""
    return [table, *re.findall(rf"REFERENCES ({NAME}(?:\.{NAME})?)", definition or "")]


def _retry(
    connection: Connection,
    step: str,
    tables: list[str],
    statements: Sequence[str],
    settings: Settings,
    *,
    is_done: Callable[[], bool],
) -> None:
    """Execute within the lock timeout; after a timeout, let writers pass for one to two times as long, and retry."""

    def attempt() -> None:
        with _transaction(connection):
            _keep_autovacuum_out(connection, tables)
            _set_lock_timeout(connection, settings.lock_timeout_seconds)
            for sql in statements:
                _execute(sql)

    _try_again(connection, step, tables, attempt, settings, is_done=is_done)


def _try_again(
    connection: Connection,
    step: str,
    tables: list[str],
    attempt: Callable[[], None],
    settings: Settings,
    *,
    is_done: Callable[[], bool],
) -> None:
    began = time.monotonic()
    while not is_done():
        _report(step)
        _wait_for_builds(connection, tables[0])
        try:
            attempt()
        except DBAPIError as error:
            if _state(error) == _DUPLICATE_OBJECT:
                continue
            if _state(error) not in {_LOCK_NOT_AVAILABLE, _DEADLOCK_DETECTED}:
                raise
            waited = time.monotonic() - began
            who = catalog.lockers(connection, tables)
            if waited >= settings.wait_seconds:
                raise TableLocked(step, " and ".join(tables), round(waited, 1), who) from error
            if who:
                _report(step, waiting_for=who)
            time.sleep(settings.lock_timeout_seconds * spread(1, 2))
        else:
            return


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    """Run a block in one transaction, on a connection in autocommit."""
    connection.exec_driver_sql("BEGIN ISOLATION LEVEL READ COMMITTED")
    try:
        yield
    except BaseException:
        with suppress(SQLAlchemyError):  # if the connection is lost, the first error says why
            connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def _keep_autovacuum_out(connection: Connection, tables: list[str]) -> None:
    """Lock tables against autovacuum only, until the transaction ends.

    The server cancels an autovacuum that blocks a session for `deadlock_timeout`, usually a second. Waiting that long
    for ACCESS EXCLUSIVE would block all appends, and a shorter lock timeout would always end before the server cancels.
    This lock conflicts neither with appends nor with reads, so it can be waited for. While it is held, no other
    autovacuum begins.
    """
    connection.execute(_SET_LOCK_TIMEOUT_FOR_AUTOVACUUM, {"more": round(_CANCELLING_SECONDS * 1000)})
    _execute(f"LOCK TABLE {', '.join(tables)} IN SHARE UPDATE EXCLUSIVE MODE")


def _set_lock_timeout(connection: Connection, seconds: float) -> None:
    connection.execute(_SET_LOCK_TIMEOUT, {"value": _milliseconds(seconds)})


def _milliseconds(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def begin() -> None:
    """See `operations.begin`."""
    refuse_other_transactions(op.get_bind())
    set_timeouts_aside()


def set_timeouts_aside() -> None:
    """Switch off the timeouts of the role until the transaction ends."""
    set_all(op.get_bind(), no_timeouts(), is_local=True)


def lock_to_drop(tables: list[str], versions: str, settings: Settings) -> None:
    """Lock tables that are about to be dropped, and the row of es_schema, until the end of the transaction.

    It takes all of the locks or none: between two attempts it holds none.
    """
    if op.get_context().as_sql:
        _execute(f"SET LOCAL lock_timeout = '{_milliseconds(settings.lock_timeout_seconds)}'")
        for table in tables:
            _execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        return
    connection = op.get_bind()

    def attempt() -> None:
        with connection.begin_nested():
            _keep_autovacuum_out(connection, tables)
            deadline = time.monotonic() + settings.lock_timeout_seconds
            for lock in (
                *(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE" for table in tables),
                f"SELECT FROM {versions} FOR UPDATE",
            ):
                _set_lock_timeout(connection, deadline - time.monotonic())
                _execute(lock)

    _try_again(connection, f"dropping {' and '.join(tables)}", tables, attempt, settings, is_done=lambda: False)


def validate_constraints(table: str, names: Sequence[str]) -> None:
    """See `operations.validate_constraints`."""
    quote = op.get_context().dialect.identifier_preparer.quote
    with _outside_transaction(f"validating constraints of {table}", lock_timeout_seconds=0) as connection:
        for name in names:
            sql = f"ALTER TABLE {table} VALIDATE CONSTRAINT {quote(name)}"
            if connection is None:
                _execute(sql)
                continue
            if not _has_constraint(connection, table, name):
                msg = (
                    f"constraint {name} of {table} is missing, although the revision that adds it was applied: a "
                    "downgrade was interrupted; run that downgrade again, then upgrade"
                )
                raise MigrationError(msg)
            _report(f"validating constraint {name}")
            try:
                _execute_between_builds(connection, table, sql)
            except DBAPIError as error:
                if _state(error) not in _VIOLATIONS:
                    raise
                definition = catalog.find_constraint(connection, table, name)
                raise ConstraintViolated(table, name, definition) from error


def lock_and_refuse_rows(table: str, error: Exception) -> None:
    """See `operations.lock_and_refuse_rows`."""
    _execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    if op.get_context().as_sql:
        _execute(_raise_if(f"SELECT FROM {table}", str(error)))
    elif op.get_bind().execute(text(f"SELECT 1 FROM {_escaped(table)} LIMIT 1")).first():
        raise error


@contextmanager
def _outside_transaction(step: str, lock_timeout_seconds: float) -> Iterator[Connection | None]:
    """Commit the open transaction, and run the block in autocommit; yields None if SQL is only printed.

    Raises:
        MigrationInsideTransaction: The connection was in a transaction before the migration began.
        MigrationConnectionLost: The connection is lost.
    """
    context = op.get_context()
    lost: DBAPIError | None = None
    try:
        with ExitStack() as stack:
            try:
                stack.enter_context(context.autocommit_block())
            except (AssertionError, AttributeError):  # Alembic's errors, the second one under python -O
                raise MigrationInsideTransaction(step) from None
            if context.as_sql:
                values = {"lock_timeout": _or_none(lock_timeout_seconds), "statement_timeout": "0"}
                for setting, value in values.items():
                    _execute(f"SET {setting} = '{value}'")
                yield None
                for setting in values:
                    _execute(f"RESET {setting}")
                return
            connection = op.get_bind()
            stack.enter_context(
                _set_aside(connection, no_timeouts() | {"lock_timeout": _or_none(lock_timeout_seconds)})
            )
            try:
                yield connection
            except DBAPIError as error:
                lost = error if error.connection_invalidated else None
                raise
    except SQLAlchemyError:  # Alembic goes on with a lost connection, and its error would hide the cause
        if lost is None:
            raise
        raise MigrationConnectionLost(step, " ".join(str(lost.orig).split())) from lost


@contextmanager
def _set_aside(connection: Connection, values: Mapping[str, str]) -> Iterator[None]:
    """Set settings while a block runs, on a connection in autocommit that Alembic takes back to its transaction."""
    before = set_all(connection, values, is_local=False)
    try:
        yield
    finally:
        with suppress(SQLAlchemyError):  # if the connection is lost, so are its settings
            set_all(connection, before, is_local=False)


def _or_none(lock_timeout_seconds: float) -> str:
    return _milliseconds(lock_timeout_seconds) if lock_timeout_seconds else "0"


def _execute(sql: str) -> None:
    op.execute(_escaped(sql))


def _escaped(sql: str) -> str:
    """Escape colons, which SQLAlchemy's text() would take for parameters."""
    return sql.replace(":", "\\:")


def _in_schema_of(table: str, name: str) -> str:
    """Return the name of an index, qualified by the schema of its table."""
    quoted = op.get_context().dialect.identifier_preparer.quote(name)
    of, dot, _ = table.rpartition(".")
    return f"{of}{dot}{quoted}"


def _state(error: DBAPIError) -> str | None:
    """Return the SQLSTATE of an error of psycopg, asyncpg or psycopg2."""
    state: str | None = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    return state
