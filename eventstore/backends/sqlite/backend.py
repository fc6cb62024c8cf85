"""SQLite 3.35 or newer, by the standard library's driver."""

import json
import sqlite3
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.dialects import sqlite as dialect_module
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from eventstore.backends.direct import can_be_unwatched
from eventstore.backends.protocol import (
    CLOSED_BY,
    PLAIN_EXECUTION,
    Following,
    HeadClosed,
    Listener,
    Look,
    PageHeader,
    Place,
    Row,
    Run,
    Server,
    Statement,
    TransactionState,
    VersionTaken,
    fetch,
)
from eventstore.backends.sqlite.direct_connection import UnwatchedConnection, unwatched
from eventstore.backends.sqlite.loader import SQLiteLoader
from eventstore.backends.sqlite.settings import begins_nothing, check_connection
from eventstore.backends.sqlite.write_lock import is_busy, wait_for_lock, write_lock
from eventstore.errors import (
    DatabaseBusy,
    HistoryChangeRefused,
    InvalidInput,
    NotInTransaction,
    SchemaMissing,
    TablesPlace,
    UnsuitableSetting,
    UnsuitableTransaction,
)
from eventstore.filters import EventFilter
from eventstore.rows.mapper import Expectation, PendingAppend
from eventstore.statements.heads import advance_existing_head, advance_head, create_head, create_or_advance_head
from eventstore.statements.sqlite.append import (
    find_heads,
    insert_event,
    insert_single_event,
    last_position,
    set_head,
    take_write_lock,
)
from eventstore.statements.sqlite.history import give_permission, take_permission
from eventstore.statements.sqlite.look import look
from eventstore.statements.sqlite.read_page import read_everything, read_matching
from eventstore.tables import STREAMS_CAN_END, Tables, define_tables
from eventstore.tables.immutability import REFUSAL
from eventstore.tokens import PositionToken

_SWITCH_TIMEOUT_SECONDS: Final = 30.0
"""How long a new connection waits to find, or make, the database's journal a write-ahead log."""

_ADVANCE: Final[dict[Expectation, Statement]] = {
    Expectation.NEW: create_head,
    Expectation.VERSION: advance_head,
    Expectation.EXISTING: advance_existing_head,
    Expectation.NOTHING: create_or_advance_head,
}
NO_NOTIFICATIONS: Final = "notify is for PostgreSQL; SQLite has no notifications, subscriptions poll it"
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)
_MARK: Final = "eventstore_batch"
_EVENTS_KEY: Final = "es_events.stream_id, es_events.version"


class SQLite:
    """How the store uses SQLite: one writer at a time, from BEGIN IMMEDIATE to COMMIT."""

    has_notifications: Final = False
    paramstyle = "named"
    append_to_all: Final = None

    def __init__(self, *, lock_timeout_seconds: float = 30.0, place: TablesPlace | None = None) -> None:
        self.place = place or TablesPlace("this database")
        self.tables: Tables = define_tables(position_is_key=True)
        self._streams_can_end = True  # until a store has looked
        self.loader = SQLiteLoader(self.from_time)
        self._lock_timeout_seconds = lock_timeout_seconds

    def sql(self, statement: Statement) -> tuple[str, dict[str, Any]]:
        """Return SQL with named parameters."""
        return _compile(statement, self.paramstyle, self._streams_can_end)

    def suit(self, schema_version: int) -> None:
        """Note whether es_streams has the columns that say which streams have ended."""
        self._streams_can_end = schema_version >= STREAMS_CAN_END

    def execute(self, connection: Connection | UnwatchedConnection, sql: str, parameters: Any) -> Sequence[Row]:
        """Execute as it is."""
        if isinstance(connection, UnwatchedConnection):
            return connection.exec_driver_sql(sql, parameters)
        pooled = connection.connection
        check_connection(pooled.dbapi_connection, pooled.info)
        result = connection.exec_driver_sql(sql, parameters, PLAIN_EXECUTION)
        if result.cursor is not None:
            result.cursor.row_factory = None  # type: ignore[attr-defined]  # sqlite3's
        return fetch(result, sql)

    def append_is_one_statement(self, pending: PendingAppend) -> bool:  # noqa: ARG002  # none is
        """Return that it is not."""
        return False

    def autocommit(self, engine: Engine) -> AbstractContextManager[Connection | UnwatchedConnection]:
        """Open a connection on which nobody has begun anything."""
        return unwatched(engine) if can_be_unwatched(engine) else self._watched_autocommit(engine)

    @contextmanager
    def _watched_autocommit(self, engine: Engine) -> Iterator[Connection]:
        with engine.connect() as connection:
            check_connection(connection.connection.dbapi_connection, connection.connection.info)
            if connection.in_transaction():  # begun by a hook (engine_connect)
                connection.commit()
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.begin()  # in name only; but it calls the application's hooks, of which one may send a BEGIN
            if connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]  # sqlite3's
                connection.exec_driver_sql("COMMIT")
            yield connection

    @contextmanager
    def short_transaction(self, engine: Engine) -> Iterator[Connection | UnwatchedConnection]:
        """Do the same as `transaction`, by the driver alone where nobody watches."""
        if not can_be_unwatched(engine):
            with self.transaction(engine) as connection:
                yield connection
            return
        with unwatched(engine) as alone, write_lock(alone.exec_driver_sql, alone.raw, self._lock_timeout_seconds):
            yield alone

    @contextmanager
    def transaction(self, engine: Engine) -> Iterator[Connection]:
        """Open a transaction that takes the write lock first, so that it can't fail half way for want of it."""
        with self._watched_autocommit(engine) as connection:
            raw = connection.connection.dbapi_connection
            with write_lock(connection.exec_driver_sql, raw, self._lock_timeout_seconds):
                yield connection

    def prepare_savepoint(self, run: Run, connection: Connection) -> None:
        """Become the writer: here the driver begins the transaction, without which a savepoint would be one itself."""
        run(take_write_lock)
        if not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]  # sqlite3's
            raise NotInTransaction

    def commits_by_itself(self, connection: Connection) -> bool:
        """Return whether SQLAlchemy or the driver was told to begin nothing, and nobody has sent a BEGIN.

        `transaction` sends one; an application may, by a hook, once SQLAlchemy begins.
        """
        raw = connection.connection.dbapi_connection
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            return not raw.in_transaction  # type: ignore[union-attr]  # sqlite3's
        return connection.in_transaction() and begins_nothing(raw)

    def check_reader(self, connection: Connection) -> None:
        """Refuse a transaction that has begun to write: maybe it has appended, and it can't be asked."""
        if connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]  # sqlite3's
            raise UnsuitableTransaction("has written, or begun to, and what it has stored may still be rolled back")

    def translate(self, error: DBAPIError) -> Exception | None:
        """Translate by error code; for keys and tables SQLite has only its message to tell which."""
        message = str(error.orig)
        if is_busy(error):
            return DatabaseBusy()
        if message.startswith(("no such table: es_", "no such table: snapshots")):
            return SchemaMissing(self.place)
        if message.startswith("UNIQUE constraint failed") and _EVENTS_KEY in message:
            return VersionTaken()
        if message.startswith(REFUSAL):
            return HistoryChangeRefused()
        for check, closed in CLOSED_BY.items():
            if message == f"CHECK constraint failed: {check}":
                return HeadClosed(closed)
        return None

    def without_payload(self, error: Any) -> Any:
        """Hide the parameters: SQLite's own messages show names, no values."""
        error.hide_parameters = True
        return error

    def is_serialization_failure(self, error: BaseException) -> bool:  # noqa: ARG002  # none is
        """Return that it is not: whoever reads and then writes on an old snapshot gets DatabaseBusy."""
        return False

    def is_passing(self, error: Exception) -> bool:
        """Return whether a lock was in the way, or the pool full."""
        return isinstance(error, DatabaseBusy | PoolTimeout)

    def is_contention(self, error: BaseException) -> bool:  # noqa: ARG002  # never
        """Return that it was not: a batch has the only write lock, so only a handler's own database can be locked."""
        return False

    def transaction_state(self, connection: Any) -> TransactionState:
        """Ask the driver."""
        if connection.invalidated:
            return TransactionState.LOST
        raw = None if connection.closed else connection.connection.dbapi_connection
        return TransactionState.ENDED if raw is None else self.state_of(raw)

    def state_of(self, raw: Any) -> TransactionState:
        """Return the state of the transaction on the driver's connection. Errors abort none."""
        try:
            return TransactionState.OPEN if raw.in_transaction else TransactionState.ENDED
        except sqlite3.ProgrammingError:  # it is closed
            return TransactionState.LOST

    def driver_connection(self, connection: Any) -> Any:
        """Return the driver's connection."""
        return connection.connection.dbapi_connection

    def mark_transaction(self, run: Run, connection: Any) -> object:  # noqa: ARG002  # transactions have no ids
        """Open a savepoint, which is gone when the transaction is."""
        self.driver_connection(connection).execute(f"SAVEPOINT {_MARK}")
        return None

    def is_same_transaction(self, run: Run, connection: Any, mark: object) -> bool:  # noqa: ARG002  # likewise
        """Release the savepoint, if there is one."""
        try:
            self.driver_connection(connection).execute(f"RELEASE SAVEPOINT {_MARK}")
        except sqlite3.Error:
            return False
        return True

    def listen(self, engine: Engine) -> Listener:  # noqa: ARG002  # nobody listens
        """Refuse: SQLite has nobody who could tell."""
        raise InvalidInput(NO_NOTIFICATIONS)

    def append(self, run: Run, pending: PendingAppend) -> tuple[int, int] | None:
        """Append in three statements: head, events, position."""
        rows = run(
            _ADVANCE[pending.expectation], stream_id=pending.stream_id, count=len(pending), expected=pending.expected
        )
        if not rows:
            return None
        version = rows[0][0]
        positions = _insert(run, [(pending, version - len(pending))])
        return version, positions[pending.stream_id, version]

    def lock_heads(self, run: Run, stream_ids: Sequence[str], *, create: Sequence[str]) -> dict[str, int]:  # noqa: ARG002  # all is locked
        """Look heads up: this transaction or savepoint has the write lock of the whole database."""
        return {row[0]: row[1] for row in run(find_heads, stream_ids=json.dumps(stream_ids))}

    def store(self, run: Run, appends: Sequence[tuple[PendingAppend, int]]) -> dict[Place, int]:
        """Store heads, then events."""
        heads = {pending.stream_id: version + len(pending) for pending, version in appends}
        run.many(set_head, [{"stream_id": stream_id, "version": version} for stream_id, version in heads.items()])
        return _insert(run, appends)

    def lock_snapshots(self, run: Run) -> None:
        """Do nothing: there is one writer."""

    def permit_history_changes(self, run: Run) -> bool:
        """Give the permission that the triggers look for. It is gone when the transaction is rolled back."""
        return not run(give_permission)

    def forbid_history_changes(self, run: Run) -> None:
        """Take it away, before the transaction is committed."""
        run(take_permission)

    def look(
        self,
        run: Run,
        *,
        settled: PositionToken | None,
        others: Sequence[PositionToken],
        joined: bool,  # noqa: ARG002  # all are
    ) -> Look:
        """Look at the newest position: there is one writer at a time, so nothing is under way below it."""
        token = others[-1] if others else None  # the reader's: where nobody is waited for, nothing else is asked
        asked = [0 if each is None else each.position for each in (settled, token)]
        ((position, event_id, stream_id, version, *ids, drawn),) = run(look, settled=asked[0], token_position=asked[1])
        newest = None if position is None else PositionToken(position, self.to_uuid(event_id), stream_id, version)
        kept = {place: self.to_uuid(found) for place, found in zip(asked, ids, strict=True) if found is not None}
        return _Look(newest, kept, drawn or 0)

    def following(self, run: Run, *, after_position: int, size: int) -> Following:  # noqa: ARG002  # nobody has to ask
        """Return that none does: what has been stored is settled already."""
        return Following(_SERVER, None, None)

    def check_positions(self, run: Run) -> None:
        """Do nothing: AUTOINCREMENT gives each row a position above all that are there."""

    def read_page(
        self,
        run: Run,
        filters: Sequence[EventFilter],
        *,
        after_position: int,
        up_to_position: int,
        page_size: int,
        settled_position: int,
        token_position: int,
    ) -> tuple[PageHeader, Sequence[Row]]:
        """Read with one JSON array for each field of a filter."""
        parameters: dict[str, Any] = {
            "up_to_position": up_to_position,
            "page_size": page_size,
            "settled_position": settled_position,
            "token_position": token_position,
        }
        statement: Statement = read_everything
        if filters:
            statement = read_matching(tuple(tuple(filter_.named) for filter_ in filters))
            for number, filter_ in enumerate(filters):
                parameters[f"after_position_{number}"] = max(after_position, filter_.after_position)
                parameters |= {f"{field}_{number}": json.dumps(values) for field, values in filter_.named.items()}
        else:
            parameters["after_position"] = after_position
        header, *rows = run(statement, **parameters)
        settled_id, token_id = (None if found is None else self.to_uuid(found) for found in header[3:5])
        return PageHeader(_SERVER, settled_id, token_id), rows

    def to_uuid(self, value: str) -> UUID:
        """Return the id of its 32 hexadecimal digits."""
        return msgspec.convert(value, UUID)  # a third of the time that UUID(value) takes

    def from_uuid(self, value: UUID) -> str:
        """Return its 32 hexadecimal digits."""
        return value.hex

    def to_time(self, value: str | datetime) -> datetime:
        """Return the time of SQLite's text, which is in UTC; of a converter's (`detect_types`) likewise."""
        if isinstance(value, str):
            return datetime.fromisoformat(value + "+00:00")  # a tenth of the time that `replace` takes
        if isinstance(value, datetime):
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        raise UnsuitableSetting(
            "detect_types",
            f"has a converter of DATETIME columns that makes {type(value).__name__}",
            "leave detect_types out, or let that converter make a datetime",
        )

    def from_time(self, value: datetime) -> str:
        """Return SQLite's text, which sorts as the times do. Near the ends of what there is, zones go beyond them."""
        try:
            in_utc = value.astimezone(UTC)
        except OverflowError:
            in_utc = _FIRST if value.year == _FIRST.year else _LAST
        return in_utc.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


_SERVER: Final = Server(table=0, started_at=None, in_recovery=False)


@dataclass(frozen=True, slots=True)
class _Look:
    newest: PositionToken | None
    kept: Mapping[int, UUID]
    drawn: int
    server: Server = _SERVER
    unfinished: frozenset[Any] = frozenset()

    def still_unfinished(self, waiting: frozenset[Any]) -> frozenset[Any]:
        return waiting


def _insert(run: Run, appends: Sequence[tuple[PendingAppend, int]]) -> dict[Place, int]:
    rows: list[dict[str, Any]] = [
        {
            "stream_id": pending.stream_id,
            "version": version + index + 1,
            "event_id": event_id.hex,
            "event_type": pending.event_types[index],
            "schema_version": pending.schema_versions[index],
            "codec": pending.codecs[index],
            "data": pending.data[index],
            "metadata": pending.metadata[index],
        }
        for pending, version in appends
        for index, event_id in enumerate(pending.event_ids)
    ]
    if len(rows) == 1:
        ((position,),) = run(insert_single_event, **rows[0])
        ((pending, version),) = appends
        return {(pending.stream_id, version + 1): position}
    run.many(insert_event, rows)
    ((position,),) = run(last_position)
    # Nobody else writes: AUTOINCREMENT has given each row the next position.
    before, positions = position - len(rows), {}
    for pending, version in appends:
        before += len(pending)
        positions[pending.stream_id, version + len(pending)] = before
    return positions


@cache
def _compile(
    statement: Statement, paramstyle: Any, streams_can_end: bool
) -> tuple[str, dict[str, Any]]:  # a key of the cache
    tables = define_tables(position_is_key=True, streams_can_end=streams_can_end)
    compiled = statement(tables).compile(dialect=dialect_module.dialect(paramstyle=paramstyle))
    return str(compiled), {name: value for name, value in compiled.params.items() if value is not None}


def engine_options(lock_timeout_seconds: float) -> dict[str, Any]:
    """Return what `EventStore.from_url` gives to `create_engine`."""
    return {"connect_args": {"timeout": lock_timeout_seconds, "check_same_thread": False}}


def create_memory_engine(**options: Any) -> Engine:
    """Return an engine for a new database in memory, shared by its connections, gone with the engine.

    SQLite's `memdb` (3.36 or newer) gives connections of their own, which wait for each other as they do on a file; the
    usual `:memory:` is one connection, or a database for each thread.
    """
    database = f"file:/eventstore-{uuid4()}?vfs=memdb"
    engine = create_engine(f"sqlite:///{database}&uri=true", **options)
    keeper = sqlite3.connect(database, uri=True, check_same_thread=False)  # while it is open there is a database
    weakref.finalize(engine, keeper.close)
    return engine


def prepare_engine(engine: Engine) -> None:
    """Prepare the connections of an engine of our own: write-ahead log, foreign keys, commits that survive a crash."""

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        wait_for_lock(connection.execute, "PRAGMA journal_mode = WAL", _SWITCH_TIMEOUT_SECONDS)

    begin_before_savepoints(engine)


def begin_before_savepoints(engine: Engine) -> None:
    """Begin the transaction that SQLAlchemy believes to be in before its first savepoint: the driver does not.

    In the dialect, not by a hook of the engine: that would count as somebody who watches.
    """
    savepoint = engine.dialect.do_savepoint

    def begin_first(connection: Connection, name: str) -> None:
        if not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]  # sqlite3's
            wait_for_lock(connection.exec_driver_sql, "BEGIN IMMEDIATE", _SWITCH_TIMEOUT_SECONDS)
        savepoint(connection, name)

    engine.dialect.do_savepoint = begin_first  # type: ignore[method-assign]  # of this engine's dialect alone
