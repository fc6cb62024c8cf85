"""What a backend is: the few things in which databases differ, as one small object."""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import Connection, CursorResult, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement

from eventstore.errors import StreamArchived, StreamClosed, StreamDeleted, TablesPlace, UnsuitableSetting
from eventstore.filters import EventFilter
from eventstore.rows.mapper import PendingAppend, StoredEvent
from eventstore.tables import ARCHIVED_CHECK, DELETED_CHECK, Tables
from eventstore.tokens import PositionToken

Statement = Callable[[Tables], ClauseElement]
"""A function of `eventstore.statements`."""

Row = tuple[Any, ...]
Place = tuple[str, int]
"""A stream id and a version in it."""


PLAIN_EXECUTION: Final = {"stream_results": False, "yield_per": None, "no_parameters": False}
"""For each statement, whatever the engine or the connection says: rows come at once, from our own kind of cursor."""


@cache
def returns_rows(sql: str) -> bool:
    """Return whether a statement of ours returns rows, if there are any."""
    return sql.startswith(("SELECT", "WITH")) or " RETURNING " in sql


def fetch(result: CursorResult[Any], sql: str) -> Sequence[Row]:
    """Return all rows of a result, none for one that has none.

    They are the driver's tuples: SQLAlchemy's rows cost 30 to 50 % (DESIGN 8).

    Raises:
        UnsuitableSetting: There should be rows, and the application's kind of cursor does not give them.
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
        "the connection's own kind of cursors",
        "does not say that a statement has returned rows",
        "let it have the driver's `description`, or leave it out",
    )


class Run(Protocol):
    """Runs a statement where the store's execution has decided: the one seam that all SQL goes through."""

    @property
    def notes(self) -> MutableMapping[Any, Any]:
        """What one may note of the driver's connection: gone with it, so a new connection has none."""
        ...

    @property
    def place(self) -> TablesPlace:
        """Where the tables are looked for; for errors."""
        ...

    def __call__(self, statement: Statement, **parameters: Any) -> Sequence[Row]:
        """Execute the statement and return all of its rows, none for one that returns none."""
        ...

    def many(self, statement: Statement, rows: Sequence[dict[str, Any]]) -> None:
        """Execute the statement once for each of the sets of parameters."""
        ...


class VersionTaken(Exception):  # never leaves the package
    """The unique key on (stream_id, version) refused an event: a head is behind its events.

    Attributes:
        stream_id: The stream, None if the database did not say.
        version: The version that is stored already, None if the database did not say.
    """

    def __init__(self, stream_id: str | None = None, version: int | None = None) -> None:
        self.stream_id = stream_id
        self.version = version
        super().__init__()


class Overtaken(Exception):  # never leaves the package
    """Another writer came between: nothing is stored, look again."""


CLOSED_BY: Final = {DELETED_CHECK: StreamDeleted, ARCHIVED_CHECK: StreamArchived}
"""What to raise where a check has refused to advance a head."""


class TransactionState(Enum):
    """What the driver knows of the transaction on a connection."""

    OPEN = "open"
    ABORTED = "aborted"
    """An error was in it: it can only be rolled back."""

    ENDED = "ended"
    """There is none."""

    LOST = "lost"
    """Nor is there a connection."""


class HeadClosed(Exception):  # never leaves the package
    """A check of es_streams refused to advance a head: the stream was deleted or archived.

    Attributes:
        error: What to raise, once it is known of which stream.
    """

    def __init__(self, error: type[StreamClosed]) -> None:
        self.error = error
        super().__init__()


class Server(NamedTuple):
    """Which server, and which of its tables, has answered. What was seen of one says nothing about another.

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
    """Where a page of the global order came from: of the same statement as its events.

    Attributes:
        server: Which server and table.
        settled_id: The id of the event at the position up to which the look has found everything settled.
        token_id: The id of the event at the position of the reader's token; None also for a reader without one.
    """

    server: Server
    settled_id: UUID | None
    token_id: UUID | None


@dataclass(frozen=True, slots=True)
class Following:
    """The events that follow a position without a gap.

    Attributes:
        server: Which server has answered.
        id_before: The id of the event at that position; None if there is none.
        last: The last of those that follow; None if there is a gap at once.
    """

    server: Server
    id_before: UUID | None
    last: PositionToken | None


class Look(Protocol):
    """What one statement has seen of the global order.

    Attributes:
        newest: The newest event that could be seen; None if there is none.
        server: Which server has answered.
        kept: Which events stand at the positions that were asked about, by position; without those where none is.
        drawn: The last position that was drawn; None if the role may not read the sequence.
        unfinished: The appends under way that may still commit at or below `newest`. Whoever is not among them had
            ended before: a statement that starts after this one sees what it has stored. None if that was not looked
            at, because nothing is newer than what is settled.
    """

    @property
    def newest(self) -> PositionToken | None: ...  # noqa: D102  # described above

    @property
    def server(self) -> Server: ...  # noqa: D102

    @property
    def kept(self) -> Mapping[int, UUID]: ...  # noqa: D102

    @property
    def drawn(self) -> int | None: ...  # noqa: D102

    @property
    def unfinished(self) -> frozenset[Any] | None: ...  # noqa: D102

    def still_unfinished(self, waiting: frozenset[Any]) -> frozenset[Any]:
        """Return which of `waiting`, some of those that an earlier look has seen, have not ended by now."""
        ...


class Listener(Protocol):
    """A connection on which the database tells of appends."""

    def fileno(self) -> int:
        """Return the file descriptor that can be read when something was told."""
        ...

    def drain(self) -> None:
        """Take in what was told."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Loader(Protocol):
    """What one kind of database needs beside, to take in events as they were stored elsewhere."""

    def find(self, run: Run, places: Sequence[Place]) -> Sequence[Row]:
        """Return the events at these places, if there are any.

        The rows: stream id, version, event id, event type, schema version, codec, data, position.
        """
        ...

    def store(self, run: Run, events: Sequence[StoredEvent], *, positions: bool) -> None:
        """Store events in their order; at their positions where asked, else at the next ones. Heads are locked."""
        ...

    def keep_appends_out(self, run: Run) -> None:
        """Let nobody else append until the transaction ends, so that positions can be given."""
        ...

    def continue_positions(self, run: Run) -> None:
        """Have the positions of later appends follow those that were given."""
        ...


class Driver(Protocol):
    """What the errors and connections of one driver say."""

    def translate(self, error: DBAPIError) -> Exception | None:
        """Return the error to raise instead of the driver's, None to let it pass."""
        ...

    def without_payload(self, error: Any) -> Any:
        """Return the error, or one of the same class, in which nothing of what is stored is shown."""
        ...

    def is_serialization_failure(self, error: BaseException) -> bool:
        """Return whether a transaction is over because another one has come first, at a level above READ COMMITTED."""
        ...

    def is_passing(self, error: Exception) -> bool:
        """Return whether what the store itself has asked of its database may succeed later, with nothing changed.

        So if there was no connection to be had, or it was lost, or a lock was in the way. Do not ask it about what
        code of the application has raised: that may come from another database.
        """
        ...

    def is_contention(self, error: BaseException) -> bool:
        """Return whether an error, or its cause, says that other transactions were in the way: try the same again."""
        ...

    def transaction_state(self, connection: Any) -> TransactionState:
        """Return the state of the transaction on a connection of `transaction`, without a round trip."""
        ...

    def mark_transaction(self, run: Run, connection: Any) -> object:
        """Return what `is_same_transaction` recognises the open transaction by."""
        ...

    def is_same_transaction(self, run: Run, connection: Any, mark: object) -> bool:
        """Return whether the open transaction is still the one that was marked; the mark is used up."""
        ...

    @property
    def has_notifications(self) -> bool:
        """Whether the database can tell of appends."""
        ...

    def listen(self, engine: Engine) -> Listener:
        """Open a connection, of the engine's kind but not one of its pool, on which the database tells of appends."""
        ...


class Connections(Driver, Protocol):
    """How to connect to one kind of database, by SQLAlchemy's engines, and what its errors mean."""

    def autocommit(self, engine: Engine) -> AbstractContextManager[Run]:
        """Open a connection on which every statement commits by itself."""
        ...

    def transaction(self, engine: Engine) -> AbstractContextManager[Connection]:
        """Open a connection in a transaction that may write; commit at the end, roll back on an error."""
        ...

    def short_transaction(self, engine: Engine) -> AbstractContextManager[Run]:
        """Open a connection in a transaction that may write, for the store's own statements only."""
        ...

    def run_on(self, connection: Connection) -> Run:
        """Return a run on a connection of the application's, or of `transaction`.

        Raises:
            UnsuitableSetting: The connection has a `schema_translate_map`.
        """
        ...

    def prepare_savepoint(self, run: Run, connection: Connection) -> None:
        """Do what must come before a savepoint in a transaction of the caller's.

        Raises:
            NotInTransaction: There is none after all.
        """
        ...

    def commits_by_itself(self, connection: Connection) -> bool:
        """Return whether a connection is in AUTOCOMMIT."""
        ...

    def check_reader(self, connection: Connection) -> None:
        """Check, as far as it can be told from outside, that the global order can be read in a joined transaction.

        Raises:
            UnsuitableTransaction: It may have appended itself.
        """
        ...


class Dialect(Protocol):
    """How to speak to one kind of database: which statements it takes, and in what it differs from the others."""

    @property
    def place(self) -> TablesPlace:
        """Where the tables are looked for; for errors."""
        ...

    @property
    def tables(self) -> Tables:
        """The tables, with this database's types and keys."""
        ...

    def suit(self, schema_version: int) -> None:
        """Choose statements that suit a version of the schema. Called before the first other one, when it is known."""
        ...

    def sql(self, statement: Statement) -> tuple[str, dict[str, Any]]:
        """Return the SQL text of a statement, compiled once, and the parameters that never vary."""
        ...

    def append_is_one_statement(self, pending: PendingAppend) -> bool:
        """Return whether `append` is atomic by itself, without a transaction around it."""
        ...

    def append(self, run: Run, pending: PendingAppend) -> tuple[int, int] | None:
        """Store one append; return version and position of its last event, None on a conflict."""
        ...

    @property
    def append_to_all(self) -> Callable[[Run, Sequence[PendingAppend]], list[tuple[int, int]] | None] | None:
        """What stores several appends in one statement, all or nothing; None if statements are no round trips.

        It takes a `Run` on which an error undoes the statement and no more, and the appends. It returns version and
        position of the last event of each, or None if one of them is in conflict, or was made before.

        Raises:
            Overtaken: That has changed while it ran.
        """
        ...

    def lock_heads(self, run: Run, stream_ids: Sequence[str], *, create: Sequence[str]) -> dict[str, int]:
        """Keep other writers from these streams until the transaction ends; return the versions of those that exist.

        Args:
            run: In a transaction or savepoint.
            stream_ids: The streams, each once.
            create: Those of them that may be created.
        """
        ...

    def store(self, run: Run, appends: Sequence[tuple[PendingAppend, int]]) -> dict[Place, int]:
        """Store events of locked streams, and set the heads.

        Args:
            run: In the same transaction or savepoint.
            appends: Each with the version of its stream before it.

        Returns:
            The positions, by stream id and version, of the last event of each append.
        """
        ...

    def lock_snapshots(self, run: Run) -> None:
        """Wait until no snapshot is being saved, and keep others from saving one until the transaction ends."""
        ...

    def permit_history_changes(self, run: Run) -> bool:
        """Let this transaction change history; return whether it was permitted to already."""
        ...

    def forbid_history_changes(self, run: Run) -> None:
        """Keep this transaction from changing history again."""
        ...

    def look(self, run: Run, *, settled: PositionToken | None, others: Sequence[PositionToken], joined: bool) -> Look:
        """Look at the global order.

        Args:
            run: Where to look. Outside of a joined transaction, each statement must see what is committed by now.
            settled: The event up to which everything is settled already; None if nothing is known to be.
            others: More events of which to say whether they are at their positions.
            joined: Whether `run` is in a transaction of the caller's.

        Raises:
            UnsuitableTransaction: It would not see what others commit, or has itself appended.
            GlobalOrderError: As `check_positions` raises it.
        """
        ...

    def following(self, run: Run, *, after_position: int, size: int) -> Following:
        """Look which events follow a position without a gap, no further than `size` events."""
        ...

    def check_positions(self, run: Run) -> None:
        """Check that positions are drawn one by one, and after those of all events that are there.

        Raises:
            PositionCacheEnabled: Each session draws a stock of them.
            PositionsBehind: The next one comes before the newest event.
            UnloggedEvents: A crash would empty the table, and begin again.
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
    ) -> tuple[PageHeader, Sequence[Row]]:
        """Return the first events after one position and up to another that match one of the filters, in order.

        The last of them, in ascending order as well, if `backwards`. All events, if there are no filters. The header is
        of the same statement, and names the events at `settled_position` and `token_position`.
        """
        ...

    @property
    def loader(self) -> Loader:
        """What takes in events as they were stored elsewhere."""
        ...

    def to_uuid(self, value: Any) -> UUID:
        """Return an id that the driver has returned."""
        ...

    def from_uuid(self, value: UUID) -> Any:
        """Return an id as the driver takes it."""
        ...

    def to_time(self, value: Any) -> datetime:
        """Return a time that the driver has returned, in UTC."""
        ...

    def from_time(self, value: datetime) -> Any:
        """Return a time with a zone as the driver takes it, for a comparison with a stored one."""
        ...


@dataclass(frozen=True, slots=True)
class Backend:
    """One kind of database.

    Attributes:
        connections: How to connect.
        dialect: How to speak.
    """

    connections: Connections
    dialect: Dialect
