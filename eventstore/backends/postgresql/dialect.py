"""PostgreSQL 14 or newer, by psycopg 3."""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy.dialects.postgresql import psycopg as dialect_module

from eventstore.backends.postgresql import cursors as postgresql_cursors
from eventstore.backends.postgresql.errors import sqlstate_of
from eventstore.backends.postgresql.loader import PostgreSQLLoader
from eventstore.backends.postgresql.log_views import PrimaryLook, StandbyLook
from eventstore.backends.postgresql.parameters import (
    COPIED_TYPES,
    event_arrays,
    many_appends,
    rows_to_copy,
)
from eventstore.backends.postgresql.positions import check_drawing
from eventstore.backends.protocol import (
    Following,
    Look,
    Overtaken,
    PageHeader,
    Place,
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
from eventstore.statements.pages import page_parameters, shape_of
from eventstore.statements.postgresql.append import append, append_to_many, create_heads, lock_heads
from eventstore.statements.postgresql.append_one import append_one
from eventstore.statements.postgresql.append_to_all import OVERTAKEN, append_to_all
from eventstore.statements.postgresql.copy import copy_events, row_security
from eventstore.statements.postgresql.history import find_setting_of_history_changes, set_history_changes
from eventstore.statements.postgresql.lock_table import lock_snapshots
from eventstore.statements.postgresql.look import end_of_run, look
from eventstore.statements.postgresql.notifications import notify as send_notification
from eventstore.statements.postgresql.positions import drawing
from eventstore.statements.postgresql.read_page import read_everything, read_everything_backwards, read_matching
from eventstore.statements.reading import read_forwards
from eventstore.tables import STREAMS_CAN_END, Tables, define_tables
from eventstore.tokens import PositionToken

COPY_FROM: Final = 10_000
"""From so many events on, COPY is quicker than one statement over arrays, though it needs a transaction around it."""


class PostgreSQLDialect:
    """How the store uses PostgreSQL: one statement an append, row locks on heads, everything in binary.

    Args:
        schema: The schema of the tables.
        notify: Whether appends are told to those who listen.
        copies: Whether the driver's connections can COPY; those for asyncio can't, as SQLAlchemy wraps them.
        place: Where the tables are, for errors.
    """

    loader: Final = PostgreSQLLoader()

    def __init__(
        self, *, schema: str | None = None, notify: bool = False, copies: bool = True, place: TablesPlace | None = None
    ) -> None:
        self.place = place or TablesPlace("this database", schema)
        self._notify = notify
        self._copies = copies
        self.tables: Tables = define_tables(schema=schema)
        self._streams_can_end = True  # until a store has looked

    def sql(self, statement: Statement) -> tuple[str, dict[str, Any]]:
        """Return SQL with all parameters in binary: arrays are two to three times faster than as text."""
        return _compile(statement, self.tables.metadata.schema, self._streams_can_end)

    def suit(self, schema_version: int) -> None:
        """Note whether es_streams has the columns that say which streams have ended."""
        self._streams_can_end = schema_version >= STREAMS_CAN_END

    def append_is_one_statement(self, pending: PendingAppend) -> bool:
        """Return whether there are too few events for COPY."""
        return len(pending.event_ids) < COPY_FROM or not self._copies

    def append(self, run: Run, pending: PendingAppend) -> tuple[int, int] | None:
        """Append in one statement; the head's row lock makes a second writer wait and look again.

        Very many events: head first, then COPY, in the transaction that `append_is_one_statement` has asked for; unless
        row level security is in force, under which PostgreSQL refuses to COPY.
        """
        count = len(pending.event_ids)
        head = {"stream_id": pending.stream_id, "count": count, "expected": pending.expected}
        if not self.append_is_one_statement(pending) and not _has_row_security(run):
            return self._copy(run, pending, head)
        if count == 1:
            rows = run(append_one(pending.expectation, notify=self._notify), **head, **_single_event(pending))
        else:
            rows = run(append(pending.expectation, notify=self._notify), **head, **event_arrays([pending]))
        return (rows[0][0], rows[0][1]) if rows else None

    def _copy(self, run: Run, pending: PendingAppend, head: dict[str, Any]) -> tuple[int, int] | None:
        """Positions are drawn while COPY stores one row after the other, when the head is locked already."""
        advanced = run(write_head(pending.expectation), **head)
        if not advanced:
            return None
        version = advanced[0][0]
        run(copy_events(APPENDED_COLUMNS), types=COPIED_TYPES, rows=rows_to_copy(pending, version - len(pending)))
        if self._notify:
            run(send_notification)
        last = {"stream_id": pending.stream_id, "after_version": version - 1, "up_to_version": version}
        return version, run(read_forwards, **last, page_size=1)[0][POSITION]

    def append_to_all(self, run: Run, appends: Sequence[PendingAppend]) -> list[tuple[int, int]] | None:
        """Create or lock heads, compare them, store events, all in one statement."""
        many = many_appends(appends)
        try:
            rows = run(append_to_all(notify=self._notify), **many.parameters)
        except Exception as error:
            if sqlstate_of(error) in OVERTAKEN:
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
            append_to_many(notify=self._notify),
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
        token_position: int = 0,
        backwards: bool = False,
    ) -> tuple[PageHeader, Sequence[Row]]:
        """Read with one array for each field of a filter."""
        everything = read_everything_backwards if backwards else read_everything
        statement: Statement = read_matching(shape_of(filters), backwards=backwards) if filters else everything
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
        """Return the id: psycopg has made it a UUID."""
        return value

    def from_uuid(self, value: UUID) -> UUID:
        """Return the id: psycopg takes a UUID."""
        return value

    to_time = staticmethod(postgresql_cursors.to_time)

    def from_time(self, value: datetime) -> datetime:
        """Return the time: psycopg knows its zone."""
        return value


def _has_row_security(run: Run) -> bool:
    return bool(run(row_security)[0][0])


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


def _single_event(pending: PendingAppend) -> dict[str, Any]:
    """Return the parameters of one event."""
    return {
        "event_id": pending.event_ids[0],
        "event_type": pending.event_types[0],
        "schema_version": pending.schema_versions[0],
        "codec": pending.codecs[0],
        "data": pending.data[0],
        "metadata": pending.metadata[0],
    }
