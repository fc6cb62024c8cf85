"""PostgreSQL 14 or newer, with psycopg 3."""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy.dialects.postgresql import psycopg as dialect_module

from eventstore.backends.postgresql import cursors as postgresql_cursors
from eventstore.backends.postgresql.errors import is_refusal, sqlstate_of
from eventstore.backends.postgresql.loader import PostgreSQLLoader
from eventstore.backends.postgresql.log_views import PrimaryView, StandbyView
from eventstore.backends.postgresql.parameters import (
    COPIED_TYPES,
    event_arrays,
    many_appends,
    one_event,
    rows_to_copy,
)
from eventstore.backends.postgresql.positions import check_drawing
from eventstore.backends.protocol import (
    EventKey,
    Following,
    GroupRefused,
    LogView,
    Overtaken,
    PageHeader,
    Row,
    Run,
    Server,
    Statement,
)
from eventstore.errors import (
    TablesPlace,
    UnsuitableTransaction,
)
from eventstore.filters import EventFilter
from eventstore.rows.mapper import POSITION, PendingAppend
from eventstore.statements.columns import APPENDED_COLUMNS
from eventstore.statements.heads import write_head
from eventstore.statements.pages import fields_of, page_parameters
from eventstore.statements.postgresql.append import append, append_to_many, create_heads, lock_heads
from eventstore.statements.postgresql.append_group import append_group
from eventstore.statements.postgresql.append_one import append_one
from eventstore.statements.postgresql.append_to_all import OVERTAKEN, append_to_all
from eventstore.statements.postgresql.copy import copy_events, row_security
from eventstore.statements.postgresql.history import find_setting_of_history_changes, set_history_changes
from eventstore.statements.postgresql.lock_table import lock_derived_rows
from eventstore.statements.postgresql.log_view import last_without_gap, log_view
from eventstore.statements.postgresql.notifications import notify
from eventstore.statements.postgresql.positions import drawing
from eventstore.statements.postgresql.read_page import read_everything, read_everything_backwards, read_matching
from eventstore.statements.reading import read_forwards
from eventstore.streams import Expectation
from eventstore.tables import STREAMS_CAN_END, Tables, define_tables
from eventstore.tokens import PositionToken

COPY_FROM: Final = 10_000
"""From this many events on, COPY is faster than one statement over arrays, although it needs a transaction."""


class PostgreSQLDialect:
    """How the store uses PostgreSQL: one statement for an append, row locks on heads, everything in binary.

    Args:
        schema: The schema of the tables.
        copies: Whether the driver's connections can COPY. Those for asyncio can't, because SQLAlchemy wraps them.
        place: Where the tables are, for errors.
    """

    loader: Final = PostgreSQLLoader()

    def __init__(self, *, schema: str | None = None, copies: bool = True, place: TablesPlace | None = None) -> None:
        self.place = place or TablesPlace("this database", schema)
        self._copies = copies
        self.tables: Tables = define_tables(schema=schema)
        self._streams_can_end = True  # until a store has read the schema version

    def sql(self, statement: Statement) -> tuple[str, dict[str, Any]]:
        """Return SQL with all parameters in binary, in which arrays are two to three times as fast as in text."""
        return _compile(statement, self.tables.metadata.schema, self._streams_can_end)

    def suit(self, schema_version: int) -> None:
        """Remember whether es_streams has the columns that say which streams have ended."""
        self._streams_can_end = schema_version >= STREAMS_CAN_END

    def append_is_one_statement(self, pending: PendingAppend) -> bool:
        """Return whether there are too few events for COPY, and the statement itself leaves out closed streams.

        Otherwise a check of the database may refuse it, which aborts the transaction, or the savepoint in it.
        """
        return self._streams_can_end and not self._is_copied(pending)

    def _is_copied(self, pending: PendingAppend) -> bool:
        return self._copies and len(pending.event_ids) >= COPY_FROM

    def append(self, run: Run, pending: PendingAppend) -> tuple[int, int] | None:
        """Append in one statement. The head's row lock makes a second writer wait, and then compare the new version.

        Very many events are copied after the head was set, in the transaction that `append_is_one_statement` asks for,
        unless row level security is in force, under which PostgreSQL refuses COPY.
        """
        head = {"stream_id": pending.stream_id, "count": len(pending), "expected": pending.expected}
        if self._is_copied(pending) and not _has_row_security(run):
            return self._copy(run, pending, head)
        if len(pending) == 1:
            rows = run(append_one(pending.expectation), **one_event(pending))
        else:
            rows = run(append(pending.expectation), **head, **event_arrays([pending]))
        return (rows[0][0], rows[0][1]) if rows else None

    def append_one_sql(self, expectation: Expectation) -> tuple[str, dict[str, Any]]:
        """Return the SQL that appends one event, and its constant parameters; see `sql`."""
        return self.sql(append_one(expectation))

    def _copy(self, run: Run, pending: PendingAppend, head: dict[str, Any]) -> tuple[int, int] | None:
        """Lock and set the head, then COPY, which draws a position for each row as it stores it."""
        advanced = run(write_head(pending.expectation), **head)
        if not advanced:
            return None
        version = advanced[0][0]
        run(copy_events(APPENDED_COLUMNS), types=COPIED_TYPES, rows=rows_to_copy(pending, version - len(pending)))
        last = {"stream_id": pending.stream_id, "after_version": version - 1, "up_to_version": version}
        return version, run(read_forwards, **last, page_size=1)[0][POSITION]

    def append_to_all(self, run: Run, appends: Sequence[PendingAppend]) -> list[tuple[int, int]] | None:
        """Create or lock the heads, compare them, and store the events, all in one statement."""
        many = many_appends(appends)
        try:
            rows = run(append_to_all, **many.parameters)
        except Exception as error:
            if sqlstate_of(error) in OVERTAKEN:
                raise Overtaken from error
            raise
        if not rows:
            return None
        versions, positions, *_ = rows[0]
        return [
            (versions[index] + count, position) for (index, count), position in zip(many.ends, positions, strict=True)
        ]

    def append_group(self, run: Run, appends: Sequence[PendingAppend]) -> list[tuple[int, int] | None]:
        """Append in one statement, which leaves out the streams whose heads it would have to wait for."""
        parameters = dict(many_appends(appends).parameters)
        del parameters["ends"]
        try:
            rows = run(append_group, **parameters)
        except Exception as error:
            if is_refusal(error):
                raise GroupRefused from error
            raise
        ends: dict[str, tuple[int, int]] = {}
        for stream_id, version, position, *_ in rows:
            ends[stream_id] = max(ends.get(stream_id, (0, 0)), (version, position))
        return [ends.get(pending.stream_id) for pending in appends]

    def lock_heads(self, run: Run, stream_ids: Sequence[str], *, create: Sequence[str]) -> dict[str, int]:
        """Create missing heads, then lock all, both in sorted order.

        Two of these never deadlock. While one creates heads, it holds only heads that no other transaction can see;
        while it locks, it waits only for heads that sort after all that it has locked.
        """
        if create:
            run(create_heads, stream_ids=list(create))
        return {row[0]: row[1] for row in run(lock_heads, stream_ids=list(stream_ids))}

    def store(self, run: Run, appends: Sequence[tuple[PendingAppend, int]]) -> dict[EventKey, int]:
        """Store all events and set all heads in one statement."""
        heads = {pending.stream_id: version + len(pending) for pending, version in appends}
        rows = run(
            append_to_many,
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

    def lock_derived_rows(self, run: Run) -> None:
        """Lock the tables, because a transaction that writes to them may have read events that are deleted now."""
        run(lock_derived_rows)

    def notify(self, run: Run) -> None:
        """Send a notification, which takes effect at the commit."""
        run(notify)

    def permit_history_changes(self, run: Run) -> bool:
        """Set the setting that the trigger reads, for this transaction."""
        ((setting,),) = run(find_setting_of_history_changes)
        run(set_history_changes, value="on")
        return bool(setting == "on")

    def forbid_history_changes(self, run: Run) -> None:
        """Reset the setting."""
        run(set_history_changes, value="off")

    def view_log(
        self, run: Run, *, settled: PositionToken | None, others: Sequence[PositionToken], joined: bool
    ) -> LogView:
        """Read the newest position and the holders of the lock of appends; on a standby, transaction ids."""
        asked_positions = [token.position for token in (settled, *others) if token is not None]
        row = run(
            log_view,
            settled=0 if settled is None else settled.position,
            settled_id=None if settled is None else settled.event_id,
            positions=asked_positions,
        )[0]
        *event, positions, ids, has_read_locks, appenders, own, isolation_level = row[:10]
        server, (persistence, cache, drawn, oldest, next_id) = Server(*row[10:13]), row[13:]
        newest = None if event[0] is None else PositionToken(*event)
        if joined and isolation_level != "read committed":
            raise UnsuitableTransaction(
                f"is at {isolation_level.upper()}, where it does not see what others commit; use READ COMMITTED"
            )
        if own:
            raise UnsuitableTransaction("has itself appended events, which may still be rolled back")
        if joined and oldest is not None:  # in a transaction, the function for the next id repeats its first result
            raise UnsuitableTransaction("is on a standby, where its statements can't see which appends are in progress")
        drawn = check_drawing(run, 0 if newest is None else newest.position, persistence, cache, drawn)
        event_ids = dict(zip(positions or (), ids or (), strict=True))
        if oldest is None:
            unfinished = frozenset(appenders or ()) if has_read_locks else None
            return PrimaryView(server, newest, event_ids, drawn, unfinished)
        return StandbyView(server, newest, event_ids, drawn, oldest, next_id)

    def following(self, run: Run, *, after_position: int, size: int) -> Following:
        """Read the index of positions."""
        (row,) = run(last_without_gap, after_position=after_position, size=size)
        last = None if row[0] is None else PositionToken(*row[:4])
        return Following(Server(*row[5:]), row[4], last)

    def check_positions(self, run: Run) -> None:
        """Check that the sequence has CACHE 1 and is not behind, and that es_events is logged."""
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
        token_position: int = 0,
        backwards: bool = False,
    ) -> tuple[PageHeader, Sequence[Row]]:
        """Read with one array for each field of a filter."""
        everything = read_everything_backwards if backwards else read_everything
        statement: Statement = read_matching(fields_of(filters), backwards=backwards) if filters else everything
        parameters = page_parameters(
            filters,
            list,
            after_position=after_position,
            up_to_position=up_to_position,
            page_size=page_size,
            settled_position=settled_position,
            token_position=token_position,
        )
        header, *rows = run(statement, **parameters)
        _, _, table, settled_id, token_id, in_recovery, _, _, _, started_at = header
        server = Server(table, started_at, bool(in_recovery))
        return PageHeader(server, settled_id, None if token_id is None else UUID(token_id)), rows

    def to_uuid(self, value: UUID) -> UUID:
        """Return the id, which psycopg returns as a UUID."""
        return value

    def from_uuid(self, value: UUID) -> UUID:
        """Return the id, which psycopg accepts as a UUID."""
        return value

    to_time = staticmethod(postgresql_cursors.to_time)

    def from_time(self, value: datetime) -> datetime:
        """Return the time, whose zone psycopg respects."""
        return value


def _has_row_security(run: Run) -> bool:
    return bool(run(row_security)[0][0])


def _positions(rows: Sequence[Row]) -> dict[EventKey, int]:
    return {(stream_id, version): position for stream_id, version, position, *_ in rows}


@cache
def _compile(
    statement: Statement, schema: str | None, streams_can_end: bool
) -> tuple[str, dict[str, Any]]:  # a key of the cache
    tables = define_tables(schema=schema, streams_can_end=streams_can_end)
    compiled = statement(tables).compile(dialect=dialect_module.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy's
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    sql = str(compiled)
    # COPY has no parameters in its text; in other statements, a percent sign in the schema's name is doubled
    return sql if sql.startswith("COPY") else re.sub(r"(?<!%)%\((\w+)\)s", r"%(\1)b", sql), constants
