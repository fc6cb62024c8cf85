"""The event store: append, read, join."""

import math
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, Unpack, overload

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session, scoped_session

from eventstore.backends import backend_for, check_engine, engine_for, same_database
from eventstore.codecs import Codec
from eventstore.common.validation import check_flag, check_seconds
from eventstore.core.appending import Appender
from eventstore.core.archiving import archive
from eventstore.core.core import Core
from eventstore.core.deletion import StreamDeleter, history_changes
from eventstore.core.event_type_check import check_event_types
from eventstore.core.execution import OwnConnections
from eventstore.core.global_order import GlobalOrder
from eventstore.core.options import StoreOptions
from eventstore.core.reading import Reader
from eventstore.core.schema_version import REQUIRED_BY_HISTORY_CHANGES, SchemaGate, create_schema
from eventstore.errors import (
    ConcurrencyConflict,
    DatabaseMismatch,
    InvalidInput,
    NotInTransaction,
    UnsuitableTransaction,
)
from eventstore.event_types import EventTypeFinding, EventTypes
from eventstore.events import Append, AppendResult, RecordedEvent
from eventstore.filters import EventFilter, combine
from eventstore.health import Health
from eventstore.health.check import HealthCheck
from eventstore.health.thresholds import Thresholds
from eventstore.observer import NO_OBSERVER, Observer
from eventstore.snapshots import SnapshotStore
from eventstore.streams import ExpectedVersion, StreamInfo, StreamOrder
from eventstore.subscriptions import Pace, Subscription
from eventstore.tables import Tables
from eventstore.tokens import After, PositionToken


class EventStore:
    """Appends events to streams and reads them back.

    A store is cheap, thread-safe and meant to be shared: make one for each process, beside the engine. After a fork it
    leaves its parent's connections alone and opens its own. It can't be pickled.

    Args:
        engine: The application's engine, of PostgreSQL by psycopg 3 or of SQLite. It stays the application's: the store
            takes connections from its pool, changes nothing about it, and never disposes of it.
        event_types: The classes of typed events. Defaults to none: data comes back as plain values.
        codec: How payloads are written. Defaults to MessagePack.
        also_reads: Codecs of your own that older rows were written by; MessagePack and JSON are always read.
        compress_above: Compress payloads of more bytes than this with zstd (extra `zstd`). Defaults to None: never.
        page_size: How many events a read fetches at a time, from 1. Memory is bounded by a page.
        lock_timeout_seconds: How long a writer waits for SQLite's write lock. PostgreSQL has its own setting,
            `lock_timeout`.
        schema: The PostgreSQL schema that the tables are in; migrate it by the same name. Defaults to None: the first
            of the connection's search path. Several stores can live side by side in one database.
        notify: Tell subscriptions of each append, by NOTIFY (PostgreSQL). They learn of it some milliseconds earlier
            than by polling. It costs: commits that notify wait for each other, which halves the throughput of eight
            writers.

    Raises:
        UnsupportedDatabase: The engine is of another database or driver.
        InvalidInput: An option is not valid.
        UpcasterMissing: The event types have a hole: see `EventTypes.validate`.

    Example:
        ```python
        store = EventStore(engine)
        store.append("order-42", NewEvent("order-placed", {"total": 30}), expected_version=NO_STREAM)
        for event in store.read_stream("order-42"):
            print(event.version, event.event_type, event.data)
        ```
    """

    def __init__(
        self,
        engine: Engine,
        *,
        event_types: EventTypes | None = None,
        codec: Codec | None = None,
        also_reads: Iterable[Codec] = (),
        compress_above: int | None = None,
        page_size: int = 1000,
        lock_timeout_seconds: float = 30.0,
        schema: str | None = None,
        notify: bool = False,
    ) -> None:
        self._engine = check_engine(engine)
        self._own_engine: _OwnEngine | None = None
        backend = backend_for(engine, lock_timeout_seconds=lock_timeout_seconds, schema=schema, notify=notify)
        core = Core.of(
            backend.connections,
            backend.dialect,
            lambda gate: OwnConnections(engine, backend.connections, gate),
            event_types=event_types,
            codec=codec,
            also_reads=also_reads,
            compress_above=compress_above,
            page_size=page_size,
        )
        self._check_health = HealthCheck(engine, core.execution, backend.dialect)
        self._use(core)

    def _use(self, core: Core) -> None:
        self._core = core
        for part in ("_appender", "_reader", "_global_order", "snapshots"):
            self.__dict__.pop(part, None)

    @property
    def core(self) -> Core:
        """The inner parts, for the package itself: without any promise to applications."""
        return self._core

    def with_core(self, core: Core) -> Self:
        """Return this store with other inner parts: for the package itself, without any promise to applications."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._use(core)
        return other

    @cached_property
    def _appender(self) -> Appender:
        return Appender(self._core)

    @cached_property
    def _reader(self) -> Reader:
        return Reader(self._core)

    @cached_property
    def _global_order(self) -> GlobalOrder:
        return GlobalOrder(self._core)

    @classmethod
    def from_url(
        cls, url: str | URL, *, engine_options: Mapping[str, Any] | None = None, **options: Unpack[StoreOptions]
    ) -> Self:
        """Return a store on an engine of its own, with sound defaults; `close` it, or use it as a context manager.

        PostgreSQL: 5 to 20 connections, 30 seconds to wait for one, `application_name=eventstore`. SQLite: write-ahead
        log, foreign keys enforced, every commit synced to disk, 30 seconds to wait for a lock.

        Args:
            url: `postgresql://user@host/database`, `sqlite:///file.db`, or `sqlite://` for a new database in memory.
            engine_options: For `sqlalchemy.create_engine`, such as `{"pool_size": 10}`; they win over the defaults.
            options: As for the constructor: `event_types`, `codec`, `also_reads`, `compress_above`, `page_size`,
                `lock_timeout_seconds`, `schema`, `notify`.

        Raises:
            UnsupportedDatabase: The URL is of another database or driver.
            DriverMissing: It is of PostgreSQL, and psycopg is not installed.
            InvalidInput: An option is not valid.
        """
        if engine_options is not None and not isinstance(engine_options, Mapping):
            msg = f"engine_options is a mapping of options of create_engine, not {type(engine_options).__name__}"
            raise InvalidInput(msg)
        lock_timeout = {name: options[name] for name in ("lock_timeout_seconds",) if name in options}
        store = cls(engine_for(url, **lock_timeout, **(engine_options or {})), **options)
        store._own_engine = _OwnEngine(store.engine)
        return store

    @classmethod
    def in_memory(cls, **options: Unpack[StoreOptions]) -> Self:
        """Return a store on a new SQLite database in memory, with its tables in place, for tests and notebooks.

        It is as thread-safe as any; it is gone with the store. Needs SQLite 3.36.

        Args:
            options: As for the constructor. `schema` and `notify` are for PostgreSQL.

        Raises:
            InvalidInput: An option is not valid.
        """
        store = cls.from_url("sqlite://", **options)
        create_schema(store.engine, store.tables)
        return store

    @property
    def engine(self) -> Engine:
        """The engine, for migrations, or for a session to join."""
        return self._engine

    @property
    def tables(self) -> Tables:
        """The tables, for queries of your own."""
        return self._core.dialect.tables

    @property
    def event_types(self) -> EventTypes:
        """The classes of typed events."""
        return self._core.mapper.event_types

    @property
    def codec(self) -> Codec:
        """How payloads are written."""
        return self._core.mapper.codec.codec

    @cached_property
    def snapshots(self) -> SnapshotStore:
        """The snapshots, in the same transaction as this store."""
        return SnapshotStore(self._core)

    @property
    def connection(self) -> Connection:
        """The connection of the transaction that this store is joined to, for writes of your own inside it.

        Raises:
            NotInTransaction: This store is not joined to one: see `transaction` and `join`.
        """
        return self._core.execution.connection

    def close(self) -> None:
        """Close the pool of a store made by `from_url` or `in_memory`. An engine of the application's is left alone."""
        if self._own_engine is not None and not self._core.execution.is_joined:
            self._own_engine.dispose()

    @property
    def observer(self) -> Observer:
        """Who is told of each operation."""
        return self._core.observer

    def observe(self, observer: Observer) -> None:
        """Tell an observer of each operation from now on: of this store, and of what is made of it later.

        Call it where the store is made, before repositories, workers and joined stores are. There is one observer at a
        time. For OpenTelemetry there is one ready: `eventstore.contrib.opentelemetry.instrument`.

        Raises:
            InvalidInput: This store is joined to a transaction.
        """
        if self._core.execution.is_joined:
            msg = "observe the application's store; this one is joined to a transaction, and gone with it"
            raise InvalidInput(msg)
        self._use(replace(self._core, observer=observer))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<EventStore {self._engine.url!r}>"

    def __reduce__(self) -> NoReturn:
        msg = (
            "an EventStore can't be pickled: its connections belong to this process; "
            "give the other process the URL, and make a store there"
        )
        raise TypeError(msg)

    # --- append

    def append(
        self,
        stream_id: str,
        events: Any,
        *,
        expected_version: ExpectedVersion,
        metadata: Mapping[str, Any] | None = None,
    ) -> AppendResult:
        """Append one event to a stream, or several: all of them or none.

        Takes the lock of the stream's head, for as long as the transaction lasts: writers of one stream wait for each
        other, writers of different streams don't (on SQLite all writers do). Without a joined transaction it is
        committed when this returns.

        To repeat an append that may have been stored, after a lost connection say, pass the same `NewEvent` objects (or
        the same event ids) and the same expected version: it is recognised. Type, schema version and data must be the
        same, metadata may differ. With `ANY` and `STREAM_EXISTS` nothing is recognised, nor are objects of registered
        classes, which get a new id each time: make them `NewEvent`s once, by `EventTypes.new_event`.

        Args:
            stream_id: 1 to 255 characters, as `order-42`; what is before the first `-` is its category.
            events: A `NewEvent` or an object of a registered class; or an iterable of these, at least one. 100,000 in
                one call are fine, memory permitting.
            expected_version: The version that the stream must have: the one you have decided on. `NO_STREAM` (0) where
                it must not exist yet, `STREAM_EXISTS`, or `ANY` not to check.
            metadata: JSON values by string keys, for all of these events; an event's own win.

        Returns:
            The new version of the stream and the position of the last event; `duplicate=True` where the events were
            stored before.

        Raises:
            ConcurrencyConflict: The stream has another version. A joined transaction stays usable.
            EventIdReused: The event ids are stored at these versions already, with another content.
            StreamClosed: The stream was deleted or archived, and takes no more events.
            InvalidInput: An argument is not valid; see its subclasses. Nothing was written.
            EncodingError: Data that can't be stored exactly. Nothing was written.
            UnregisteredEventType: An object that is neither a NewEvent nor of a registered class.
            SchemaError: The database does not have the tables that this code needs.
            DatabaseBusy: SQLite's write lock could not be had in time.
        """
        core = self._core
        if core.observer is NO_OBSERVER:
            append = Append(stream_id, events, expected_version=expected_version, metadata=metadata)
            return self._appender.append(core.mapper.pending(append))
        with core.observer.operation("append", stream_id=stream_id) as observed:
            append = Append(stream_id, events, expected_version=expected_version, metadata=metadata)
            pending = core.mapper.pending(append)
            result = self._appender.append(pending)
            observed.note(events=len(pending))
        return result

    @overload
    def append_many(self, appends: Iterable[Append], *, atomic: Literal[True] = True) -> list[AppendResult]: ...

    @overload
    def append_many(
        self, appends: Iterable[Append], *, atomic: Literal[False]
    ) -> list[AppendResult | ConcurrencyConflict]: ...

    def append_many(
        self, appends: Iterable[Append], *, atomic: bool = True
    ) -> list[AppendResult] | list[AppendResult | ConcurrencyConflict]:
        """Append to several streams in one transaction: all or nothing, or each for itself.

        Streams are locked in sorted order, so that two calls never deadlock. One stream may occur several times; its
        appends follow each other in the order of the list.

        Args:
            appends: What to append. None is fine.
            atomic: Whether a conflict of one stream keeps all others from being written, too. If False, appends that
                are in conflict are left out, and the others are stored.

        Returns:
            A result for each, in the same order; if not `atomic`, a ConcurrencyConflict, not raised, for one that was
            left out.

        Raises:
            ConcurrencyConflict: One of the streams has another version: the first of them in the list. Nothing was
                written. Only if `atomic`.
            EventStoreError: As for `append`. Nothing was written, whatever `atomic` is: a stream that was deleted or
                archived, say.
        """
        check_flag("atomic", atomic)
        with self._core.observer.operation("append_many") as observed:
            pending = [self._core.mapper.pending(append) for append in appends]
            results = self._appender.append_many(pending, atomic=atomic)
            stored = [isinstance(result, AppendResult) for result in results]
            observed.note(
                events=sum(len(append) for append, is_stored in zip(pending, stored, strict=True) if is_stored),
                conflicts=stored.count(False),
            )
        return results

    # --- end streams

    def delete_stream(
        self,
        stream_id: str,
        *,
        expected_version: ExpectedVersion,
        reason: str,
        metadata: Mapping[str, Any] | None = None,
        reusable: bool = False,
    ) -> AppendResult:
        """Delete the events of a stream and its snapshots for good, and leave one event that says so.

        That event is the last of the stream, of type `$stream-deleted`, with the data `{"reason": …, "reusable": …}`
        and the metadata given here: the audit. Reading the stream returns it alone; projections receive it like any
        other, in its place in the global order, and remove what they know. Those that have not read the deleted events
        by then never will. Pending dead letters of the stream are discarded.

        Backups still have the events, and so has whatever was sent elsewhere. All is done in one transaction, under the
        lock of the stream's head; a transaction of its own, or a savepoint in the joined one. The database user needs
        the right to DELETE from es_events.

        Args:
            stream_id: The stream.
            expected_version: The version that it must have; or `STREAM_EXISTS`.
            reason: Why, for those who come later. It is kept, so it should name no person.
            metadata: Who, in which request: as for `append`.
            reusable: Whether the stream can be appended to again: after that event, at its version. Versions go on, so
                that no reader sees them go back.

        Returns:
            The version and position of the last event; for `wait_for`, say.

        Raises:
            ConcurrencyConflict: The stream has another version, or does not exist.
            StreamClosed: It was deleted or archived already: on a repetition, all is well.
            InvalidInput: An argument is not valid.
            SchemaOutdated: The tables are older than `es_0006`.
        """
        return StreamDeleter(self._core).delete(
            stream_id, expected_version=expected_version, reason=reason, metadata=metadata, reusable=reusable
        )

    def archive_stream(
        self,
        stream_id: str,
        *,
        into: "EventStore",
        expected_version: ExpectedVersion,
        reason: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> AppendResult:
        """Move the events of a stream into another store, the archive, and leave one event that says so.

        The archive is a store like any other: a SQLite file, another database, another schema of this one. There the
        stream is read as before, with its versions, ids, times and positions. Here, the event of type
        `$stream-archived` is the last of the stream, with the data `{"reason": …, "reusable": False}`; projections
        receive it. Whoever reads all events from now on, to rebuild a projection say, does not find those of the
        archive.

        The archive commits first, then this store. Interrupted between the two, or refused by a handler of an inline
        projection, the events are in both; repeat the call. One archive takes the streams of one store, because it
        keeps positions. Nobody should subscribe to it: streams come into it with positions that a reader may have
        passed.

        Args:
            stream_id: The stream.
            into: The archive, with its tables in place; not joined to a transaction.
            expected_version: The version that the stream must have; or `STREAM_EXISTS`.
            reason: Why, for those who come later.
            metadata: Who, in which request: as for `append`.

        Returns:
            The version and position of the last event.

        Raises:
            ConcurrencyConflict: The stream has another version, or does not exist.
            StreamClosed: It was deleted or archived already: on a repetition, all is well.
            ImportConflict: The archive has something else at the same place.
            InvalidInput: An argument is not valid, or the archive is the store itself.
            SchemaOutdated: The tables of one of them are older than `es_0006`.
        """
        if not isinstance(into, EventStore) or into.core.execution.is_joined:
            msg = "into is an EventStore, not joined to a transaction: the archive"
            raise InvalidInput(msg)
        same_schema = into.tables.metadata.schema == self.tables.metadata.schema
        if same_database(into.engine, self.engine) and (same_schema or self.engine.dialect.name == "sqlite"):
            msg = "the archive is this store itself; give it another database, or another PostgreSQL schema"
            raise InvalidInput(msg)
        return archive(
            self._core,
            stream_id,
            into=into.core,
            expected_version=expected_version,
            reason=reason,
            metadata=metadata,
        )

    # --- read

    def read_stream(
        self,
        stream_id: str,
        *,
        after_version: int = 0,
        up_to_version: int | None = None,
        limit: int | None = None,
        backwards: bool = False,
        upcast: bool = True,
    ) -> Iterator[RecordedEvent]:
        """Read the events of a stream, one page at a time.

        Each page is a query of its own: nothing is held open between two events, and you may stop at any of them.

        Args:
            stream_id: The stream. One that does not exist has no events.
            after_version: Exclusive; read events of higher versions. Defaults to 0: from the first.
            up_to_version: Inclusive; read events of at most this version. Defaults to None: to the last.
            limit: Read at most so many stored events. Defaults to None: all. Where upcasters split or drop events, more
                or fewer are returned.
            backwards: Read the newest first.
            upcast: False to see what is stored: plain data under the stored event type and schema version.

        Returns:
            An iterator in order of the versions, ascending or, if `backwards`, descending. The events that a splitter
            has made of one stored event have the same version.

        Raises:
            InvalidInput: An argument is not valid. Raised by the call, all others by the iteration.
            DecodingError: An event can't be read, does not fit its class, can't be upcast, or is too new.
            SchemaError: The database does not have the tables that this code needs.
        """
        return self._reader.read_stream(
            stream_id,
            after_version=after_version,
            up_to_version=up_to_version,
            limit=limit,
            backwards=backwards,
            upcast=upcast,
        )

    def stream_version(self, stream_id: str) -> int:
        """Return the version of a stream: that of its newest event, 0 where it does not exist.

        Raises:
            InvalidStreamId: The stream id is not valid.
            SchemaError: The database does not have the tables that this code needs.
        """
        return self._reader.stream_version(stream_id)

    def list_streams(
        self,
        *,
        category: str | None = None,
        order: StreamOrder = StreamOrder.ID,
        after_stream_id: str | None = None,
        limit: int | None = None,
    ) -> Iterator[StreamInfo]:
        """List the streams, one page at a time.

        In order of their ids it is quick on any number of streams. The other orders have no index: each page looks at
        every stream, so give a limit no larger than the store's page size. Streams that are appended to meanwhile may
        be listed twice or not at all there.

        Args:
            category: List those of this category. Defaults to None: all.
            order: By id, the longest first, or that which was last appended to first.
            after_stream_id: Exclusive; go on after this stream, in the same order. Defaults to None: from the first.
            limit: List at most so many. Defaults to None: all.

        Returns:
            An iterator in that order; streams of the same size or time in order of their ids.

        Raises:
            InvalidInput: An argument is not valid. By the iteration: there is no stream `after_stream_id`, in another
                order than that of the ids.
            SchemaError: The database does not have the tables that this code needs.

        Example:
            ```python
            for stream in store.list_streams(category="order", order=StreamOrder.SIZE, limit=10):
                print(stream.stream_id, stream.version)
            ```
        """
        return self._reader.streams(category=category, order=order, after_stream_id=after_stream_id, limit=limit)

    def read_all(
        self,
        *filters: EventFilter,
        after_position: int | PositionToken = 0,
        limit: int | None = None,
        backwards: bool = False,
        wait_seconds: float = 1.0,
        upcast: bool = True,
    ) -> Iterator[RecordedEvent]:
        """Read the events of all streams in the one global order, one page at a time.

        Only settled events are returned: those before which no other can appear any more. So whoever keeps the position
        of the last event, and reads on after it, gets every event once, and the versions of each stream ascend.

        The end is what is newest when the iteration begins. An append that is under way by then, and has drawn a lower
        position than others that are stored already, is waited for; usually that takes a few milliseconds.

        Each page is a query of its own: nothing is held open between two events, and you may stop at any of them.

        With `backwards=True` the same events come in the opposite order, the newest first; so with a limit of n, they
        are the last n that match. It, too, waits for appends that are under way when it begins. If `wait_seconds` is
        over before they have ended, it begins below the first of them: it passes over no position at which an event
        can still appear. It is for looking back: to go on with new events later, keep the token of the first event that
        it returned, and read after that forwards.

        On a joined store, the transaction must be at READ COMMITTED and must not have appended (on SQLite, not have
        written), and on a standby none will do.

        Args:
            filters: What to read: events that match one of them, each once. Defaults to none: all events.
            after_position: Exclusive; read events of higher positions. Defaults to 0: from the first.
            limit: Read at most so many stored events. Defaults to None: all. Where upcasters split or drop events, more
                or fewer are returned.
            backwards: Read the newest first, down to `after_position`.
            wait_seconds: How long to wait, in all, for appends under way; then the iteration ends before them, or
                begins before them if `backwards`. Defaults to 1. With 0 it never waits.
            upcast: As for `read_stream`.

        Returns:
            An iterator in order of positions, ascending or, if `backwards`, descending.

        Raises:
            InvalidInput: An argument is not valid. Raised by the call, all others by the iteration.
            DecodingError: An event can't be read, or does not fit its class.
            UnsuitableTransaction: The joined transaction does not see what others commit, or has itself appended.
            LogWentBack: The log does not have the event of the token `after_position` any more; or, if `backwards`, it
                went back while it was being read.
            PositionBeyondLog: The log has never come as far as `after_position`.
            PositionCacheEnabled: The sequence of positions has a CACHE other than 1.
            SchemaError: The database does not have the tables that this code needs.

        Example:
            ```python
            orders = EventFilter(categories=["order"])
            for event in store.read_all(orders, after_position=last_position):
                last_position = event.position
            last_ten = list(store.read_all(orders, backwards=True, limit=10))
            ```
        """
        return self._global_order.read_all(
            filters,
            after_position=after_position,
            limit=limit,
            backwards=backwards,
            wait_seconds=wait_seconds,
            upcast=upcast,
        )

    def settled_position(self) -> int:
        """Return a position that is settled: no event can appear at or before it any more. 0 where there is none.

        It does not wait. While others append, it may be lower than the position of the last event, the first time far
        lower, but never too high; it does not go down.

        Raises:
            UnsuitableTransaction: As for `read_all`.
            PositionCacheEnabled: The sequence of positions has a CACHE other than 1.
            SchemaError: The database does not have the tables that this code needs.
        """
        return self._global_order.settled_position()

    def subscribe(
        self,
        *filters: EventFilter,
        after_position: int | PositionToken,
        idle_timeout_seconds: float | None = None,
        shortest_interval_seconds: float = 0.005,
        longest_interval_seconds: float = 0.25,
        notify: bool = False,
    ) -> Subscription:
        """Read the events of all streams in the global order, and go on with those that are appended.

        What `read_all` says about settled events holds here, too: keep the position of the last event, subscribe after
        it again, and no event is missed or repeated, whatever has been restarted meanwhile.

        It polls: quickly while events come, less and less often while none do. Lost connections and restarts of the
        server are waited out, with a warning in the log. The first connection has to succeed.

        Args:
            filters: As for `read_all`.
            after_position: Exclusive; begin with events of higher positions. 0: from the first.
            idle_timeout_seconds: End when no event has come for so long. Defaults to None: go on until `stop`.
            shortest_interval_seconds: How long to wait before looking again when there has just been an event, from
                0.001.
            longest_interval_seconds: How long at most. At rest, a look is one query of an index.
            notify: Listen for notifications as well (PostgreSQL), on a direct connection of the subscription's own.
                They come from stores made with `notify=True`. Polling goes on, as a safety net.

        Raises:
            InvalidInput: An argument is not valid, or `notify` was asked for on SQLite.
            UnsuitableTransaction: This store is joined to a transaction.
            EventStoreError: By the iteration: as for `read_all`.

        Example:
            ```python
            with store.subscribe(EventFilter(categories=["order"]), after_position=last_position) as subscription:
                for event in subscription:
                    print(event.position, event.event_type)
            ```
        """
        if self._core.execution.is_joined:
            raise UnsuitableTransaction("would be open for as long as the subscription")
        if check_flag("notify", notify) and not self._core.driver.has_notifications:
            raise InvalidInput("notify is for PostgreSQL; SQLite has no notifications, subscriptions poll it")
        pace = Pace(
            shortest=check_seconds("shortest_interval_seconds", shortest_interval_seconds, minimum=0.001),
            longest=check_seconds("longest_interval_seconds", longest_interval_seconds, minimum=0.001),
            idle_timeout=math.inf
            if idle_timeout_seconds is None
            else check_seconds("idle_timeout_seconds", idle_timeout_seconds),
        )
        return Subscription(
            self._global_order,
            self._core.driver,
            combine(filters),
            after=After.of(after_position),
            pace=pace,
            listen=(lambda: self._core.driver.listen(self._engine)) if notify else None,
            observer=self._core.observer,
        )

    def check_event_types(self, *, sample_size: int = 1000) -> list[EventTypeFinding]:
        """Read a sample of the events of each type by this store's event types, to see whether this code can.

        The first and the last event of each type are in the sample, and others evenly between their positions. So a
        schema version that only a few events have can be missed. It needs one query for each event type, which is quick
        on a table of any size.

        Args:
            sample_size: About how many events of each type to read, from 1.

        Returns:
            One for each event type and schema version that was found, sorted. Nothing is raised for what can't be read.

        Raises:
            InvalidInput: An argument is not valid.
            SchemaError: The database does not have the tables that this code needs.
        """
        return check_event_types(self._core, sample_size=sample_size)

    def health(
        self,
        *,
        timeout_seconds: float = 2.0,
        projections: Iterable[str] | None = None,
        max_lag_seconds: float | None = None,
        max_lag_events: int | None = None,
        max_dead_letters: int | None = None,
        max_failed_projections: int | None = None,
        max_pool_use: float | None = None,
    ) -> Health:
        """Say whether the database answers, its tables fit this code, and projections keep up.

        For readiness endpoints and alarms. It needs one connection of the pool and two queries of indexes. A database
        that is down is not an error but an answer. Also on a joined store, it looks from outside of the transaction; on
        a SQLite database in memory, or without a write-ahead log, it then waits for that transaction in vain.

        By itself, only a database that does not answer and tables that don't fit are problems; the options say what
        else is. All that is found is told, a problem or not.

        Args:
            timeout_seconds: How long to wait for an answer, at most. A database in memory of one thread is not limited.
            projections: Look at these only, and find a problem where one has never run. With none, `()`, their tables
                are not read, for which the user of a web application may have no right. Defaults to None: all.
            max_lag_seconds: How old, at most, the oldest event may be that a projection has not handled.
            max_lag_events: How many events a projection may be behind, below 10,000.
            max_dead_letters: How many dead letters a projection may have, below 10,000.
            max_failed_projections: How many projections may have stopped at an event.
            max_pool_use: Which part of the connections that the pool allows may be in use, between 0 and 1.

        Raises:
            InvalidInput: An argument is not valid.

        Example:
            ```python
            health = store.health(max_lag_seconds=60, max_dead_letters=0)
            return jsonify(health.as_dict()), 200 if health.ok else 503
            ```
        """
        thresholds = Thresholds.checked(
            projections=projections,
            max_lag_seconds=max_lag_seconds,
            max_lag_events=max_lag_events,
            max_dead_letters=max_dead_letters,
            max_failed_projections=max_failed_projections,
            max_pool_use=max_pool_use,
        )
        return self._check_health(thresholds, timeout_seconds=timeout_seconds)

    # --- transactions

    def join(self, target: Session | scoped_session[Any] | Connection) -> "EventStore":
        """Return this store inside the transaction of a session or connection.

        What it appends is committed or rolled back with the caller's own work. It never begins, commits, rolls back or
        closes; where several statements must be all or nothing it uses a savepoint. The returned store is as
        short-lived as the session, and no more thread-safe.

        Args:
            target: A SQLAlchemy Session, scoped_session or Connection, of the same database as the store's engine.

        Raises:
            DatabaseMismatch: The target is bound to another database, or to none.
            InvalidInput: The target is none of these.
            NotInTransaction: At the first use: the target's connection is in AUTOCOMMIT.

        Example:
            ```python
            with Session(engine) as session, session.begin():
                session.add(invoice)
                store.join(session).append("order-42", events, expected_version=1)
            ```
        """
        if not isinstance(target, Connection | Session | scoped_session):
            msg = f"join a Session, scoped_session or Connection of SQLAlchemy, not {type(target).__name__}"
            raise InvalidInput(msg)
        bind = target.engine if isinstance(target, Connection) else _bind_of(target)
        if not same_database(bind, self._engine):
            msg = (
                f"the store is on {self._engine.url!r}, the session or connection on {bind.url!r}; "
                "join one of the store's database, or make a store of its engine"
            )
            raise DatabaseMismatch(msg)

        def connect() -> Connection:
            return target if isinstance(target, Connection) else target.connection()

        return self.with_core(replace(self._core, execution=self._core.execution.joined(connect)))

    @contextmanager
    def transaction(self) -> Iterator["EventStore"]:
        """Open a transaction for several calls: committed at the end of the block, rolled back if an error leaves it.

        On a joined store, it is a savepoint in the caller's transaction. On SQLite, all other writers wait until the
        block ends: also the outer store, used in the block by mistake.

        Raises:
            TransactionBroken: On PostgreSQL an error inside of the block has aborted the transaction, and was caught
                there. Nothing was stored.

        Example:
            ```python
            with store.transaction() as tx:
                tx.append("order-42", paid, expected_version=1)
                tx.append("invoice-7", opened, expected_version=NO_STREAM)
                tx.connection.execute(invoices.insert(), {"number": 7})
            ```
        """
        with self._core.begin() as core:
            yield self.with_core(core)

    @contextmanager
    def allow_history_changes(self) -> Iterator[None]:
        """Let statements of your own change es_events until the end of the block, in the transaction joined to.

        Triggers refuse UPDATE, DELETE and TRUNCATE otherwise. Think twice: what has been read already (by projections,
        by other systems) is not changed with it. No rows of es_streams are changed for you. To delete a stream, there
        is `delete_stream`.

        Raises:
            NotInTransaction: This store is not joined to a transaction.
            SchemaOutdated: The tables are older than `es_0006`, which has the triggers.

        Example:
            ```python
            with store.transaction() as tx, tx.allow_history_changes():
                tx.connection.execute(update(tx.tables.events).where(…).values(…))
            ```
        """
        if not self._core.execution.is_joined:
            raise NotInTransaction("history is changed in a transaction; open one: with store.transaction() as tx")
        with self._core.execution.statement() as run:
            SchemaGate(REQUIRED_BY_HISTORY_CHANGES)(run)
            with history_changes(self._core.dialect, run):
                yield


class _OwnEngine:
    """The engine of a store made by `from_url`. Its pool is closed with the last store that was made of that one."""

    def __init__(self, engine: Engine) -> None:
        self.dispose = engine.dispose
        weakref.finalize(self, engine.dispose)


def _bind_of(session: Session | scoped_session[Any]) -> Engine:
    try:
        return session.get_bind().engine
    except UnboundExecutionError:
        msg = "the session as a whole is bound to no engine; bind it, or join a connection of the store's database"
        raise DatabaseMismatch(msg) from None
