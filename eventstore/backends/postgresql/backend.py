"""PostgreSQL 14 or newer, by psycopg 3."""

import re
import select
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import psycopg as dialect_module
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from eventstore.backends.direct import can_be_unwatched
from eventstore.backends.postgresql import cursors as postgresql_cursors
from eventstore.backends.postgresql import errors as postgresql_errors
from eventstore.backends.postgresql.autocommit import WatchedConnection
from eventstore.backends.postgresql.direct_connection import UnwatchedConnection, unwatched
from eventstore.backends.postgresql.listener import PostgreSQLListener
from eventstore.backends.postgresql.loader import PostgreSQLLoader
from eventstore.backends.postgresql.log_views import PrimaryLook, StandbyLook
from eventstore.backends.postgresql.parameters import (
    COPIED_TYPES,
    event_arrays,
    many_appends,
    rows_to_copy,
    single_event,
)
from eventstore.backends.postgresql.positions import check_drawing
from eventstore.backends.postgresql.rights import is_permission_denied, permission_denied
from eventstore.backends.postgresql.settings import prepared
from eventstore.backends.protocol import (
    CLOSED_BY,
    Following,
    HeadClosed,
    Listener,
    Look,
    Overtaken,
    PageHeader,
    Place,
    Row,
    Run,
    Server,
    Statement,
    TransactionState,
    VersionTaken,
)
from eventstore.errors import (
    HistoryChangeRefused,
    PositionsBehind,
    SchemaMissing,
    TablesPlace,
    TransactionBroken,
    UnsuitableTransaction,
)
from eventstore.filters import EventFilter
from eventstore.rows.mapper import POSITION, Expectation, PendingAppend
from eventstore.statements.heads import advance_existing_head, advance_head, create_head, create_or_advance_head
from eventstore.statements.postgresql.append import (
    append_at_version,
    append_at_version_and_notify,
    append_to_any,
    append_to_any_and_notify,
    append_to_existing,
    append_to_existing_and_notify,
    append_to_many,
    append_to_many_and_notify,
    append_to_new,
    append_to_new_and_notify,
    create_heads,
    lock_heads,
)
from eventstore.statements.postgresql.append_one import (
    append_one_at_version,
    append_one_at_version_and_notify,
    append_one_to_any,
    append_one_to_any_and_notify,
    append_one_to_existing,
    append_one_to_existing_and_notify,
    append_one_to_new,
    append_one_to_new_and_notify,
)
from eventstore.statements.postgresql.append_to_all import OVERTAKEN, append_to_all, append_to_all_and_notify
from eventstore.statements.postgresql.copy import copy_events, row_security
from eventstore.statements.postgresql.history import find_setting_of_history_changes, set_history_changes
from eventstore.statements.postgresql.lock_table import lock_snapshots
from eventstore.statements.postgresql.look import end_of_run, look
from eventstore.statements.postgresql.notifications import notification_channel
from eventstore.statements.postgresql.notifications import notify as send_notification
from eventstore.statements.postgresql.positions import drawing
from eventstore.statements.postgresql.read_page import read_everything, read_matching
from eventstore.statements.postgresql.servers import transaction_id
from eventstore.statements.reading import read_forwards
from eventstore.tables import STREAMS_CAN_END, Tables, define_tables
from eventstore.tables.immutability import TRIGGER
from eventstore.tokens import PositionToken

ENGINE_OPTIONS: Final[dict[str, Any]] = {
    "pool_size": 5,
    "max_overflow": 15,
    "pool_timeout": 30,
    "connect_args": {"application_name": "eventstore"},
}
"""For `EventStore.from_url`. Up to 20 connections: PostgreSQL allows 100 by default, for all processes together."""

_APPEND: Final[dict[Expectation, Statement]] = {
    Expectation.NEW: append_to_new,
    Expectation.VERSION: append_at_version,
    Expectation.EXISTING: append_to_existing,
    Expectation.NOTHING: append_to_any,
}
_NOTIFYING_APPEND: Final[dict[Expectation, Statement]] = {
    Expectation.NEW: append_to_new_and_notify,
    Expectation.VERSION: append_at_version_and_notify,
    Expectation.EXISTING: append_to_existing_and_notify,
    Expectation.NOTHING: append_to_any_and_notify,
}
_APPEND_ONE: Final[dict[Expectation, Statement]] = {
    Expectation.NEW: append_one_to_new,
    Expectation.VERSION: append_one_at_version,
    Expectation.EXISTING: append_one_to_existing,
    Expectation.NOTHING: append_one_to_any,
}
_NOTIFYING_APPEND_ONE: Final[dict[Expectation, Statement]] = {
    Expectation.NEW: append_one_to_new_and_notify,
    Expectation.VERSION: append_one_at_version_and_notify,
    Expectation.EXISTING: append_one_to_existing_and_notify,
    Expectation.NOTHING: append_one_to_any_and_notify,
}
_ADVANCE: Final[dict[Expectation, Statement]] = {
    Expectation.NEW: create_head,
    Expectation.VERSION: advance_head,
    Expectation.EXISTING: advance_existing_head,
    Expectation.NOTHING: create_or_advance_head,
}
COPY_FROM: Final = 10_000
"""From so many events on, COPY is quicker than one statement over arrays, though it needs a transaction around it."""

_EVENTS_KEYS: Final = ("es_events_pkey", "es_events_stream_id_version_key")
_POSITIONS_KEY: Final = "es_events_position_key"
_CONTENTION_STATES: Final = frozenset({"40001", "40P01", "55P03"})
"""What a standby cancels, and serialization failures; deadlocks; lock timeouts."""

_PASSING_STATES: Final = _CONTENTION_STATES | {
    "57P01", "57P02", "57P03", "53300",  # the server is stopping, has crashed, is starting, is full
    "08000", "08001", "08003", "08004", "08006",  # lost connections, and those that could not be made
    "25P03", "57P05",  # the server has ended an idle session
    "25006",  # it takes no writes: it is a standby by now, or was made read-only for a while
}  # fmt: skip

_STATES: Final = {
    TransactionStatus.IDLE: TransactionState.ENDED,
    TransactionStatus.INERROR: TransactionState.ABORTED,
    TransactionStatus.UNKNOWN: TransactionState.LOST,
}

_UNDEFINED_TABLE: Final = "42P01"


class PostgreSQL:
    """How the store uses PostgreSQL: one statement an append, row locks on heads, everything in binary.

    Args:
        schema: The schema of the tables.
        notify: Whether appends are told to those who listen.
        copies: Whether the driver's connections can COPY; those for asyncio can't, as SQLAlchemy wraps them.
        place: Where the tables are, for errors.
    """

    has_notifications: Final = True
    loader: Final = PostgreSQLLoader()

    def __init__(
        self, *, schema: str | None = None, notify: bool = False, copies: bool = True, place: TablesPlace | None = None
    ) -> None:
        self.place = place or TablesPlace("this database", schema)
        self._append = _NOTIFYING_APPEND if notify else _APPEND
        self._append_one = _NOTIFYING_APPEND_ONE if notify else _APPEND_ONE
        self._notify = notify
        self._copies = copies
        self._append_to_all = append_to_all_and_notify if notify else append_to_all
        self._append_to_many = append_to_many_and_notify if notify else append_to_many
        self.tables: Tables = define_tables(schema=schema)
        self._streams_can_end = True  # until a store has looked

    def sql(self, statement: Statement) -> tuple[str, dict[str, Any]]:
        """Return SQL with all parameters in binary: arrays are two to three times faster than as text."""
        return _compile(statement, self.tables.metadata.schema, self._streams_can_end)

    def suit(self, schema_version: int) -> None:
        """Note whether es_streams has the columns that say which streams have ended."""
        self._streams_can_end = schema_version >= STREAMS_CAN_END

    def execute(
        self, connection: Connection | UnwatchedConnection | WatchedConnection, sql: str, parameters: Any
    ) -> Sequence[Row]:
        """Execute with results in binary, too."""
        if isinstance(connection, UnwatchedConnection | WatchedConnection):
            return connection.execute(sql, parameters)
        return postgresql_cursors.execute(connection, sql, parameters)

    def append_is_one_statement(self, pending: PendingAppend) -> bool:
        """Return whether there are too few events for COPY."""
        return not self._copies or len(pending) < COPY_FROM

    def autocommit(self, engine: Engine) -> AbstractContextManager[UnwatchedConnection | WatchedConnection]:
        """Open a connection that needs no BEGIN and COMMIT, which are round trips of their own."""
        return unwatched(engine) if can_be_unwatched(engine) else self._watched_autocommit(engine)

    @contextmanager
    def _watched_autocommit(self, engine: Engine) -> Iterator[WatchedConnection]:
        with engine.connect() as connection, prepared(connection, isolation_level="AUTOCOMMIT"):
            yield WatchedConnection(connection)

    @contextmanager
    def transaction(self, engine: Engine) -> Iterator[Connection]:
        """Open a transaction at READ COMMITTED: who has waited for a head's lock must see what it waited for."""
        is_done = False
        with engine.connect() as connection, prepared(connection, isolation_level="READ COMMITTED"):
            try:
                with connection.begin():
                    yield connection
                    if _is_aborted(connection):  # PostgreSQL would answer COMMIT with ROLLBACK, and no error
                        raise TransactionBroken("aborted")
                    is_done = True
            except DBAPIError as error:
                if not is_done:
                    raise
                failure = self.without_payload(error)  # what is checked only at the commit may quote rows
            else:
                return
            raise failure

    def short_transaction(self, engine: Engine) -> AbstractContextManager[Connection]:
        """Do the same as `transaction`: beside several round trips, what SQLAlchemy takes does not count."""
        return self.transaction(engine)

    def prepare_savepoint(self, run: Run, connection: Connection) -> None:
        """Do nothing: a transaction is open, and rows are locked one by one."""

    def commits_by_itself(self, connection: Connection) -> bool:
        """Return whether the driver's connection is in autocommit."""
        return bool(connection.connection.dbapi_connection.autocommit)  # type: ignore[union-attr]  # psycopg's, and checked out

    def check_reader(self, connection: Connection) -> None:
        """Do nothing: a look tells."""

    def translate(self, error: DBAPIError) -> Exception | None:
        """Translate by SQLSTATE and constraint name; on Citus the name has a suffix."""
        state = getattr(error.orig, "sqlstate", None)
        diagnostics = getattr(error.orig, "diag", None)
        if state == _UNDEFINED_TABLE:
            return SchemaMissing(self.place)
        if is_permission_denied(error):
            return permission_denied(error, self.tables)
        constraint = "" if diagnostics is None else str(diagnostics.constraint_name or "")
        if constraint == TRIGGER:
            return HistoryChangeRefused()
        for check, closed in CLOSED_BY.items():
            if constraint.startswith(check):
                return HeadClosed(closed)
        if diagnostics is not None and constraint.startswith(_EVENTS_KEYS):
            place = re.search(r"\(stream_id, version\)=\((.*), (\d+)\)", diagnostics.message_detail or "", re.DOTALL)
            return VersionTaken(place.group(1), int(place.group(2))) if place else None
        return _positions_behind(diagnostics) if constraint.startswith(_POSITIONS_KEY) else None

    def without_payload(self, error: Any) -> Any:
        """Leave out what the server quotes."""
        return postgresql_errors.without_payload(error)

    def sqlstate_of(self, error: BaseException) -> str | None:
        """Return the code of an error that a statement has raised; None if it is not the server's."""
        state: str | None = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
        return state

    def is_serialization_failure(self, error: BaseException) -> bool:
        """Return whether another transaction has come first."""
        return self.sqlstate_of(error) == postgresql_errors.SERIALIZATION_FAILURE

    def is_passing(self, error: Exception) -> bool:
        """Return whether the connection was lost, or the pool or server is full, or not there, or takes no writes.

        An error without a SQLSTATE comes from the driver: it could not connect, or could no longer. A FATAL one ends
        the session; PgBouncer's own say nothing else: a lost server is a protocol violation (08P01) to it.
        """
        if isinstance(error, PoolTimeout) or (isinstance(error, DBAPIError) and error.connection_invalidated):
            return True
        cause = error.orig if isinstance(error, DBAPIError) else error
        state = getattr(cause, "sqlstate", None)
        if state is None:
            return isinstance(cause, psycopg.OperationalError)
        return isinstance(cause, psycopg.Error) and (state in _PASSING_STATES or _ends_the_session(cause))

    def is_contention(self, error: BaseException) -> bool:
        """Return whether it was a deadlock, a serialization failure or a lock timeout, also as the cause of another."""
        cause: BaseException | None = error
        while cause is not None:
            if getattr(cause, "sqlstate", None) in _CONTENTION_STATES:
                return True
            cause = cause.orig if isinstance(cause, DBAPIError) else cause.__cause__
        return False

    def transaction_state(self, connection: Any) -> TransactionState:
        """Ask the driver."""
        if connection.invalidated:
            return TransactionState.LOST
        raw = None if connection.closed else connection.connection.driver_connection
        if raw is None:  # it was given back to the pool, which rolls back
            return TransactionState.ENDED
        state = self.state_of(raw)
        if state is TransactionState.LOST:
            with suppress(DBAPIError):  # let SQLAlchemy find out, too: it empties the pool, and need not roll back
                connection.exec_driver_sql("SELECT 1")
        return state

    def state_of(self, raw: Any) -> TransactionState:
        """Return the state of the transaction on the driver's connection.

        It does not know that the server has ended the session before it has read so. Something to be read is rare
        while no query is under way; then an empty query finds out.
        """
        with suppress(psycopg.Error):
            if _has_input(raw.pgconn.socket):
                raw.pgconn.exec_(b"")
        return _STATES.get(raw.pgconn.transaction_status, TransactionState.OPEN)

    def mark_transaction(self, run: Run, connection: Any) -> object:  # noqa: ARG002  # it is asked by statements
        """Return its id: the lock of the checkpoint has given it one."""
        return run(transaction_id)

    def is_same_transaction(self, run: Run, connection: Any, mark: object) -> bool:  # noqa: ARG002  # likewise
        """Compare ids."""
        return run(transaction_id) == mark

    def listen(self, engine: Engine) -> Listener:
        """Listen on the channel of this store's tables."""
        return PostgreSQLListener(engine, self.sql(notification_channel))

    def append(self, run: Run, pending: PendingAppend) -> tuple[int, int] | None:
        """Append in one statement; the head's row lock makes a second writer wait and look again.

        Very many events: head first, then COPY, in the transaction that `append_is_one_statement` has asked for; unless
        row level security is in force, under which PostgreSQL refuses to COPY.
        """
        head = {"stream_id": pending.stream_id, "count": len(pending), "expected": pending.expected}
        if not self.append_is_one_statement(pending) and not _has_row_security(run):
            return self._copy(run, pending, head)
        if len(pending) == 1:
            rows = run(self._append_one[pending.expectation], **head, **single_event(pending))
        else:
            rows = run(self._append[pending.expectation], **head, **event_arrays([pending]))
        return (rows[0][0], rows[0][1]) if rows else None

    def _copy(self, run: Run, pending: PendingAppend, head: dict[str, Any]) -> tuple[int, int] | None:
        """Positions are drawn while COPY stores one row after the other, when the head is locked already."""
        advanced = run(_ADVANCE[pending.expectation], **head)
        if not advanced:
            return None
        version = advanced[0][0]
        run(copy_events, types=COPIED_TYPES, rows=rows_to_copy(pending, version - len(pending)))
        if self._notify:
            run(send_notification)
        last = {"stream_id": pending.stream_id, "after_version": version - 1, "up_to_version": version}
        return version, run(read_forwards, **last, page_size=1)[0][POSITION]

    def append_to_all(self, run: Run, appends: Sequence[PendingAppend]) -> list[tuple[int, int]] | None:
        """Create or lock heads, compare them, store events, all in one statement."""
        many = many_appends(appends)
        try:
            rows = run(self._append_to_all, **many.parameters)
        except Exception as error:
            if self.sqlstate_of(error) in OVERTAKEN:
                raise Overtaken from error
            raise
        if not rows:
            return None
        versions, positions, *_ = rows[0]
        return [
            (versions[index] + place, position) for (index, place), position in zip(many.ends, positions, strict=True)
        ]

    def lock_heads(self, run: Run, stream_ids: Sequence[str], *, create: Sequence[str]) -> dict[str, int]:
        """Create missing heads, then lock all, both in sorted order.

        Two of these never deadlock: while one creates heads it holds only heads that nobody else can see, and while it
        locks it waits only for heads that sort after all that it has locked.
        """
        if create:
            run(create_heads, stream_ids=list(create))
        return {row[0]: row[1] for row in run(lock_heads, stream_ids=list(stream_ids))}

    def store(self, run: Run, appends: Sequence[tuple[PendingAppend, int]]) -> dict[Place, int]:
        """Store everything in one statement."""
        heads = {pending.stream_id: version + len(pending) for pending, version in appends}
        rows = run(
            self._append_to_many,
            **event_arrays([pending for pending, _ in appends]),
            stream_ids=[pending.stream_id for pending, _ in appends for _ in pending.event_ids],
            versions=[
                number for pending, version in appends for number in range(version + 1, version + len(pending) + 1)
            ],
            heads=list(heads),
            head_versions=list(heads.values()),
            last_stream_ids=[pending.stream_id for pending, _ in appends],
            last_versions=[version + len(pending) for pending, version in appends],
        )
        return _positions(rows)

    def lock_snapshots(self, run: Run) -> None:
        """Lock the table: a statement that has begun to save may have looked at events that are deleted by now."""
        run(lock_snapshots)

    def permit_history_changes(self, run: Run) -> bool:
        """Set the setting that the trigger looks at, for this transaction."""
        ((setting,),) = run(find_setting_of_history_changes)
        run(set_history_changes, value="on")
        return bool(setting == "on")

    def forbid_history_changes(self, run: Run) -> None:
        """Set it back."""
        run(set_history_changes, value="off")

    def look(self, run: Run, *, settled: PositionToken | None, others: Sequence[PositionToken], joined: bool) -> Look:
        """Look at the newest position and at who holds the lock of appends; on a standby, at transaction ids."""
        asked = [token.position for token in (settled, *others) if token is not None]
        row = run(
            look,
            settled=0 if settled is None else settled.position,
            settled_id=None if settled is None else settled.event_id,
            positions=asked,
        )[0]
        *event, positions, ids, has_looked, appenders, own, isolation_level = row[:10]
        server, (persistence, cache, drawn, oldest, next_id) = Server(*row[10:13]), row[13:]
        newest = None if event[0] is None else PositionToken(*event)
        if joined and isolation_level != "read committed":
            raise UnsuitableTransaction(
                f"is at {isolation_level.upper()} and does not see what others commit; use READ COMMITTED"
            )
        if own:
            raise UnsuitableTransaction("has itself appended, and what it has stored may still be rolled back")
        if joined and oldest is not None:  # there, the function that knows the next id repeats its first answer
            raise UnsuitableTransaction("is on a standby, where its statements can't tell who is appending")
        drawn = check_drawing(run, 0 if newest is None else newest.position, persistence, cache, drawn)
        kept = dict(zip(positions or (), ids or (), strict=True))
        if oldest is None:
            return PrimaryLook(server, newest, kept, drawn, frozenset(appenders or ()) if has_looked else None)
        return StandbyLook(server, newest, kept, drawn, oldest, next_id)

    def following(self, run: Run, *, after_position: int, size: int) -> Following:
        """Look in the index of positions."""
        (row,) = run(end_of_run, after_position=after_position, size=size)
        last = None if row[0] is None else PositionToken(*row[:4])
        return Following(Server(*row[5:]), row[4], last)

    def check_positions(self, run: Run) -> None:
        """Check the sequence: it has CACHE 1 and is not behind."""
        for row in run(drawing):
            check_drawing(run, *row)

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
        """Read with one array for each field of a filter."""
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
                parameters |= {f"{field}_{number}": list(values) for field, values in filter_.named.items()}
        else:
            parameters["after_position"] = after_position
        header, *rows = run(statement, **parameters)
        _, _, table, settled_id, token_id, in_recovery, _, _, _, started_at = header
        server = Server(table, started_at, bool(in_recovery))
        return PageHeader(server, settled_id, None if token_id is None else UUID(token_id)), rows

    def to_uuid(self, value: UUID) -> UUID:
        """Return the id: psycopg has made it a UUID."""
        return value

    def from_uuid(self, value: UUID) -> UUID:
        """Return the id: psycopg takes a UUID."""
        return value

    to_time = staticmethod(postgresql_cursors.to_time)

    def from_time(self, value: datetime) -> datetime:
        """Return the time: psycopg knows its zone."""
        return value


def _is_aborted(connection: Connection) -> bool:
    """Return whether it is known to be: a lost connection is left to the commit, whose error says what is wrong."""
    raw: Any = None if connection.closed or connection.invalidated else connection.connection.driver_connection
    return raw is not None and raw.pgconn.transaction_status == TransactionStatus.INERROR


def _ends_the_session(error: psycopg.Error) -> bool:
    """Return whether the error is FATAL. PgBouncer sends the severity in one field only, in English."""
    return "FATAL" in (error.diag.severity_nonlocalized, error.diag.severity)


def _positions_behind(diagnostics: Any) -> PositionsBehind | None:
    drawn = re.search(r"=\((\d+)\)", diagnostics.message_detail or "")
    return None if drawn is None else PositionsBehind(None, int(drawn.group(1)))


def _has_row_security(run: Run) -> bool:
    return bool(run(row_security)[0][0])


def _has_input(file_descriptor: int) -> bool:
    if not hasattr(select, "poll"):
        return bool(select.select([file_descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(file_descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _positions(rows: Sequence[Row]) -> dict[Place, int]:
    return {(stream_id, version): position for stream_id, version, position, *_ in rows}


@cache
def _compile(
    statement: Statement, schema: str | None, streams_can_end: bool
) -> tuple[str, dict[str, Any]]:  # a key of the cache
    tables = define_tables(schema=schema, streams_can_end=streams_can_end)
    compiled = statement(tables).compile(dialect=dialect_module.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy's
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    sql = str(compiled)
    # COPY has no parameters in its text; elsewhere, in the name of a schema, a percent sign stands twice
    return sql if sql.startswith("COPY") else re.sub(r"(?<!%)%\((\w+)\)s", r"%(\1)b", sql), constants
