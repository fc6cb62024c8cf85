"""SQLite 3.35 or newer, by the standard library's driver."""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy.dialects import sqlite as dialect_module
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.sql.compiler import SQLCompiler

from eventstore.backends.protocol import (
    BoundaryHeader,
    Condition,
    Following,
    GroupRefused,
    LogView,
    PageHeader,
    Row,
    Run,
    Server,
    Statement,
    Stored,
    TaggedOutcome,
    TagLocks,
)
from eventstore.backends.sqlite.loader import SQLiteLoader
from eventstore.errors import (
    TablesPlace,
    UnsuitableSetting,
)
from eventstore.filters import EventFilter
from eventstore.partitions import Partition
from eventstore.rows.mapper import PendingAppend
from eventstore.statements.boundaries import raise_generation
from eventstore.statements.columns import APPENDED_COLUMNS
from eventstore.statements.heads import write_head
from eventstore.statements.pages import fields_of, page_parameters
from eventstore.statements.sqlite.append import (
    find_heads,
    insert_event,
    insert_one_event,
    last_position,
    set_head,
)
from eventstore.statements.sqlite.boundaries import compare_boundaries, read_boundary
from eventstore.statements.sqlite.boundaries_without_tags import (
    compare_boundaries_without_tags,
    read_boundary_without_tags,
)
from eventstore.statements.sqlite.figures import count_matching, extent_of_period
from eventstore.statements.sqlite.history import add_permission, remove_permission
from eventstore.statements.sqlite.log_view import log_view
from eventstore.statements.sqlite.read_page import read_everything, read_everything_backwards, read_matching
from eventstore.statements.sqlite.settings import main_file
from eventstore.statements.sqlite.tag_rows import delete_tags, find_tagged_event, insert_tag
from eventstore.streams import Expectation
from eventstore.tables import NEWEST, Layout, Tables, define_tables
from eventstore.tokens import PositionToken

_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)


class SQLiteDialect:
    """How the store uses SQLite: one writer at a time, several statements for an append, JSON in place of arrays.

    Args:
        place: Where the tables are, for errors.
        paramstyle: SQLAlchemy's name for how the driver takes parameters.
    """

    append_to_all: Final = None
    filters_partitions: Final = False

    def __init__(self, *, place: TablesPlace | None = None, paramstyle: str = "named") -> None:
        self.place = place or TablesPlace("this database")
        self.schema = None
        self.tables: Tables = define_tables(position_is_key=True)
        self._layout = NEWEST  # until a store has read the schema version
        self.loader = SQLiteLoader(self.from_time)
        self._paramstyle = paramstyle
        self._one_event: dict[Expectation, _OneEvent] = {}

    def sql(self, statement: Statement) -> tuple[str, dict[str, Any]]:
        """Return SQL with named parameters."""
        return _compile(statement, self._paramstyle, self._layout)

    def locked_file(self, run: Run) -> str | None:
        """Return the path; None if the database is in memory, or temporary."""
        ((path,),) = run(main_file)
        return path or None

    def runway(self, run: Run) -> None:
        """Return None: there are no parts."""

    @property
    def layout(self) -> Layout:
        """What the tables are like, as far as is known."""
        return self._layout

    def suit(self, layout: Layout, table: int) -> None:  # noqa: ARG002  # SQLite has no oids
        """Remember which columns es_streams has."""
        self._layout = layout
        self._one_event.clear()

    def append_is_one_statement(self, pending: PendingAppend) -> bool:  # noqa: ARG002  # it never is
        """Return False."""
        return False

    def append(self, run: Run, pending: PendingAppend) -> Stored | None:
        """Append by separate statements for the head, the events and the position."""
        rows = run(
            write_head(pending.expectation), stream_id=pending.stream_id, count=len(pending), expected=pending.expected
        )
        if not rows:
            return None
        version = rows[0][0]
        return version, _insert(run, [(pending, version - len(pending))])[0]

    def append_one(self, cursor: sqlite3.Cursor, pending: PendingAppend) -> tuple[int, int] | None:
        """Append one event by two statements, in the transaction that is open on a cursor of the driver.

        Returns:
            The version and position of the event, or None on a conflict.

        Raises:
            Error: The driver's.
        """
        expectation, stream_id = pending.expectation, pending.stream_id
        statements = self._one_event.get(expectation)
        if statements is None:
            statements = self._one_event[expectation] = _one_event(expectation, self._layout)
        head_sql, head_parameters, event_sql, event_parameters = statements
        head = cursor.execute(head_sql, head_parameters((stream_id, 1, pending.expected))).fetchone()
        if head is None:
            return None
        version: int = head[0]
        row = (
            stream_id, version, pending.event_ids[0].hex, pending.event_types[0], pending.schema_versions[0],
            pending.codecs[0], pending.data[0], pending.metadata[0],
        )  # fmt: skip
        cursor.execute(event_sql, event_parameters(row))
        return version, cursor.lastrowid or 0

    def append_group(self, run: Run, appends: Sequence[PendingAppend]) -> list[Stored | None]:
        """Append one after the other. This transaction already holds the write lock of the whole database."""
        try:
            return [self.append(run, pending) for pending in appends]
        except Exception as error:
            raise GroupRefused from error

    def lock_heads(self, run: Run, stream_ids: Sequence[str], *, create: Sequence[str]) -> dict[str, int]:  # noqa: ARG002  # all is locked
        """Read the heads. This transaction or savepoint already holds the write lock of the whole database."""
        return {row[0]: row[1] for row in run(find_heads, stream_ids=json.dumps(stream_ids))}

    def limit_lock_waits(self, run: Run) -> None:
        """Do nothing: this transaction already holds the only lock."""

    def store(self, run: Run, appends: Sequence[tuple[PendingAppend, int]]) -> list[Sequence[int]]:
        """Set the heads, then store the events."""
        heads = {pending.stream_id: version + len(pending) for pending, version in appends}
        run.many(set_head, [{"stream_id": stream_id, "version": version} for stream_id, version in heads.items()])
        return _insert(run, appends)

    def lock_tags(self, run: Run, locks: TagLocks | None) -> None:
        """Do nothing, because there is one writer at a time."""

    def append_tagged(
        self,
        run: Run,
        pending: PendingAppend,
        locks: TagLocks,  # noqa: ARG002  # all is locked
        condition: Condition | None,
        *,
        at_once: bool,  # noqa: ARG002  # statements are no round trips
    ) -> TaggedOutcome:
        """Compare, append, and store the tags, by separate statements."""
        is_current, changed = (True, None) if condition is None else self.compare_boundaries(run, condition)
        if not is_current or changed is not None:
            return TaggedOutcome(is_current, changed, None)
        stored = self.append(run, pending)
        if stored is not None and pending.tags is not None:
            first = stored[0] - len(pending) + 1
            self.insert_tags(
                run,
                [(pending.stream_id, version, tag) for version, tags in enumerate(pending.tags, first) for tag in tags],
            )
        return TaggedOutcome(is_current, changed, stored)

    def lock_all_appends(self, run: Run) -> None:
        """Do nothing, because there is one writer at a time."""

    def compare_boundaries(self, run: Run, condition: Condition) -> tuple[bool, int | None]:
        """Compare in one statement."""
        statement = compare_boundaries_without_tags if condition.locks_all_appends else compare_boundaries
        ((is_current, changed),) = run(statement, items=condition.items, generation=condition.generation)
        return bool(is_current), changed

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
            settled_id=None if settled is None else self.from_uuid(settled.event_id),
        )
        _, seen, generation, event_id, position, *_ = header
        event_id = None if event_id is None else self.to_uuid(event_id)
        return BoundaryHeader(_SERVER, generation, int(position), event_id, json.loads(seen)), rows

    def insert_tags(self, run: Run, rows: Sequence[tuple[str, int, str]]) -> None:
        """Store the tags row by row."""
        run.many(insert_tag, [{"stream_id": row[0], "version": row[1], "tag": row[2]} for row in rows])

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
        """Do nothing, because there is one writer at a time."""

    def notify(self, run: Run) -> None:
        """Do nothing, because there are no notifications."""

    def permit_history_changes(self, run: Run) -> bool:
        """Add the row that the triggers look for. A rollback removes it."""
        return not run(add_permission)

    def forbid_history_changes(self, run: Run) -> None:
        """Remove the row, before the transaction is committed."""
        run(remove_permission)

    def view_log(
        self,
        run: Run,
        *,
        settled: PositionToken | None,
        others: Sequence[PositionToken],
        joined: bool,  # noqa: ARG002  # every transaction is suitable
    ) -> LogView:
        """Read the newest position. There is one writer at a time, so no append is under way below it."""
        token = others[-1] if others else None  # only the reader's, because no appends are waited for
        positions = [0 if each is None else each.position for each in (settled, token)]
        ((position, event_id, stream_id, version, *ids, drawn),) = run(
            log_view, settled=positions[0], token_position=positions[1]
        )
        newest = None if position is None else PositionToken(position, self.to_uuid(event_id), stream_id, version)
        event_ids = {at: self.to_uuid(id_) for at, id_ in zip(positions, ids, strict=True) if id_ is not None}
        return _SQLiteView(newest, event_ids, drawn or 0)

    def following(self, run: Run, *, after_position: int, size: int) -> Following:  # noqa: ARG002  # it needs no query
        """Return none, because everything that is stored is already settled."""
        return Following(_SERVER, None, None)

    def check_server(self, run: Run) -> None:
        """Do nothing: a file is never distributed."""

    def check_positions(self, run: Run) -> None:
        """Do nothing, because AUTOINCREMENT gives each row a position above all earlier ones."""

    def look_again(self, run: Run) -> None:
        """Do nothing, because nothing is partitioned."""

    def read_stream_page(self, run: Run, statement: Statement, **parameters: Any) -> tuple[Sequence[Row], str | None]:
        """Run the statement, because no part can be detached."""
        return run(statement, **parameters), None

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
        partition: Partition | None = None,  # noqa: ARG002  # SQLite has no hash function
    ) -> tuple[PageHeader, Sequence[Row]]:
        """Read with one JSON array for each field of a filter."""
        everything = read_everything_backwards if backwards else read_everything
        statement: Statement = read_matching(fields_of(filters), backwards=backwards) if filters else everything
        parameters = page_parameters(
            filters,
            json.dumps,
            after_position=after_position,
            up_to_position=up_to_position,
            page_size=page_size,
            settled_position=settled_position,
            token_position=token_position,
        )
        header, *rows = run(statement, **parameters)
        settled_id, token_id = (None if id_ is None else self.to_uuid(id_) for id_ in header[3:5])
        return PageHeader(_SERVER, settled_id, token_id), rows

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
        """Find both positions by the index of times, which has them."""
        ((settled_id, first, last),) = run(
            extent_of_period,
            recorded_since=self.from_time(recorded_since),
            recorded_before=self.from_time(recorded_before),
            after_position=after_position,
            up_to_position=up_to_position,
            settled_position=settled_position,
        )
        return self._page_header(settled_id), first, last

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
        """Count by one statement, with one JSON array for each field of a filter."""
        filters = filters or (EventFilter(),)
        times = () if period is None else map(self.from_time, period)
        ((settled_id, number),) = run(
            count_matching(fields_of(filters), in_period=period is not None),
            **page_parameters(
                filters,
                json.dumps,
                after_position=after_position,
                up_to_position=up_to_position,
                settled_position=settled_position,
            ),
            **dict(zip(("recorded_since", "recorded_before"), times, strict=False)),
        )
        return self._page_header(settled_id), number

    def _page_header(self, settled_id: str | None) -> PageHeader:
        return PageHeader(_SERVER, None if settled_id is None else self.to_uuid(settled_id), None)

    def to_uuid(self, value: str) -> UUID:
        """Return the id from its 32 hexadecimal digits."""
        return msgspec.convert(value, UUID)  # a third of the time that UUID(value) takes

    def from_uuid(self, value: UUID) -> str:
        """Return the 32 hexadecimal digits of an id."""
        return value.hex

    def to_time(self, value: str | datetime) -> datetime:
        """Return the time from SQLite's text, or from a datetime of a converter (`detect_types`). Both are in UTC."""
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
        """Return SQLite's text, which sorts like the times."""
        try:
            in_utc = value.astimezone(UTC)
        except OverflowError:  # the first or the last day that Python knows, in a zone beyond it
            in_utc = _FIRST if value.year == _FIRST.year else _LAST
        return in_utc.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


_SERVER: Final = Server(table=0, started_at=None, in_recovery=False)


@dataclass(frozen=True, slots=True)
class _SQLiteView:
    newest: PositionToken | None
    event_ids: Mapping[int, UUID]
    drawn: int
    server: Server = _SERVER
    unfinished: frozenset[Any] = frozenset()

    def still_unfinished(self, waiting: frozenset[Any]) -> frozenset[Any]:
        return waiting


def _insert(run: Run, appends: Sequence[tuple[PendingAppend, int]]) -> list[Sequence[int]]:
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
        ((position,),) = run(insert_one_event, **rows[0])
        return [(position,)]
    run.many(insert_event(APPENDED_COLUMNS), rows)
    ((position,),) = run(last_position)
    # No other connection can write, so AUTOINCREMENT has given consecutive positions.
    ends = accumulate((len(pending) for pending, _ in appends), initial=position - len(rows) + 1)
    return [range(first, end) for first, end in pairwise(ends)]


class _Compiler(SQLiteCompiler):
    """Leaves out OFFSET 0, which SQLAlchemy's compiler adds, as a parameter."""

    limit_clause = SQLCompiler.limit_clause


@cache
def _compile(statement: Statement, paramstyle: Any, layout: Layout) -> tuple[str, dict[str, Any]]:  # a key of the cache
    compiled = _compiled(statement, paramstyle, layout)
    return str(compiled), {name: value for name, value in compiled.params.items() if value is not None}


def _compiled(statement: Statement, paramstyle: Any, layout: Layout) -> Any:
    tables = define_tables(position_is_key=True, layout=layout)
    dialect = dialect_module.dialect(paramstyle=paramstyle)
    dialect.statement_compiler = _Compiler
    return statement(tables).compile(dialect=dialect)


class _OneEvent(NamedTuple):
    """The statements for an append of one event, with positional parameters, and what puts values into their order."""

    head_sql: str
    head_parameters: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    event_sql: str
    event_parameters: Callable[[tuple[Any, ...]], tuple[Any, ...]]


def _one_event(expectation: Expectation, layout: Layout) -> _OneEvent:
    head = _compiled(write_head(expectation), "qmark", layout)
    event = _compiled(insert_event(APPENDED_COLUMNS), "qmark", layout)
    return _OneEvent(
        str(head), _in_order(head, ("stream_id", "count", "expected")), str(event), _in_order(event, APPENDED_COLUMNS)
    )


def _in_order(compiled: Any, names: tuple[str, ...]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Return a function that takes values by these names, and returns them in the order of the compiled parameters."""
    return itemgetter(*(names.index(name) for name in compiled.positiontup))
