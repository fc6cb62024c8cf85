"""PostgreSQL 14 or newer, with psycopg 3."""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from itertools import accumulate
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

from sqlalchemy.dialects.postgresql import psycopg as dialect_module

from eventstore.backends.postgresql import citus
from eventstore.backends.postgresql import cursors as postgresql_cursors
from eventstore.backends.postgresql.errors import is_refusal, sqlstate_of
from eventstore.backends.postgresql.loader import PostgreSQLLoader
from eventstore.backends.postgresql.log_views import PrimaryView, StandbyView
from eventstore.backends.postgresql.parameters import (
    COPIED_TYPES,
    condition_parameters,
    event_arrays,
    lock_parameters,
    many_appends,
    one_event,
    rows_to_copy,
    tagged_events,
)
from eventstore.backends.postgresql.partitions import runway_of
from eventstore.backends.postgresql.positions import check_drawing
from eventstore.backends.postgresql.servers import check_citus
from eventstore.backends.protocol import (
    BoundaryHeader,
    Condition,
    Following,
    GroupRefused,
    LogView,
    Overtaken,
    PageHeader,
    Row,
    Run,
    Server,
    Statement,
    Stored,
    TaggedOutcome,
    TagLocks,
)
from eventstore.errors import (
    InvalidInput,
    TablesPlace,
    TooManyTags,
    UnsuitableTransaction,
)
from eventstore.filters import EventFilter
from eventstore.partitions import Partition
from eventstore.parts import Runway
from eventstore.rows.mapper import METADATA, POSITION, PendingAppend
from eventstore.statements.boundaries import raise_generation
from eventstore.statements.columns import APPENDED_COLUMNS
from eventstore.statements.heads import write_head
from eventstore.statements.pages import fields_of, page_parameters
from eventstore.statements.postgresql.append import (
    append,
    append_to_many,
    create_heads,
    lock_heads,
    positions_between,
    positions_of,
)
from eventstore.statements.postgresql.append_group import append_group
from eventstore.statements.postgresql.append_one import append_one
from eventstore.statements.postgresql.append_tagged import append_tagged
from eventstore.statements.postgresql.append_to_all import OVERTAKEN, append_to_all
from eventstore.statements.postgresql.boundaries import compare_boundaries, read_boundary
from eventstore.statements.postgresql.boundaries_without_tags import (
    compare_boundaries_without_tags,
    lock_all_appends,
    read_boundary_without_tags,
)
from eventstore.statements.postgresql.copy import copy_events, row_security
from eventstore.statements.postgresql.figures import count_matching, extent_of_period
from eventstore.statements.postgresql.history import find_setting_of_history_changes, set_history_changes
from eventstore.statements.postgresql.lock_table import lock_derived_rows
from eventstore.statements.postgresql.log_view import last_without_gap, log_view
from eventstore.statements.postgresql.notifications import notify
from eventstore.statements.postgresql.positions import drawing
from eventstore.statements.postgresql.read_page import (
    read_everything,
    read_everything_backwards,
    read_matching,
    read_partition,
)
from eventstore.statements.postgresql.tag_locks import (
    MAX_LOCKED_TAGS,
    MAX_LOCKED_TAGS_OF_TRANSACTION,
    lock_tags,
)
from eventstore.statements.postgresql.tag_rows import delete_tags, find_tagged_event, insert_tags
from eventstore.statements.postgresql.transactions import limit_lock_waits
from eventstore.statements.schema import schema_version
from eventstore.streams import Expectation
from eventstore.tables import NEWEST, Layout, Tables, define_tables
from eventstore.tables.names import ANY_SCHEMA, in_schema
from eventstore.tokens import PositionToken

COPY_FROM: Final = 10_000
"""From this many events on, COPY is faster than one statement over arrays, although it needs a transaction."""

_NEAR_IN_PAGES: Final = 20
"""In how many positions for each event of a page to look for it first, if the log is partitioned."""


class PostgreSQLDialect:
    """How the store uses PostgreSQL: one statement for an append, row locks on heads, everything in binary.

    Args:
        schema: The schema of the tables.
        copies: Whether the driver's connections can COPY. Those for asyncio can't, because SQLAlchemy wraps them.
        place: Where the tables are, for errors.
    """

    loader: Final = PostgreSQLLoader()
    filters_partitions: Final = True

    on_citus: bool = False
    """Whether Citus has the tables on a worker, distributed by their schema; False until a store has looked."""

    def __init__(self, *, schema: str | None = None, copies: bool = True, place: TablesPlace | None = None) -> None:
        self.place = place or TablesPlace("this database", schema)
        self._copies = copies
        self.schema = schema
        self._layout = NEWEST  # until a store has read the schema version
        self._suits: int | None = None

    @cached_property
    def tables(self) -> Tables:
        """The tables, see `Dialect`."""
        return define_tables(schema=self.schema)

    def sql(self, statement: Statement) -> tuple[str, dict[str, Any]]:
        """Return SQL with all parameters in binary, in which arrays are two to three times as fast as in text."""
        return _in_schema(statement, self.schema, self._layout)

    def locked_file(self, run: Run) -> None:  # rows are locked
        """Return None."""

    def runway(self, run: Run) -> Runway | None:
        """Read the catalog, and the times of some events."""
        return runway_of(run)

    @property
    def layout(self) -> Layout:
        """What the tables are like, as far as is known."""
        return self._layout

    def suit(self, layout: Layout, table: int) -> None:
        """Remember which columns es_streams has, and whether es_events is partitioned."""
        self._layout, self._suits = layout, table

    def append_is_one_statement(self, pending: PendingAppend) -> bool:
        """Return whether there are too few events for COPY, and the statement itself leaves out closed streams.

        Otherwise a check of the database may refuse it, which aborts the transaction, or the savepoint in it.
        """
        return self._layout.streams_can_end and not self.on_citus and not self._is_copied(pending)

    def _is_copied(self, pending: PendingAppend) -> bool:
        return self._copies and len(pending.event_ids) >= COPY_FROM

    def append(self, run: Run, pending: PendingAppend) -> Stored | None:
        """Append in one statement. The head's row lock makes a second writer wait, and then compare the new version.

        Very many events are copied after the head was set, in the transaction that `append_is_one_statement` asks for,
        unless row level security is in force, under which PostgreSQL refuses COPY.
        """
        if self.on_citus:
            return citus.append(run, pending)
        head = {"stream_id": pending.stream_id, "count": len(pending), "expected": pending.expected}
        if self._is_copied(pending) and not _has_row_security(run):
            return self._copy(run, pending, head)
        if len(pending) == 1:
            rows = run(append_one(pending.expectation), **one_event(pending))
            return (rows[0][0], (rows[0][1],)) if rows else None
        rows = run(append(pending.expectation), **head, **event_arrays([pending]))
        return (rows[0][0], rows[0][1]) if rows else None

    def append_one_sql(self, expectation: Expectation) -> tuple[str, dict[str, Any]]:
        """Return the SQL that appends one event, and its constant parameters; see `sql`."""
        return self.sql(append_one(expectation))

    def _copy(self, run: Run, pending: PendingAppend, head: dict[str, Any]) -> Stored | None:
        """Lock and set the head, then COPY, which draws a position for each row as it stores it.

        The positions ascend. So if no other writer has drawn one between them, the first and the last tell all of them.
        """
        advanced = run(write_head(pending.expectation), **head)
        if not advanced:
            return None
        version, stream_id, count = advanced[0][0], pending.stream_id, len(pending)
        run(copy_events(APPENDED_COLUMNS), types=COPIED_TYPES, rows=rows_to_copy(pending, version - count))
        ends = run(positions_of, stream_id=stream_id, versions=[version - count + 1, version])[0][0]
        first, last = ends[0], ends[-1]
        if last - first == count - 1:
            return version, range(first, last + 1)
        versions = {"after_version": version - count, "up_to_version": version}
        return version, run(positions_between, stream_id=stream_id, **versions)[0][0]

    def append_to_all(self, run: Run, appends: Sequence[PendingAppend]) -> list[Stored] | None:
        """Create or lock the heads, compare them, and store the events, all in one statement.

        Citus does not understand it, so there several statements have to store them.
        """
        if self.on_citus:
            raise Overtaken
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
        ends = [versions[index] + count for index, count in many.ends]
        return list(zip(ends, _by_append(appends, positions), strict=True))

    def append_group(self, run: Run, appends: Sequence[PendingAppend]) -> list[Stored | None]:
        """Append in one statement, which leaves out the streams whose heads it would have to wait for.

        Citus does not understand it, so there each append is tried alone.
        """
        if self.on_citus:
            return [None] * len(appends)
        try:
            rows = run(append_group, **many_appends(appends).parameters)
        except Exception as error:
            if is_refusal(error):
                raise GroupRefused from error
            raise
        stored: dict[str, tuple[int, list[int]]] = {}
        for stream_id, version, position, *_ in sorted(rows, key=itemgetter(1)):
            stored[stream_id] = (version, [*stored.get(stream_id, (0, []))[1], position])
        return [stored.get(pending.stream_id) for pending in appends]

    def lock_heads(self, run: Run, stream_ids: Sequence[str], *, create: Sequence[str]) -> dict[str, int]:
        """Create missing heads, then lock all, both in sorted order.

        Two of these never deadlock. While one creates heads, it holds only heads that no other transaction can see;
        while it locks, it waits only for heads that sort after all that it has locked.
        """
        if self.on_citus:
            return citus.lock_and_create_heads(run, stream_ids, create=create)
        if create:
            run(create_heads, stream_ids=list(create))
        return {row[0]: row[1] for row in run(lock_heads, stream_ids=list(stream_ids))}

    def limit_lock_waits(self, run: Run) -> None:
        """Set lock_timeout for this transaction."""
        run(limit_lock_waits)

    def store(self, run: Run, appends: Sequence[tuple[PendingAppend, int]]) -> list[Sequence[int]]:
        """Store all events and set all heads in one statement."""
        if self.on_citus:
            return citus.store(run, appends)
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
        )
        return _by_append([pending for pending, _ in appends], rows[0][0])

    def lock_tags(self, run: Run, locks: TagLocks | None) -> None:
        """Lock tags one by one, or all by one lock if they are many."""
        if self.on_citus:
            citus.prepare_to_lock_tags(run)
        ((is_allowed, isolation_level, locked, *_),) = run(lock_tags, **lock_parameters(locks))
        if isolation_level != "read committed":
            raise UnsuitableTransaction(
                f"is at {isolation_level.upper()}, where it does not see what others have committed since it began, so "
                "that appends of events with tags, or on a condition, would decide blindly",
                "begin it at READ COMMITTED",
            )
        if not is_allowed:
            raise TooManyTags(MAX_LOCKED_TAGS, MAX_LOCKED_TAGS_OF_TRANSACTION)
        if self.on_citus and locked:
            citus.lock_tags_on_worker(run, locks)

    def append_tagged(
        self, run: Run, pending: PendingAppend, locks: TagLocks, condition: Condition | None, *, at_once: bool
    ) -> TaggedOutcome:
        """Lock the tags by one statement and append by another, together if possible."""
        if self.on_citus:
            self.lock_tags(run, locks)
            return citus.append_tagged(run, pending, condition)
        statement = append_tagged(pending.expectation)
        parameters = {
            **condition_parameters(condition),
            **tagged_events(pending),
            "stream_id": pending.stream_id,
            "count": len(pending),
        }
        if pending.expectation is Expectation.VERSION:
            parameters["expected"] = pending.expected
        if at_once:
            rows = run.together((lock_tags, lock_parameters(locks)), (statement, parameters))
        else:
            self.lock_tags(run, locks)
            rows = run(statement, **parameters)
        is_current, changed, version, positions = rows[0]
        _check_locks(is_current)
        return TaggedOutcome(is_current, changed, None if version is None else (version, positions))

    def lock_all_appends(self, run: Run) -> None:
        """Lock the table that each append writes to first.

        Raises:
            InvalidInput: Citus has distributed the tables. There this lock deadlocks with a move of the tenant.
        """
        if self.on_citus:
            msg = "lock_all_appends is not possible on tables that Citus has distributed; give the events a common tag"
            raise InvalidInput(msg)
        run(lock_all_appends)

    def compare_boundaries(self, run: Run, condition: Condition) -> tuple[bool, int | None]:
        """Compare in one statement."""
        statement = compare_boundaries_without_tags if condition.locks_all_appends else compare_boundaries
        ((is_current, changed),) = run(statement, **condition_parameters(condition))
        _check_locks(is_current)
        return is_current, changed

    def read_boundary(self, run: Run, queries: str) -> Sequence[Row]:
        """Read in one statement."""
        return run(read_boundary, items=queries)

    def read_boundary_without_tags(
        self, run: Run, queries: str, settled: PositionToken | None
    ) -> tuple[BoundaryHeader, Sequence[Row]]:
        """Read in one statement."""
        header, *rows = run(
            read_boundary_without_tags,
            items=queries,
            settled=0 if settled is None else settled.position,
            settled_id=None if settled is None else settled.event_id,
        )
        _, seen, generation, event_id, position, in_recovery, _, _, table, started_at = header
        server = Server(int(table), started_at, bool(in_recovery))
        return BoundaryHeader(server, generation, int(position), event_id, json.loads(seen)), rows

    def insert_tags(self, run: Run, rows: Sequence[tuple[str, int, str]]) -> None:
        """Store all tags in one statement."""
        stream_ids, versions, tags = (list(column) for column in zip(*rows, strict=True))
        run(insert_tags, stream_ids=stream_ids, versions=versions, tags=tags)

    def has_tags(self, run: Run, stream_id: str, *, before_version: int) -> bool:
        """Read the events of the stream."""
        return bool(run(find_tagged_event, stream_id=stream_id, before_version=before_version))

    def delete_tags(self, run: Run, stream_id: str, *, before_version: int) -> None:
        """Delete in one statement."""
        run(delete_tags, stream_id=stream_id, before_version=before_version)

    def raise_generation(self, run: Run) -> None:
        """Store a row."""
        run(raise_generation)

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
        if self.on_citus:
            return citus.view_log(run, settled=settled, others=others, joined=joined)
        asked_positions = [token.position for token in (settled, *others) if token is not None]
        row = run(
            log_view,
            settled=0 if settled is None else settled.position,
            settled_id=None if settled is None else settled.event_id,
            positions=asked_positions,
        )[0]
        *event, positions, ids, has_read_locks, appenders, own, isolation_level = row[:10]
        server, (persistence, cache, drawn, oldest, next_id) = Server(*row[10:13]), row[13:]
        if server.table != self._suits:
            self.look_again(run)
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

    def check_server(self, run: Run) -> None:
        """Check that Citus has the tables on the coordinator, or distributes them by their schema; see `servers`."""
        self.on_citus = check_citus(run)

    def check_positions(self, run: Run) -> None:
        """Check that the sequence has CACHE 1 and is not behind, and that es_events is logged."""
        if self.on_citus:
            citus.check_positions(run)
            return
        for row in run(drawing):
            check_drawing(run, *row)

    def read_stream_page(self, run: Run, statement: Statement, **parameters: Any) -> tuple[Sequence[Row], str | None]:
        """Run the statement that suits the tables; if they were partitioned meanwhile, the one that suits them now."""
        rows = run(statement, table=self._suits, **parameters)
        if rows and rows[-1][POSITION] == 0 and rows[-1][METADATA] is None:
            self.look_again(run)
            rows = run(statement, table=self._suits, **parameters)
        return (rows[:-1], rows[-1][METADATA]) if rows and rows[-1][POSITION] == 0 else (rows, None)

    def look_again(self, run: Run) -> None:
        """Look whether es_events was partitioned, or a backup was restored."""
        for version, _, _, table, is_partitioned, *_ in run(schema_version):
            self.suit(Layout.of(version, is_partitioned=bool(is_partitioned)), table)

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
        partition: Partition | None = None,
    ) -> tuple[PageHeader, Sequence[Row]]:
        """Read with one array for each field of a filter.

        PostgreSQL plans for all parts of the log in the range. So a page of a log in parts is first read from a range
        that is near, and again from the whole one only if that is not enough for a page.
        """
        everything = read_everything_backwards if backwards else read_everything
        statement: Statement = read_matching(fields_of(filters), backwards=backwards) if filters else everything
        ranges = [(after_position, up_to_position)]
        near = page_size * _NEAR_IN_PAGES
        if self._layout.is_partitioned and partition is None and up_to_position - after_position > near:
            first = (up_to_position - near, up_to_position) if backwards else (after_position, after_position + near)
            ranges.insert(0, first)
        for start, end in ranges:
            parameters = page_parameters(
                filters,
                list,
                after_position=start,
                up_to_position=end,
                page_size=page_size,
                settled_position=settled_position,
                token_position=token_position,
            )
            if partition is not None:
                statement = read_partition(fields_of(filters) or ((),))
                parameters |= {"partition_number": partition.number, "partitions": partition.partitions}
                parameters["after_position_0"] = start
            parameters["after_position"] = start  # by which the header is read
            header, *rows = run(statement, **parameters)
            if len(rows) == page_size:
                break
        _, part, table, settled_id, token_id, in_recovery, _, _, _, started_at = header
        server = Server(table, started_at, bool(in_recovery))
        return PageHeader(server, settled_id, None if token_id is None else UUID(token_id), part), rows

    def extent_of_period(
        self,
        run: Run,
        *,
        recorded_since: datetime,
        recorded_before: datetime,
        after_position: int,
        up_to_position: int,
        settled_position: int,
    ) -> tuple[PageHeader, int | None, int | None]:
        """Find both positions by the index of times."""
        ((*header, first, last),) = run(
            extent_of_period,
            recorded_since=recorded_since,
            recorded_before=recorded_before,
            after_position=after_position,
            up_to_position=up_to_position,
            settled_position=settled_position,
        )
        return _page_header(*header), first, last

    def count_events(
        self,
        run: Run,
        filters: Sequence[EventFilter],
        *,
        after_position: int,
        up_to_position: int,
        settled_position: int,
        period: tuple[datetime, datetime] | None,
    ) -> tuple[PageHeader, int]:
        """Count by one statement, with one array for each field of a filter."""
        filters = filters or (EventFilter(),)
        ((*header, number),) = run(
            count_matching(fields_of(filters), in_period=period is not None),
            after_position=after_position,
            **page_parameters(
                filters,
                list,
                after_position=after_position,
                up_to_position=up_to_position,
                settled_position=settled_position,
            ),
            **({} if period is None else dict(zip(("recorded_since", "recorded_before"), period, strict=True))),
        )
        return _page_header(*header), number

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


def _check_locks(is_current: bool | None) -> None:
    """Check that the statement which compares boundaries has found the locks of the one before.

    Raises:
        UnsuitableTransaction: It has not.
    """
    if is_current is None:
        raise UnsuitableTransaction(
            "has lost the locks of its tags, so that appends of events with tags, or on a condition, would decide "
            "blindly",
            "use no pooler that sends the statements of one transaction to several sessions or servers",
            joined=False,
        )


def _has_row_security(run: Run) -> bool:
    return bool(run(row_security)[0][0])


def _page_header(
    table: int, started_at: datetime, in_recovery: bool, settled_id: UUID | None, detached: str | None
) -> PageHeader:
    return PageHeader(Server(table, started_at, in_recovery), settled_id, None, detached)


def _by_append(appends: Sequence[PendingAppend], positions: Sequence[int]) -> list[Sequence[int]]:
    """Return the positions of each append's events, from those of all of them in order."""
    ends = list(accumulate(map(len, appends)))
    return [positions[end - len(pending) : end] for pending, end in zip(appends, ends, strict=True)]


@lru_cache(maxsize=1024)  # a few megabytes, for any number of schemas
def _in_schema(statement: Statement, schema: str | None, layout: Layout) -> tuple[str, dict[str, Any]]:
    """Return a statement's SQL and its constant parameters, for one schema."""
    sql, constants = _compile(statement, schema is not None, layout)
    if schema is None:
        return sql, constants
    return in_schema(sql, schema, has_parameters=not _is_copy(sql)), {
        name: in_schema(value, schema, has_parameters=False) if isinstance(value, str) else value
        for name, value in constants.items()
    }


@lru_cache(maxsize=512)  # there are fewer statements, but for those with the name of a sequence in them
def _compile(statement: Statement, in_any_schema: bool, layout: Layout) -> tuple[str, dict[str, Any]]:
    """Compile a statement, for tables without a schema or in `ANY_SCHEMA`."""
    tables = define_tables(schema=ANY_SCHEMA if in_any_schema else None, layout=layout)
    compiled = statement(tables).compile(dialect=dialect_module.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy's
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    sql = str(compiled)
    if _is_copy(sql):
        return sql, constants
    sql = re.sub(r"(?<!%)%\((\w+)\)s", r"%(\1)b", sql)
    return re.sub(r"(?<=\)b)::VARCHAR\b", "::TEXT", sql), constants  # as our columns; Citus takes no other for some


def _is_copy(sql: str) -> bool:
    """Return whether it is a COPY, in whose text the driver does not look for parameters."""
    return sql.startswith("COPY")
