"""The log of one schema, on the connection of a change of its parts."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.sql import ClauseElement

from eventstore.backends import backend_for
from eventstore.common.backoff import spread
from eventstore.errors import InvalidInput, PartitioningRefused, SchemaMissing, SchemaOutdated, TableLocked, TablesPlace
from eventstore.migrations import catalog
from eventstore.migrations.lock import deploy_lock
from eventstore.migrations.refusals import refusals
from eventstore.migrations.session import no_timeouts, set_all
from eventstore.migrations.settings import Progress, Settings
from eventstore.tables import PARTS_CAN_BE_DETACHED, Tables, define_tables

Result = TypeVar("Result")

_PREPARER: Final = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]  # SQLAlchemy's
_LOCK_NOT_AVAILABLE: Final = "55P03"
_DEADLOCK_DETECTED: Final = "40P01"
_AUTOVACUUM_SECONDS: Final = 3.0
"""How long to wait for an autovacuum, which the server cancels after `deadlock_timeout`, usually a second."""

_PLACE: Final = text("""
SELECT n.nspname::text, s.oid IS NOT NULL AND e.oid IS NOT NULL FROM pg_namespace n
LEFT JOIN pg_class s ON s.relnamespace = n.oid AND s.relname = 'es_schema'
LEFT JOIN pg_class e ON e.relnamespace = n.oid AND e.relname = 'es_events'
WHERE n.nspname = coalesce(
    CAST(:schema AS name),
    (SELECT s.nspname FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
     WHERE c.oid = to_regclass('es_schema')),
    current_schema())
""")


def quoted(name: str) -> str:
    """Return a name as it stands in SQL."""
    return str(_PREPARER.quote_identifier(name)).replace("%%", "%")


@dataclass(frozen=True, slots=True)
class Log:
    """The tables of one log.

    Attributes:
        connection: A connection, in no transaction unless a method says so.
        schema: The name of the schema that the tables are in.
        settings: How long to try, and who hears of the progress.
    """

    connection: Connection
    schema: str
    settings: Settings

    def named(self, name: str) -> str:
        """Return the name of a table, sequence or index, with the schema, as it stands in SQL."""
        return f"{quoted(self.schema)}.{quoted(name)}"

    def execute(self, sql: str) -> None:
        """Execute SQL in which neither : nor % is special."""
        self.connection.exec_driver_sql(sql, execution_options={"no_parameters": True})

    def rows(self, query: str, **parameters: Any) -> list[Any]:
        """Return the rows of a query, in the transaction that is open, or in one of its own."""
        was_open = self.connection.in_transaction()
        found = list(self.connection.execute(text(query), parameters))
        if not was_open:
            self.connection.rollback()
        return found

    def run(self, statement: Callable[[Tables], ClauseElement]) -> list[Any]:
        """Return the rows of a statement of the store, like `rows`."""
        was_open = self.connection.in_transaction()
        found = list(self.connection.execute(statement(define_tables(schema=self.schema))))  # type: ignore[call-overload]  # it is executable
        if not was_open:
            self.connection.rollback()
        return found

    def report(self, step: str) -> None:
        """Report progress."""
        self.settings.report(Progress(step))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a block in a transaction in which no timeout of the session applies."""
        try:
            set_all(self.connection, no_timeouts(), is_local=True)
            yield
            self.connection.commit()
        except BaseException:
            with suppress(SQLAlchemyError):  # if the connection is lost, the first error says why
                self.connection.rollback()
            raise

    def attempt(self, step: str, tables: list[str], work: Callable[[], Result]) -> Result:
        """Run a short transaction within the lock timeout; after a timeout, let writers pass, and retry.

        Before it, the tables are locked against autovacuum, by a lock that conflicts neither with appends nor reads.

        Args:
            step: What is done, for reports and errors.
            tables: The names of the tables that are locked, in the order in which appends lock them.
            work: Is called in the transaction.

        Raises:
            TableLocked: The locks were not free in the time to wait.
        """
        began, names = time.monotonic(), [self.named(table) for table in tables]
        self.report(step)
        while True:
            try:
                with self.transaction():
                    self._set_lock_timeout(_AUTOVACUUM_SECONDS)
                    self.execute(f"LOCK TABLE {', '.join(names)} IN SHARE UPDATE EXCLUSIVE MODE")
                    self._set_lock_timeout(self.settings.lock_timeout_seconds)
                    return work()
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in {_LOCK_NOT_AVAILABLE, _DEADLOCK_DETECTED}:
                    raise
                waited = time.monotonic() - began
                who = catalog.lockers(self.connection, names)
                self.connection.rollback()
                if waited >= self.settings.wait_seconds:
                    raise TableLocked(step, " and ".join(tables), round(waited, 1), who) from error
                if who:
                    self.settings.report(Progress(step, waiting_for=who))
                time.sleep(self.settings.lock_timeout_seconds * spread(1, 2))

    def _set_lock_timeout(self, seconds: float) -> None:
        self.execute(f"SET LOCAL lock_timeout = '{max(1, round(seconds * 1000))}ms'")


@contextmanager
def changing(engine: Engine, settings: Settings) -> Iterator[Log]:
    """Open the log of a database for a change of its parts, while no migration and no other change is running.

    Raises:
        PartitioningRefused: The log can't be partitioned.
        SchemaMissing: There are no tables.
        SchemaOutdated: They are older than es_0011.
        MigrationError: The migration lock can't be taken.
    """
    with reading(engine, settings) as log:
        locked = deploy_lock(
            log.connection,
            schema=settings.schema,
            wait_seconds=settings.wait_seconds,
            on_progress=settings.on_progress,
        )
        with locked:
            yield log


@contextmanager
def reading(engine: Engine, settings: Settings) -> Iterator[Log]:
    """Open the log of a database to read about its parts; the errors are those of `changing`, without the last."""
    if engine.dialect.name == "sqlite":
        raise PartitioningRefused("SQLite has no partitions", "use PostgreSQL for a log of this size")
    backend_for(engine, lock_timeout_seconds=0, schema=settings.schema)  # refuses other databases
    with refusals(engine, settings.schema), engine.connect() as pooled:
        connection = pooled.execution_options(isolation_level="READ COMMITTED", stream_results=False)
        place = connection.execute(_PLACE, {"schema": settings.schema}).one_or_none()
        connection.rollback()
        where = TablesPlace(str(engine.url.database), settings.schema)
        if place is None or not place[1]:
            raise SchemaMissing(where)
        log = Log(connection, place[0], settings)
        _check_tables(log, where)
        yield log


def _check_tables(log: Log, where: TablesPlace) -> None:
    ((version,),) = log.rows(f"SELECT version FROM {log.named('es_schema')}".replace(":", "\\:"))
    if version < PARTS_CAN_BE_DETACHED:
        raise SchemaOutdated(version, PARTS_CAN_BE_DETACHED, where)
    if catalog.is_distributed(log.connection, log.named("es_events")):
        raise PartitioningRefused(
            "Citus has distributed es_events, which can't be partitioned then",
            "if a worker has too little room, move tenants to another one (citus_schema_move)",
        )
    log.connection.rollback()


def check_positive(name: str, value: int | None) -> None:
    """Refuse a number of positions that is not at least 1.

    Raises:
        InvalidInput: It is not.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        msg = f"{name} must be a number of positions of at least 1, not {value!r}"
        raise InvalidInput(msg)
