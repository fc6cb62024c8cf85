"""The protocols of a backend: how the store connects to one kind of database, and which SQL it speaks."""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import Connection, CursorResult, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement

from eventstore.backends.waiting import Waiting
from eventstore.errors import TablesPlace, UnsuitableSetting
from eventstore.filters import EventFilter
from eventstore.partitions import Partition
from eventstore.parts import Runway
from eventstore.rows.mapper import PendingAppend, StoredEvent
from eventstore.tables import Layout, Tables
from eventstore.tokens import PositionToken

Statement = Callable[[Tables], ClauseElement]
"""A function of `eventstore.statements`."""

Row = tuple[Any, ...]
EventKey = tuple[str, int]
"""A stream id and a version, which together identify an event."""

Stored = tuple[int, Sequence[int]]
"""The version of the last event that an append has stored, and the positions of all of its events, in order."""


PLAIN_EXECUTION: Final = {"stream_results": False, "yield_per": None, "no_parameters": False}
"""Execution options for each statement. They override those of the engine and the connection, so that all rows are
fetched at once."""


@lru_cache(maxsize=1024)
def returns_rows(sql: str) -> bool:
    """Return whether a statement of this package can return rows."""
    return sql.startswith(("SELECT", "WITH")) or " RETURNING " in sql


def fetch(result: CursorResult[Any], sql: str) -> Sequence[Row]:
    """Return all rows of a result; none if the statement does not return rows.

    The rows are the driver's tuples, because SQLAlchemy's rows cost 30 to 50 % (DESIGN 8).

    Raises:
        UnsuitableSetting: The statement returns rows, but the application's cursor class does not provide them.
    """
    if not returns_rows(sql):
        result.close()
        return ()
    if not result.returns_rows:
        raise _no_rows()
    rows: Sequence[Row] = result.cursor.fetchall()
    result.close()
    return rows


def _no_rows() -> UnsuitableSetting:
    return UnsuitableSetting(
        "the connection's cursor class",
        "does not report that a statement has returned rows",
        "give it the driver's `description`, or use the driver's cursors",
    )


class Run(Protocol):
    """Runs statements on one connection. All SQL of the package goes through it."""

    @property
    def notes(self) -> MutableMapping[Any, Any]:
        """A dict for notes about the driver's connection, which lives as long as that connection."""
        ...

    @property
    def search_path(self) -> bytes | None:
        """The search path, if the server reports it to the driver, as PostgreSQL 18 does; else None."""
        ...

    @property
    def place(self) -> TablesPlace:
        """Where the store expects its tables; for errors."""
        ...

    def __call__(self, statement: Statement, **parameters: Any) -> Sequence[Row]:
        """Execute the statement and return all of its rows; none if it does not return rows."""
        ...

    def many(self, statement: Statement, rows: Sequence[dict[str, Any]]) -> None:
        """Execute the statement once for each set of parameters."""
        ...

    def together(self, *calls: tuple[Statement, dict[str, Any]]) -> Sequence[Row]:
        """Execute statements in a transaction at READ COMMITTED, in one round trip; return the rows of the last one.

        Only if `Connections.pipelines`.
        """
        ...


class VersionTaken(Exception):  # never leaves the package
    """The unique key on (stream_id, version) has refused an event, because a head is behind its events.

    Attributes:
        stream_id: The stream; None if the database did not name it.
        version: The version that is already stored; None if the database did not name it.
    """

    def __init__(self, stream_id: str | None = None, version: int | None = None) -> None:
        self.stream_id = stream_id
        self.version = version
        super().__init__()


class Overtaken(Exception):  # never leaves the package
    """Another writer has changed a stream while the statement ran. Nothing was stored; the append must be retried."""


class GroupRefused(Exception):  # never leaves the package
    """The database has refused to store a group of appends. Nothing was stored; each can be tried alone."""


class TransactionState(Enum):
    """The state of the transaction on a connection, as the driver knows it."""

    OPEN = "open"
    ABORTED = "aborted"
    """A statement in it has failed, so it can only be rolled back."""

    ENDED = "ended"
    """There is no transaction."""

    LOST = "lost"
    """The connection is lost."""


class HeadClosed(Exception):  # never leaves the package
    """A check constraint of es_streams has refused to advance a head: its stream was deleted or archived."""


class Server(NamedTuple):
    """Which server has answered, from which table. What was read from one says nothing about another.

    Attributes:
        table: The oid of es_events; 0 on SQLite.
        started_at: When the server was started; None on SQLite.
        in_recovery: Whether it is a standby.
    """

    table: int
    started_at: datetime | None
    in_recovery: bool


@dataclass(frozen=True, slots=True)
class PageHeader:
    """Where a page of the global order came from, read by the same statement as its events.

    Attributes:
        server: Which server and table.
        settled_id: The id of the event at the position up to which the log view has found everything settled.
        token_id: The id of the event at the position of the reader's token; None also if the reader has no token.
        detached: The first part in the range of the page that was detached, as JSON; None if there is none.
    """

    server: Server
    settled_id: UUID | None
    token_id: UUID | None
    detached: str | None = None


@dataclass(frozen=True, slots=True)
class Following:
    """The events that follow a position without a gap.

    Attributes:
        server: Which server has answered.
        id_before: The id of the event at that position; None if there is none.
        last: The last of the events that follow; None if there is a gap right after the position.
    """

    server: Server
    id_before: UUID | None
    last: PositionToken | None


@dataclass(frozen=True, slots=True)
class TagLocks:
    """Which tags an append locks.

    Attributes:
        written: The tags of its events, which no one else may add events with, nor depend on, until it has ended.
        read: Other tags that it depends on, which no one may add events with.
    """

    written: frozenset[str]
    read: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Condition:
    """What an append depends on.

    Attributes:
        items: A JSON array of the queries, with `tags`, `types`, `pivot`, `position` and `event_id`; and, if it locks
            all appends, `categories`, and the events seen, as `seen` and `seen_ids`.
        generation: How often tags were added to old events before these were read.
        locks_all_appends: Whether queries may be without tags, so that all other appends have to be kept out.
    """

    items: str
    generation: int
    locks_all_appends: bool = False


@dataclass(frozen=True, slots=True)
class BoundaryHeader:
    """How far a boundary without tags was read, from the snapshot of its events.

    Attributes:
        server: Which server and table.
        generation: How often tags were added to old events by then.
        position: That of the settled event; 0 if it is gone.
        event_id: Its id.
        seen: For each query, the positions of the events that match it and come after that position.
    """

    server: Server
    generation: int
    position: int
    event_id: UUID | None
    seen: Sequence[Sequence[int]]


class TaggedOutcome(NamedTuple):
    """What has become of an append on condition.

    Attributes:
        is_current: Whether the boundaries were read from this log, as far as it shows.
        changed: The position of the first event that has come between; None if there is none.
        stored: What was stored; None if nothing was.
    """

    is_current: bool
    changed: int | None
    stored: Stored | None


class LogView(Protocol):
    """What one statement has seen of the end of the log.

    Attributes:
        newest: The newest visible event; None if there is none.
        server: Which server has answered.
        event_ids: The ids of the events at the positions that were asked about, by position; without those at which
            there is no event.
        drawn: The last position that was drawn; None if the role may not read the sequence.
        unfinished: The appends under way that may still commit at or below `newest`. An append that is not among them
            had ended before, so that a statement that starts after this one sees what it has stored. None if the
            locks were not read, because nothing is newer than what is settled.
    """

    @property
    def newest(self) -> PositionToken | None: ...  # noqa: D102  # described above

    @property
    def server(self) -> Server: ...  # noqa: D102

    @property
    def event_ids(self) -> Mapping[int, UUID]: ...  # noqa: D102

    @property
    def drawn(self) -> int | None: ...  # noqa: D102

    @property
    def unfinished(self) -> frozenset[Any] | None: ...  # noqa: D102

    def still_unfinished(self, waiting: frozenset[Any]) -> frozenset[Any]:
        """Return those of `waiting` that have not ended by now. They come from an earlier log view."""
        ...


class Listener(Protocol):
    """A connection on which the database notifies of appends."""

    def fileno(self) -> int:
        """Return the file descriptor that becomes readable when a notification arrives."""
        ...

    def drain(self) -> bool:
        """Receive and drop the notifications that have arrived; return whether there were any."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Sender(Protocol):
    """A connection that sends notifications."""

    def send(self) -> None:
        """Notify those who listen, at once."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


@dataclass(frozen=True, slots=True)
class ImportedHead:
    """The head of a stream after an import.

    Attributes:
        stream_id: The stream.
        version: Its version.
        created_at: When its first imported event was recorded: its creation, if it had no events.
        updated_at: When its last event was recorded.
        deleted_version: The version of the tombstone if the stream was deleted; otherwise None.
        archived_version: The same if it was archived.
    """

    stream_id: str
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_version: int | None
    archived_version: int | None


class Loader(Protocol):
    """How one kind of database imports events that were stored elsewhere."""

    def find(self, run: Run, keys: Sequence[EventKey]) -> Sequence[Row]:
        """Return the events with these keys that exist.

        The columns: stream id, version, event id, event type, schema version, codec, data, position, metadata as text.
        """
        ...

    def set_heads(self, run: Run, heads: Sequence[ImportedHead]) -> None:
        """Set heads that are locked by `lock_heads`, with `create`, before their events are stored."""
        ...

    def store(self, run: Run, events: Sequence[StoredEvent], *, positions: bool) -> None:
        """Store events in their order, at their own positions if `positions`, else at new ones. Heads are locked."""
        ...

    def keep_appends_out(self, run: Run) -> None:
        """Let no one else append until the transaction ends, so that events can be stored at chosen positions."""
        ...

    def continue_positions(self, run: Run) -> None:
        """Let the positions of later appends follow those that were chosen."""
        ...


class Driver(Protocol):
    """The meaning of the errors of one driver, and the state of its connections."""

    @property
    def waiting(self) -> Waiting:
        """How its callers wait."""
        ...

    def translate(self, error: DBAPIError) -> Exception | None:
        """Return the error to raise instead of the driver's; None to let the driver's pass."""
        ...

    def without_payload(self, error: Any) -> Any:
        """Return the error, or one of the same class that shows no stored data."""
        ...

    def is_serialization_failure(self, error: BaseException) -> bool:
        """Return whether a concurrent transaction has aborted this one, at a level above READ COMMITTED."""
        ...

    def is_transient(self, error: Exception) -> bool:
        """Return whether the store's own statement may succeed if it is retried later, with nothing changed.

        That is so if no connection was available, the connection was lost, or a lock was not available in time. Do not
        call this for an error from the application's code, which may come from another database.
        """
        ...

    def is_contention(self, error: BaseException) -> bool:
        """Return whether an error, or its cause, comes from concurrent transactions, so that a retry may succeed."""
        ...

    def transaction_state(self, connection: Any) -> TransactionState:
        """Return the state of the transaction on a connection of `transaction`, without a round trip."""
        ...

    def open_probe(self, connection: Any) -> Callable[[], bool]:
        """Return a quick function: whether the transaction is open as far as the driver knows without looking.

        It is for the open transaction on a connection of `transaction`. False means that `transaction_state` knows.
        """
        ...

    def mark_transaction(self, run: Run, connection: Any) -> object:
        """Return a mark by which `is_same_transaction` recognises the open transaction."""
        ...

    def is_same_transaction(self, run: Run, connection: Any, mark: object) -> bool:
        """Return whether the open transaction is still the marked one. A mark can be used once."""
        ...

    @property
    def has_notifications(self) -> bool:
        """Whether the database can notify of appends."""
        ...

    def listen(self, engine: Engine) -> Listener:
        """Open a connection on which the database notifies of appends; like the engine's, but not from its pool."""
        ...

    def sender(self, engine: Engine) -> Sender:
        """Open a connection that notifies of appends; likewise."""
        ...


class Connections(Driver, Protocol):
    """How to connect to one kind of database through SQLAlchemy's engines, and what its errors mean."""

    @property
    def dialect(self) -> "Dialect":
        """The dialect of the statements that are sent."""
        ...

    def autocommit(self, engine: Engine) -> AbstractContextManager[Run]:
        """Open a connection on which every statement commits by itself."""
        ...

    def append_directly(self, engine: Engine, pending: PendingAppend) -> Sequence[Row] | None:
        """Append one event, and commit, in a faster way than by `autocommit` and `Dialect.append`.

        Args:
            engine: The engine.
            pending: The append. The tables are known to fit.

        Returns:
            The row (version, position); no row on a conflict. None if there is no faster way on this database, with
            this engine or for this connection. Then nothing was stored.

        Raises:
            HeadClosed: The stream was deleted or archived.
            VersionTaken: The head is behind the events.
            GlobalOrderError: As for `Dialect.check_positions`, which comes first on a new connection.
        """
        ...

    def pipelines(self, engine: Engine) -> bool:
        """Return whether the runs of `autocommit` can send several statements by `Run.together`."""
        ...

    def transaction(self, engine: Engine) -> AbstractContextManager[Connection]:
        """Open a connection in a transaction that may write; commit at the end, roll back on an error."""
        ...

    def short_transaction(self, engine: Engine) -> AbstractContextManager[Run]:
        """Open a connection in a transaction that may write, for the store's own statements only."""
        ...

    def run_on(self, connection: Connection) -> Run:
        """Return a run on a connection of the application, or on one from `transaction`.

        Raises:
            UnsuitableSetting: The connection has a `schema_translate_map`.
        """
        ...

    def prepare_savepoint(self, run: Run, connection: Connection) -> None:
        """Do what must come before a savepoint in the caller's transaction.

        Raises:
            NotInTransaction: There is no transaction.
        """
        ...

    def commits_by_itself(self, connection: Connection) -> bool:
        """Return whether a connection is in AUTOCOMMIT."""
        ...

    def check_reader(self, connection: Connection) -> None:
        """Check, without a statement, that the global order can be read in a joined transaction.

        Raises:
            UnsuitableTransaction: The transaction may have appended.
        """
        ...


class Dialect(Protocol):
    """Which SQL one kind of database takes, and how its values are converted."""

    @property
    def place(self) -> TablesPlace:
        """Where the store expects its tables; for errors."""
        ...

    @property
    def schema(self) -> str | None:
        """The schema by which statements name the tables; None if they do not, and on SQLite."""
        ...

    @property
    def tables(self) -> Tables:
        """The tables, with this database's types and keys. Made at the first use: for most stores there is none."""
        ...

    def runway(self, run: Run) -> Runway | None:
        """Return how long the parts of the log last; None if it is not partitioned, or the role may not know."""
        ...

    def locked_file(self, run: Run) -> str | None:
        """Return the path of the database's file, if a transaction that has locked a row keeps out all writers.

        None also if the database is in memory, so that no other process can write.
        """
        ...

    @property
    def filters_partitions(self) -> bool:
        """Whether `read_page` returns only the events of the partition."""
        ...

    @property
    def layout(self) -> Layout:
        """What the tables are like: those of the newest version until it is known."""
        ...

    def suit(self, layout: Layout, table: int) -> None:
        """Choose statements that suit the tables. Called when they are known, before any other statement.

        Args:
            layout: What the tables are like.
            table: The oid of es_events; 0 on SQLite.
        """
        ...

    def sql(self, statement: Statement) -> tuple[str, dict[str, Any]]:
        """Return the SQL text of a statement, compiled once, and its constant parameters."""
        ...

    def append_is_one_statement(self, pending: PendingAppend) -> bool:
        """Return whether `append` is atomic by itself, without a transaction around it."""
        ...

    def append(self, run: Run, pending: PendingAppend) -> Stored | None:
        """Store one append; return what was stored, or None on a conflict."""
        ...

    @property
    def append_to_all(self) -> Callable[[Run, Sequence[PendingAppend]], list[Stored] | None] | None:
        """A function that stores several appends in one statement, all or nothing.

        It takes a `Run` on which an error undoes only the statement, and the appends. It returns what was stored of
        each append, or None if one of them conflicts or is a duplicate. None if a statement is not a round trip, so
        that one statement would save nothing.

        Raises:
            Overtaken: Another writer has changed a stream while the statement ran.
        """
        ...

    def append_group(self, run: Run, appends: Sequence[PendingAppend]) -> list[Stored | None]:
        """Store those of several small appends that can be stored, independently of each other, and wait for no head.

        Args:
            run: As for `append`.
            appends: Each to another stream.

        Returns:
            What was stored of each append; None for one that was not stored, because of a conflict, or because another
            transaction has locked its head.

        Raises:
            GroupRefused: The database has reported an error.
        """
        ...

    def lock_heads(self, run: Run, stream_ids: Sequence[str], *, create: Sequence[str]) -> dict[str, int]:
        """Lock the heads of streams until the transaction ends; return the versions of those that exist.

        Args:
            run: In a transaction or savepoint.
            stream_ids: The streams, each once.
            create: Those of them that may be created.
        """
        ...

    def limit_lock_waits(self, run: Run) -> None:
        """Let the statements that follow in this transaction fail if they would wait for a lock for long.

        A transaction that waits while it holds locks can deadlock, which the server finds out after a second.
        """
        ...

    def store(self, run: Run, appends: Sequence[tuple[PendingAppend, int]]) -> list[Sequence[int]]:
        """Store events of locked streams, and set the heads.

        Args:
            run: In the same transaction or savepoint.
            appends: Each with the version of its stream before it.

        Returns:
            The positions of the events of each append, in order.
        """
        ...

    def lock_tags(self, run: Run, locks: TagLocks | None) -> None:
        """Lock tags until the transaction ends, before any head; None for all tags.

        Raises:
            UnsuitableTransaction: The transaction is not at READ COMMITTED, so it would not see what others have
                committed before it got the locks.
            TooManyTags: The transaction would hold too many locks, or has locked some tags and now needs all.
        """
        ...

    def append_tagged(
        self, run: Run, pending: PendingAppend, locks: TagLocks, condition: Condition | None, *, at_once: bool
    ) -> TaggedOutcome:
        """Lock tags, and store an append with its tags, unless an event has come between.

        Args:
            run: In a transaction; or one that commits by itself, if `at_once`.
            pending: The append.
            locks: The tags to lock.
            condition: What it depends on; None if it depends on nothing.
            at_once: Whether to send all of it together.

        Raises:
            UnsuitableTransaction: As for `lock_tags`.
            TooManyTags: As for `lock_tags`.
        """
        ...

    def lock_all_appends(self, run: Run) -> None:
        """Wait for all appends under way, and keep others out until the transaction ends.

        The tags are locked, and no head is.
        """
        ...

    def compare_boundaries(self, run: Run, condition: Condition) -> tuple[bool, int | None]:
        """Return `is_current` and `changed` of a `TaggedOutcome`. The tags are locked, or all appends."""
        ...

    def read_boundary(self, run: Run, queries: str) -> Sequence[Row]:
        """Return the events that match a JSON array of queries with `tags` and `types`, after a header row.

        The header has, in place of the stream id, a JSON array: for each query its pivot, and position and id of the
        last event with that tag; in place of the version, the generation.
        """
        ...

    def read_boundary_without_tags(
        self, run: Run, queries: str, settled: PositionToken | None
    ) -> tuple[BoundaryHeader, Sequence[Row]]:
        """Return the events that match a JSON array of queries with `tags`, `types` and `categories`, after a header.

        Args:
            run: Reads them.
            queries: The array.
            settled: The last event that is known to be settled; None if none is.
        """
        ...

    def insert_tags(self, run: Run, rows: Sequence[tuple[str, int, str]]) -> None:
        """Store tags of stored events, each by stream id, version and tag. Those that are stored are left alone."""
        ...

    def has_tags(self, run: Run, stream_id: str, *, before_version: int) -> bool:
        """Return whether the metadata of events of a stream before a version has tags."""
        ...

    def delete_tags(self, run: Run, stream_id: str, *, before_version: int) -> None:
        """Delete the tags that the metadata of these events has."""
        ...

    def raise_generation(self, run: Run) -> None:
        """Record that tags are added to old events, which refuses all boundaries that were read before.

        All tags are locked.
        """
        ...

    def lock_derived_rows(self, run: Run) -> None:
        """Wait until no snapshot or dead letter is being written; let no other write one until the transaction ends."""
        ...

    def notify(self, run: Run) -> None:
        """Notify those who listen, when this transaction commits; see `has_notifications`."""
        ...

    def permit_history_changes(self, run: Run) -> bool:
        """Let this transaction change history; return whether it was already permitted to."""
        ...

    def forbid_history_changes(self, run: Run) -> None:
        """End the permission of this transaction to change history."""
        ...

    def view_log(
        self, run: Run, *, settled: PositionToken | None, others: Sequence[PositionToken], joined: bool
    ) -> LogView:
        """Return what one statement sees of the end of the log.

        Args:
            run: Outside of a joined transaction, each statement on it must see what is committed by then.
            settled: The event up to which everything is known to be settled; None if there is none.
            others: More events to look up at their positions.
            joined: Whether `run` is in the caller's transaction.

        Raises:
            UnsuitableTransaction: The transaction does not see what others commit, or has itself appended.
            GlobalOrderError: As for `check_positions`.
        """
        ...

    def following(self, run: Run, *, after_position: int, size: int) -> Following:
        """Return which events follow a position without a gap, looking at `size` events at most."""
        ...

    def check_server(self, run: Run) -> None:
        """Check that the locks of this server say which appends have ended. Called once, if tables may be distributed.

        Raises:
            UnsuitableServer: The tables are distributed in a way in which readers could miss events.
        """
        ...

    def check_positions(self, run: Run) -> None:
        """Check that positions are drawn one by one, and after those of all stored events.

        Raises:
            PositionCacheEnabled: Each session draws several positions at a time.
            PositionsBehind: The next position comes before the newest event.
            UnloggedEvents: A crash would empty the table and start the sequence again.
        """
        ...

    def look_again(self, run: Run) -> None:
        """Choose other statements if the tables are not what they were."""
        ...

    def read_stream_page(self, run: Run, statement: Statement, **parameters: Any) -> tuple[Sequence[Row], str | None]:
        """Return a page of a stream, and a part of the log that was detached.

        Args:
            run: Reads the page.
            statement: One that has the rows of `statements.detached.with_part_of_stream`.
            parameters: Its parameters.

        Returns:
            The rows, and the first part that may have had events of the stream, as JSON; None if none has.
        """
        ...

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
        """Return the first events after one position, and up to another, that match at least one filter, in order.

        If `backwards`, they are the last of these events, in ascending order, too. Without filters, all events match.
        With a partition, they are those of its streams if `filters_partitions`, otherwise those of all streams.
        The same statement returns the header, with the ids of the events at `settled_position` and `token_position`.
        """
        ...

    @property
    def loader(self) -> Loader:
        """The loader, which imports events that were stored elsewhere."""
        ...

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
        """Return the lowest and the highest position of the events that were recorded in a period.

        Args:
            run: As for `read_page`.
            recorded_since: Inclusive.
            recorded_before: Exclusive.
            after_position: Exclusive.
            up_to_position: Inclusive.
            settled_position: As for `read_page`.

        Returns:
            The header, without the event of a token; and the positions, which are None if there is no such event.
        """
        ...

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
        """Return how many events match at least one filter; all events do if there is none.

        Args:
            run: As for `read_page`.
            filters: As for `read_page`.
            after_position: Exclusive.
            up_to_position: Inclusive.
            settled_position: As for `read_page`.
            period: The times since when, inclusive, and before when, exclusive, they were recorded. None: at any time.

        Returns:
            The header, without the event of a token; and the number.
        """
        ...

    def to_uuid(self, value: Any) -> UUID:
        """Convert an id from the driver's type."""
        ...

    def from_uuid(self, value: UUID) -> Any:
        """Convert an id to the driver's type."""
        ...

    def to_time(self, value: Any) -> datetime:
        """Convert a time from the driver's type, to UTC."""
        ...

    def from_time(self, value: datetime) -> Any:
        """Convert a time with a zone to the driver's type, to compare it with a stored one."""
        ...


@dataclass(frozen=True, slots=True)
class Grouping:
    """How appends of several threads are stored together.

    Attributes:
        leaders: How many threads store at the same time.
        patience_seconds: How long an append waits for them, before it no longer relies on them.
    """

    leaders: int
    patience_seconds: float


@dataclass(frozen=True, slots=True)
class Backend:
    """How the store uses one kind of database.

    Attributes:
        connections: How to connect.
        dialect: Which SQL to send.
        grouping: How appends of several threads are stored together; None if they are not.
    """

    connections: Connections
    dialect: Dialect
    grouping: Grouping | None = None
