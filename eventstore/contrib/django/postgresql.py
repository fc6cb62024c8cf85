"""PostgreSQL in a Django project."""

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Self

import psycopg
from django.db import Error, connections

from eventstore.backends.postgresql.autocommit import at_read_committed
from eventstore.backends.postgresql.connections import PostgreSQLConnections, state_of
from eventstore.backends.postgresql.cursors import BinaryCursor, CopyingCursor, check_connection
from eventstore.backends.postgresql.dialect import PostgreSQLDialect
from eventstore.backends.postgresql.errors import is_serialization_failure
from eventstore.backends.protocol import LogView, Row, Run, Statement, TransactionState
from eventstore.backends.running import reported_search_path
from eventstore.contrib.django.connections import WrappedErrors, place_of, transaction_state
from eventstore.contrib.django.execution import DjangoRun
from eventstore.contrib.django.search_path import known_path, refuse_tables_of_another
from eventstore.core.schema_version import SchemaGate
from eventstore.errors import TablesPlace
from eventstore.rows.mapper import PendingAppend
from eventstore.tables import Layout
from eventstore.tokens import PositionToken

_NOTES: Final = "_eventstore_notes"
_TENANTS: Final = 1000
"""How many search paths are remembered. What is forgotten is asked again."""


@dataclass(frozen=True, slots=True)
class _ExecutedQuery:
    query: bytes


class LoggableCursor(BinaryCursor):
    """Keeps the SQL that it executes, without parameters, for Django's query log and toolbars."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """Execute the query, and keep its SQL."""
        super().execute(query, params, **options)
        executed: Any = _ExecutedQuery(query.encode())
        self._query = executed
        return self


class _Tenant:
    """The tables at one search path: whether they fit, and the statements that suit them."""

    def __init__(self, place: TablesPlace) -> None:
        self.dialect = PostgreSQLDialect(place=place)
        self.gate = SchemaGate(suit=self.dialect.suit, check_server=self.dialect.check_server)


class TenantsDialect(PostgreSQLDialect):
    """Sends each tenant's tables the statements that suit their version, because tenants are migrated in turn.

    Args:
        using: The alias of the database.
    """

    def __init__(self, using: str) -> None:
        super().__init__(place=place_of(using))
        self._using = using
        self._tenant_at = lru_cache(_TENANTS)(lambda _: _Tenant(self.place))

    @property
    def tenant(self) -> _Tenant:
        """The tenant of this thread's connection, as far as is known."""
        return self._tenant_at(known_path(connections[self._using]))

    def gate(self, run: Run) -> None:
        """Check the tables once for each search path.

        Raises:
            SchemaError: They don't fit this code.
            SchemaMissing: The search path leads to another tenant's tables.
        """
        connection = connections[self._using]
        connection.ensure_connection()  # only then its search path may be known
        tenant = self.tenant
        if not tenant.gate.fits:
            refuse_tables_of_another(connection, self.place)
            tenant.gate(run)

    def suit(self, layout: Layout, table: int) -> None:
        """Choose statements that suit the tables of the tenant of this thread's connection."""
        self.tenant.dialect.suit(layout, table)

    @property
    def layout(self) -> Layout:
        """What the tables of the tenant are like."""
        return self.tenant.dialect.layout

    def view_log(
        self, run: Run, *, settled: PositionToken | None, others: Sequence[PositionToken], joined: bool
    ) -> LogView:
        """Read it for the tenant, whose log may have been partitioned meanwhile."""
        return self.tenant.dialect.view_log(run, settled=settled, others=others, joined=joined)

    def read_stream_page(self, run: Run, statement: Statement, **parameters: Any) -> tuple[Sequence[Row], str | None]:
        """Read it for the tenant, likewise."""
        return self.tenant.dialect.read_stream_page(run, statement, **parameters)

    def look_again(self, run: Run) -> None:
        """Look at the tables of the tenant."""
        self.tenant.dialect.look_again(run)

    @property
    def on_citus(self) -> bool:  # type: ignore[override]  # the tenant's, which `check_server` sets
        """Whether Citus has the tenant's tables on a worker."""
        return self.tenant.dialect.on_citus

    def check_server(self, run: Run) -> None:
        """Check where the tenant's tables are."""
        self.tenant.dialect.check_server(run)

    def sql(self, statement: Statement) -> tuple[str, dict[str, Any]]:
        """Return SQL that suits the tenant."""
        return self.tenant.dialect.sql(statement)

    def append_is_one_statement(self, pending: PendingAppend) -> bool:
        """Return whether it is one for the tenant."""
        return self.tenant.dialect.append_is_one_statement(pending)


class DjangoPostgreSQL(WrappedErrors):
    """PostgreSQL on Django's connections.

    Args:
        using: The alias of the database.
    """

    def __init__(self, using: str) -> None:
        self.dialect = TenantsDialect(using)
        super().__init__(PostgreSQLConnections(self.dialect))

    def gate(self, gate: Callable[[Run], None]) -> Callable[[Run], None]:  # noqa: ARG002  # there is one for each tenant
        """Return the gate of the dialect."""
        return self.dialect.gate

    def run_on(self, connection: Any) -> Run:
        """Return a run on Django's connection."""
        return _PostgreSQLRun(self, self.dialect, connection)

    def transaction_state(self, connection: Any) -> TransactionState:
        """Ask the driver and Django."""
        return transaction_state(connection, state_of)

    def open_probe(self, connection: Any) -> Callable[[], bool]:
        """Return a function that also sees errors that Django remembers."""
        return lambda: self.transaction_state(connection) is TransactionState.OPEN

    def mark_transaction(self, run: Run, connection: Any) -> object:
        """Return the transaction id, which exists because the checkpoint is locked."""
        return self._driver.mark_transaction(run, connection)

    def is_same_transaction(self, run: Run, connection: Any, mark: object) -> bool:
        """Compare ids."""
        return self._driver.is_same_transaction(run, connection, mark)

    @contextmanager
    def own_block(self, connection: Any) -> Iterator[None]:
        """Begin a block of the store's at READ COMMITTED, without a round trip; a nested block keeps its level."""
        if connection.in_atomic_block:
            yield
            return
        connection.close_if_health_check_failed()
        connection.ensure_connection()
        driver = connection.connection
        before = driver.isolation_level
        driver.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        try:
            yield
        finally:
            with suppress(psycopg.Error):  # the connection is lost, which Django notices
                driver.isolation_level = before

    def become_writer(self, run: Run) -> None:
        """Do nothing, because PostgreSQL locks rows."""

    def defer_foreign_keys(self, connection: Any) -> None:
        """Do nothing, because TRUNCATE names all tables at once."""

    def check_reader(self, connection: Any) -> None:
        """Do nothing, because reading the open transactions shows it."""


class _PostgreSQLRun(DjangoRun):
    """Sends bind parameters in binary form, unlike Django's cursors, which put them into the text."""

    @property
    def search_path(self) -> bytes | None:
        """What the server has reported; see `Run`."""
        self._connection.ensure_connection()
        return reported_search_path(self._connection.connection)

    @property
    def notes(self) -> MutableMapping[Any, Any]:
        """Notes about the driver's connection at the search path that it has now, as far as is known."""
        notes: dict[Any, dict[Any, Any]] = super().notes.setdefault(_NOTES, {})
        if len(notes) > _TENANTS:
            notes.clear()
        return notes.setdefault(known_path(self._connection), {})

    def _send(self, sql: str, parameters: Any) -> Sequence[Row]:
        try:
            return self._send_once(sql, parameters)
        except Error as error:
            if self._connection.in_atomic_block or not is_serialization_failure(error):
                raise
        return at_read_committed(self._send_once, sql, parameters)

    def _send_once(self, sql: str, parameters: Any) -> Sequence[Row]:
        connection = self._connection
        connection.close_if_health_check_failed()
        connection.ensure_connection()
        check_connection(connection.connection)
        with connection.cursor() as cursor:  # with the search path, if a tenant's backend sets it for each cursor
            cursor.cursor.close()
            cursor.cursor = (CopyingCursor if sql.startswith("COPY") else LoggableCursor)(connection.connection)
            (cursor.executemany if isinstance(parameters, list) else cursor.execute)(sql, parameters)
            rows: Sequence[Row] = cursor.rows
            return rows
