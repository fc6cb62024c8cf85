"""The event store: append, read, join."""

import math
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, Unpack, overload
from uuid import UUID

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session, scoped_session

from eventstore.backends import address_of, backend_for, check_engine, engine_of_store, same_database
from eventstore.backends.running import can_share
from eventstore.boundaries import Boundary, check_condition
from eventstore.codecs import Codec
from eventstore.common.validation import check_flag, check_seconds
from eventstore.core.appending import Appender
from eventstore.core.archiving import archive
from eventstore.core.boundaries import read_boundary
from eventstore.core.catching_up import wait_for_event
from eventstore.core.core import Core
from eventstore.core.deletion import StreamDeleter, history_changes
from eventstore.core.event_type_check import check_event_types
from eventstore.core.execution import OwnConnections
from eventstore.core.global_order import GlobalOrder
from eventstore.core.group_commit import GroupCommit
from eventstore.core.idle import IdleReaders
from eventstore.core.notifier import Notifier, notifying
from eventstore.core.options import StoreOptions
from eventstore.core.period import Period
from eventstore.core.reading import Reader
from eventstore.core.schema_version import REQUIRED_BY_HISTORY_CHANGES, SchemaGate, create_schema
from eventstore.core.tagged_appending import TaggedAppender
from eventstore.errors import (
    ConcurrencyConflict,
    DatabaseMismatch,
    EventNotReached,
    InvalidInput,
    NotInTransaction,
    UnsuitableTransaction,
)
from eventstore.event_types import EventTypeFinding, EventTypes
from eventstore.events import Append, AppendResult, RecordedEvent, check_appends
from eventstore.filters import EventFilter, combine
from eventstore.health import Health
from eventstore.health.check import HealthCheck
from eventstore.health.thresholds import Thresholds
from eventstore.observer import NO_OBSERVER, DatabaseAddress, Observer
from eventstore.rows.mapper import PendingAppend
from eventstore.snapshots import SnapshotStore
from eventstore.streams import ExpectedVersion, StreamInfo, StreamOrder
from eventstore.subscriptions import PollInterval, Subscription
from eventstore.tables import Tables
from eventstore.tokens import After, HasToken, PositionToken, token_of


class EventStore:
    """Appends events to streams and reads them back.

    A store is cheap and thread-safe. Make one for each process, next to the engine, and share it. After a fork, the
    child process leaves its parent's connections alone and opens new ones. A store can't be pickled.

    Args:
        engine: The application's engine, for PostgreSQL with psycopg 3 or for SQLite. The application still owns it:
            the store takes connections from its pool, changes nothing about it, and never disposes of it.
        event_types: The classes of typed events. Defaults to none: data is read as plain values.
        codec: How payloads are written. Defaults to MessagePack.
        also_reads: Your codecs that older rows were written with. MessagePack and JSON are always read.
        compress_above: Compress payloads of more bytes than this with zstd (extra `zstd`). Defaults to None: never.
        page_size: How many events a read fetches at a time, from 1. A read holds at most one page in memory.
        lock_timeout_seconds: How long a writer waits for SQLite's write lock. PostgreSQL has its own setting,
            `lock_timeout`.
        schema: The PostgreSQL schema that the tables are in; migrate it under the same name. Defaults to None: the
            first of the connection's search path. One database can hold several stores, each in its schema.
        notify: Notify subscriptions of appends, by NOTIFY (PostgreSQL), and let this store's subscriptions listen. They
            receive events some milliseconds earlier than by polling. A thread with a connection of its own sends at
            most one in five milliseconds. In a joined transaction each append sends one with the commit; such commits
            wait for each other.
        group_commit: Store appends that wait for each other, from several threads of this process, in one transaction,
            each with its own result. Defaults to None: yes on SQLite, no on PostgreSQL, where it pays with many
            more than 8 threads.

    Raises:
        UnsupportedDatabase: The engine is for another database or driver.
        InvalidInput: An option is not valid.
        UpcasterMissing: No upcasters lead from a schema version to the newest; see `EventTypes.validate`.

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
        group_commit: bool | None = None,
    ) -> None:
        self._engine = check_engine(engine)
        self._own_engine: _OwnEngine | None = None
        backend = backend_for(
            engine,
            lock_timeout_seconds=lock_timeout_seconds,
            schema=schema,
            notify=notify,
            group_commit=group_commit,
        )
        grouping = backend.grouping
        core = Core.of(
            backend.connections,
            backend.dialect,
            lambda gate: OwnConnections(engine, backend.connections, gate),
            event_types=event_types,
            codec=codec,
            also_reads=also_reads,
            compress_above=compress_above,
            page_size=page_size,
            group_commit=None if grouping is None else GroupCommit(grouping, partial(can_share, engine)),
        )
        self._check_health = HealthCheck(engine, core.execution, backend.dialect)
        self._idle_readers = {}
        self._notifier = None
        if notify:
            self._notifier = Notifier(lambda: backend.connections.sender(engine))
            core = replace(core, after_append=(notifying(self._notifier),))
        self._use(core)

    _notifier: Notifier | None
    """Notifies of appends; None if the store does not, or not by a connection of its own."""

    _idle_readers: dict[bool, IdleReaders]
    """The subscriptions that wait for events, by whether they listen for notifications."""

    def _use(self, core: Core) -> None:
        self._core = core
        for part in ("_appender", "_reader", "_global_order", "snapshots"):
            self.__dict__.pop(part, None)

    @property
    def core(self) -> Core:
        """The inner parts, for the package itself. Not part of the public API."""
        return self._core

    def with_core(self, core: Core) -> Self:
        """Return this store with other inner parts, for the package itself. Not part of the public API."""
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
        """Return a store on a new engine with sound defaults; `close` it, or use it as a context manager.

        On PostgreSQL, the pool has 5 to 20 connections, a caller waits 30 seconds for one, and `application_name` is
        `eventstore`. On SQLite, there is a write-ahead log, foreign keys are enforced, every commit is synced to disk,
        and a writer waits 30 seconds for the lock.

        Args:
            url: `postgresql://user@host/database`, `sqlite:///file.db`, or `sqlite://` for a new database in memory.
            engine_options: For `sqlalchemy.create_engine`, such as `{"pool_size": 10}`; they override the defaults.
            options: As for the constructor: `event_types`, `codec`, `also_reads`, `compress_above`, `page_size`,
                `lock_timeout_seconds`, `schema`, `notify`, `group_commit`.

        Raises:
            UnsupportedDatabase: The URL is for another database or driver.
            DriverMissing: The URL is for PostgreSQL, and psycopg is not installed.
            InvalidInput: An option is not valid.
        """
        store = cls(engine_of_store(url, engine_options, options), **options)
        store._own_engine = _OwnEngine(store.engine)
        return store

    @classmethod
    def in_memory(cls, **options: Unpack[StoreOptions]) -> Self:
        """Return a store on a new SQLite database in memory, with its tables in place, for tests and notebooks.

        It is as thread-safe as any other store. The database is gone when the store is. Needs SQLite 3.36.

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
        """The engine, for migrations, and for sessions that the store joins."""
        return self._engine

    @property
    def tables(self) -> Tables:
        """The tables, for your own queries."""
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
        """The connection of the transaction that this store is joined to, for your own writes in it.

        Raises:
            NotInTransaction: This store is not joined to a transaction; see `transaction` and `join`.
        """
        return self._core.execution.connection

    def close(self) -> None:
        """Close the pool of a store made by `from_url` or `in_memory`. The application's own engine is left alone.

        With `notify=True`, also send what is left to notify of, and close the connection for that.
        """
        if self._core.execution.is_joined:
            return
        if self._notifier is not None:
            self._notifier.close()
        if self._own_engine is not None:
            self._own_engine.dispose()

    @property
    def address(self) -> DatabaseAddress:
        """Where the database is, for observers."""
        return address_of(self._engine, self._core.dialect.schema)

    @property
    def observer(self) -> Observer:
        """The observer that is called for each operation."""
        return self._core.observer.current

    def observe(self, observer: Observer) -> None:
        """Call an observer for each operation from now on, of this store and of every store that was made from it.

        So it doesn't matter when repositories, workers and joined stores are made. They all have one observer at a
        time. `eventstore.contrib.opentelemetry.instrument` sets one for OpenTelemetry.
        """
        self._core.observer.current = observer

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
            "an EventStore can't be pickled, because its connections belong to this process; "
            "pass the URL to the other process, and make a store there"
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
        condition: Boundary | Iterable[Boundary] | None = None,
    ) -> AppendResult:
        """Append one event or several to a stream: all of them or none.

        Locks the stream's head until the transaction ends. Writers of one stream wait for each other; writers of
        different streams don't, except on SQLite, where all writers do. Without a joined transaction, the events are
        committed when this returns.

        An append can be repeated idempotently, for example after a lost connection: pass the same `NewEvent` objects,
        or the same event ids, and the same expected version. The store recognises the duplicate and writes nothing.
        Type, schema version and data must be the same, metadata may differ. Duplicates are not recognised with `ANY`
        and `STREAM_EXISTS`, nor for objects of registered classes, which get a new id in each call; turn those into
        `NewEvent`s once, by `EventTypes.new_event`.

        Args:
            stream_id: 1 to 255 characters, such as `order-42`. The part before the first `-` is its category.
            events: A `NewEvent` or an object of a registered class, or an iterable of at least one of these. 100,000 in
                one call are fine if they fit in memory.
            expected_version: The version that the stream must have, for optimistic concurrency: the one that your
                decision was based on. `NO_STREAM` (0) if it must not exist yet, `STREAM_EXISTS`, or `ANY` for no check.
            metadata: JSON values by string keys, for all of these events. An event's own metadata overrides them.
            condition: What `read_boundary` has returned, or a list of at least one of these. If an event has come
                between since then that one of its queries matches, the append is refused. Appends of events with tags,
                and those with a condition, lock their tags until the transaction ends, before the stream's head.

        Returns:
            The new version of the stream and the position of the last event; `duplicate=True` if the events were
            already stored.

        Raises:
            ConcurrencyConflict: The stream has another version. A joined transaction stays usable.
            BoundaryChanged: An event has come between; likewise.
            TooManyTags: The transaction would lock more tags than it may; likewise.
            UnsuitableTransaction: The joined transaction is not at READ COMMITTED, and tags or a condition were given.
            EventIdReused: The event ids are already stored at these versions, with other content.
            StreamClosed: The stream was deleted or archived, and takes no more events.
            InvalidInput: An argument is not valid; see its subclasses. Nothing was written.
            EncodingError: Data can't be stored exactly. Nothing was written.
            UnregisteredEventType: An object is neither a NewEvent nor of a registered class.
            SchemaError: The database does not have the tables that this code needs.
            DatabaseBusy: SQLite's write lock was not available in time.
        """
        core = self._core
        if core.observer.current is NO_OBSERVER:
            append = Append(stream_id, events, expected_version=expected_version, metadata=metadata)
            pending = core.mapper.pending(append)
            if pending.tags is None and condition is None:
                return self._appender.append(pending)
            return TaggedAppender(core, check_condition(condition)).append(pending)
        with core.observer.operation("append", stream_id=stream_id) as observed:
            append = Append(stream_id, events, expected_version=expected_version, metadata=metadata)
            pending = core.mapper.pending(append)
            result = self._appender_of([pending], condition).append(pending)
            observed.note(events=len(pending))
        return result

    def _appender_of(
        self, appends: Iterable[PendingAppend], condition: Boundary | Iterable[Boundary] | None
    ) -> Appender:
        boundaries = check_condition(condition)
        if not boundaries and all(pending.tags is None for pending in appends):
            return self._appender
        return TaggedAppender(self._core, boundaries)

    @overload
    def append_many(
        self,
        appends: Iterable[Append],
        *,
        atomic: Literal[True] = True,
        condition: Boundary | Iterable[Boundary] | None = None,
    ) -> list[AppendResult]: ...

    @overload
    def append_many(
        self,
        appends: Iterable[Append],
        *,
        atomic: Literal[False],
        condition: Boundary | Iterable[Boundary] | None = None,
    ) -> list[AppendResult | ConcurrencyConflict]: ...

    def append_many(
        self,
        appends: Iterable[Append],
        *,
        atomic: bool = True,
        condition: Boundary | Iterable[Boundary] | None = None,
    ) -> list[AppendResult] | list[AppendResult | ConcurrencyConflict]:
        """Append to several streams in one transaction: all or nothing, or each append independently.

        Streams are locked in sorted order, so that two calls never deadlock. One stream may occur several times; its
        appends follow each other in the order of the list.

        Args:
            appends: The appends. The list may be empty.
            atomic: Whether a conflict on one stream prevents all appends. If False, the appends that conflict are
                skipped, and the others are stored.
            condition: As for `append`. If an event has come between, none of the appends is stored.

        Returns:
            One result for each append, in the same order. If not `atomic`, the result of a skipped append is its
            ConcurrencyConflict, which is not raised.

        Raises:
            ConcurrencyConflict: A stream has another version; if several have, the first of them in the list. Nothing
                was written. Only if `atomic`.
            BoundaryChanged: An event has come between, whether `atomic` or not. Nothing was written.
            EventStoreError: As for `append`, for example because a stream was deleted or archived. Nothing was written,
                whether `atomic` or not.
        """
        check_flag("atomic", atomic)
        with self._core.observer.operation("append_many") as observed:
            pending = [self._core.mapper.pending(append) for append in check_appends(appends)]
            results = self._appender_of(pending, condition).append_many(pending, atomic=atomic)
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
        """Delete the events of a stream and its snapshots for good, and leave a tombstone.

        The tombstone is the last event of the stream. Its type is `$stream-deleted`, its data is `{"reason": …,
        "reusable": …}`, and the metadata given here records who has deleted the stream. Reading the stream returns the
        tombstone alone. Projections receive it like any other event, in the global order, and should remove what they
        have stored of the stream; a projection that has not handled the deleted events by then never receives them.
        Pending dead letters of the stream are discarded.

        Backups and other systems that have received the events still have them. Everything happens under the lock of
        the stream's head, in one transaction, or in a savepoint if the store is joined to one. The database user needs
        the right to DELETE from es_events.

        Args:
            stream_id: The stream.
            expected_version: The version that it must have, or `STREAM_EXISTS`.
            reason: Why the stream is deleted. It is kept, so it should name no person.
            metadata: JSON values by string keys, such as who has asked for it and in which request.
            reusable: Whether events can be appended to the stream again, after the tombstone. Versions continue from
                there, so that readers never see them go back.

        Returns:
            The version and position of the tombstone, which `wait_for` accepts.

        Raises:
            ConcurrencyConflict: The stream has another version, or does not exist.
            StreamClosed: It was already deleted or archived; a caller who repeats the call can ignore this.
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
        """Move the events of a stream into another store, the archive, and leave a tombstone.

        The archive is an ordinary store: a SQLite file, another database, or another schema of this one. There the
        stream can be read as before, with its versions, ids, times and positions. Here, the tombstone is the last event
        of the stream, of type `$stream-archived` with the data `{"reason": …, "reusable": False}`. Projections receive
        it. Later reads of all events, for example to rebuild a projection, do not return the archived events.

        The archive commits first, then this store. If the call is interrupted between the two, or a handler of an
        inline projection fails, the events are in both; repeat the call. An archive takes the streams of one store
        only, because it keeps positions. Do not subscribe to it, and do not decide by its events without tags, because
        streams are added at positions that a reader may have passed.

        Args:
            stream_id: The stream.
            into: The archive, with its tables in place; not joined to a transaction.
            expected_version: The version that the stream must have, or `STREAM_EXISTS`.
            reason: Why the stream is archived. It is kept, so it should name no person.
            metadata: JSON values by string keys, such as who has asked for it and in which request.

        Returns:
            The version and position of the tombstone.

        Raises:
            ConcurrencyConflict: The stream has another version, or does not exist.
            StreamClosed: It was already deleted or archived; a caller who repeats the call can ignore this.
            ImportConflict: The archive has other events at the same versions or positions.
            InvalidInput: An argument is not valid, or the archive is the store itself.
            SchemaOutdated: The tables of one of them are older than `es_0006`.
        """
        if not isinstance(into, EventStore) or into.core.execution.is_joined:
            msg = "into must be an EventStore that is not joined to a transaction; pass the archive"
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
        event_types: Iterable[str] | None = None,
        upcast: bool = True,
    ) -> Iterator[RecordedEvent]:
        """Read the events of a stream, one page at a time.

        Each page is a separate query. Nothing is held open between two events, and you may stop at any of them.

        Args:
            stream_id: The stream. A stream that does not exist has no events.
            after_version: Exclusive; read events of higher versions. Defaults to 0: from the first event.
            up_to_version: Inclusive; read events of at most this version. Defaults to None: to the last event.
            limit: Read at most so many stored events. Defaults to None: all. If upcasters split or drop events, more
                or fewer are returned.
            backwards: Read the newest first.
            event_types: Read events of these types only, by their stored names. Defaults to None: all. The database
                passes the others, which is fast in streams of thousands of events; for longer ones, add the index that
                "Add and drop indexes" describes.
            upcast: Pass False to read what is stored: plain data with the stored event type and schema version.

        Returns:
            An iterator in order of the versions, ascending or, if `backwards`, descending. The events that a splitter
            has made of one stored event have the same version.

        Raises:
            InvalidInput: An argument is not valid. Raised by the call; the iteration raises all others.
            DecodingError: An event can't be read, does not fit its class, can't be upcast, or is too new.
            HistoryDetached: An event of the stream is in a part of the log that was detached. If `backwards`, after the
                events that are left.
            SchemaError: The database does not have the tables that this code needs.
        """
        return self._reader.read_stream(
            stream_id,
            after_version=after_version,
            up_to_version=up_to_version,
            limit=limit,
            backwards=backwards,
            event_types=event_types,
            upcast=upcast,
        )

    def first_and_last(self, stream_id: str, *, upcast: bool = True) -> tuple[RecordedEvent, RecordedEvent] | None:
        """Return the first and the last event of a stream, by one query.

        They are the first and the last event that `read_stream` returns. If the stream has one event, it is both.

        Args:
            stream_id: The stream.
            upcast: As for `read_stream`.

        Returns:
            Both; None if the stream has no events.

        Raises:
            InvalidInput: An argument is not valid.
            DecodingError: As for `read_stream`.
            SchemaError: The database does not have the tables that this code needs.
        """
        return self._reader.first_and_last(stream_id, upcast=upcast)

    def find_events(
        self,
        *,
        event_id: UUID | None = None,
        correlation_id: str | UUID | None = None,
        causation_id: str | UUID | None = None,
        after_position: int = 0,
        upcast: bool = True,
    ) -> Iterator[RecordedEvent]:
        """Find events by their id, or by the correlation id or causation id in their metadata.

        The store has no index for that, because each makes appends slower. Without one, the database reads the whole
        log; "Add and drop indexes" in the documentation has one for each of the three.

        Each page is a separate query, which sees what is committed then, settled or not, and what a joined transaction
        has itself appended. So don't read on after the result: an event can still appear before the last one.

        Args:
            event_id: The id of an event. A causation id, as `caused_by` makes it, is one, as a string.
            correlation_id: What `metadata["correlation_id"]` is, as a string.
            causation_id: What `metadata["causation_id"]` is, as a string.
            after_position: Exclusive. Where to begin, for example after a part of the log that was detached.
            upcast: As for `read_stream`.

        Returns:
            An iterator in order of positions.

        Raises:
            InvalidInput: Not exactly one id was given, or it is not valid. Raised by the call; the iteration raises all
                others.
            HistoryDetached: Events after `after_position` are in a part of the log that was detached, and may be among
                those looked for.
            DecodingError: As for `read_stream`.
            SchemaError: The database does not have the tables that this code needs.

        Example:
            ```python
            for event in store.find_events(correlation_id="request-19"):
                causation_id = event.metadata.get("causation_id")
                cause = causation_id and next(store.find_events(event_id=UUID(causation_id)), None)
            ```
        """
        return self._reader.find(
            event_id=event_id,
            correlation_id=correlation_id,
            causation_id=causation_id,
            after_position=after_position,
            upcast=upcast,
        )

    def stream_version(self, stream_id: str) -> int:
        """Return the version of a stream, which is that of its newest event; 0 if the stream does not exist.

        Raises:
            InvalidStreamId: The stream id is not valid.
            SchemaError: The database does not have the tables that this code needs.
        """
        return self._reader.stream_version(stream_id)

    def wait_for(
        self,
        at_least: PositionToken | HasToken | None,
        *,
        timeout_seconds: float = 1.0,
        settled: bool = False,
        fallback: "EventStore | None" = None,
    ) -> "EventStore":
        """Wait until this store's server shows an event, and return the store to read from.

        Use it with a store on a standby, to read your own writes there after an append on the primary. A standby
        replays commits in their order, so it also shows what was committed before the event, including your own tables.

        It polls, with backoff up to 0.05 seconds; a poll is one query on an index. On a primary, and on SQLite, one
        poll is enough. It holds no connection between polls.

        Args:
            at_least: The result of `append` or of a repository, an event that was read elsewhere, or a token. With
                None, or if a command has appended nothing, there is nothing to wait for.
            timeout_seconds: How long to wait.
            settled: Also wait until the global order is settled up to the event, so that `read_all` returns it. While
                an event before it may still appear, `read_all` ends before both.
            fallback: The store to read from after the timeout, or if the server does not answer: that of the primary,
                or of another standby, on which it waits in the same way. A joined store is returned without a wait.

        Returns:
            This store, or `fallback`.

        Raises:
            EventNotReached: The timeout has passed, and there is no fallback. It is also a TimeoutError.
            LogWentBack: The server will never show the event: it was lost in a failover or a restore, its transaction
                was not committed, or it is from another log. The fallback is not used then.
            InvalidInput: An argument is not valid.
            UnsuitableTransaction: This is a joined store. Wait before you join, and join the returned store.
            SchemaError: The database does not have the tables that this code needs.

        Example:
            ```python
            result = store.append("order-42", paid, expected_version=1)
            reader = replica.wait_for(result, timeout_seconds=0.2, fallback=store)
            events = list(reader.read_stream("order-42"))
            ```
        """
        token = token_of(at_least)
        check_seconds("timeout_seconds", timeout_seconds)
        check_flag("settled", settled)
        if not isinstance(fallback, EventStore | None):
            msg = f"fallback must be an EventStore or None, not {type(fallback).__name__}"
            raise InvalidInput(msg)
        if self._core.execution.is_joined:
            raise UnsuitableTransaction("would be open while it waits; wait before it, and join the result")
        if token is None:
            return self
        try:
            wait_for_event(self._core, token, timeout_seconds=timeout_seconds, settled=settled)
        except Exception as error:
            is_behind = isinstance(error, EventNotReached) or self._core.driver.is_transient(error)
            if fallback is None or not is_behind:
                raise
        else:
            return self
        if fallback.core.execution.is_joined:
            return fallback
        return fallback.wait_for(token, timeout_seconds=timeout_seconds, settled=settled)

    def list_streams(
        self,
        *,
        category: str | None = None,
        order: StreamOrder = StreamOrder.ID,
        after_stream_id: str | None = None,
        limit: int | None = None,
    ) -> Iterator[StreamInfo]:
        """List the streams, one page at a time.

        In order of the ids, this is fast with any number of streams. The other orders have no index: each page looks at
        every stream, so pass a limit no larger than the store's page size. In those orders, a stream that is appended
        to meanwhile may be listed twice or not at all.

        Args:
            category: List the streams of this category. Defaults to None: all.
            order: By id, by size (longest first), or by the time of the last append (latest first).
            after_stream_id: Exclusive; continue after this stream, in the same order. Defaults to None: from the first.
            limit: List at most so many. Defaults to None: all.

        Returns:
            An iterator in that order. Streams of the same size or time are in order of their ids.

        Raises:
            InvalidInput: An argument is not valid. Raised by the iteration if there is no stream `after_stream_id` and
                the order is not that of the ids.
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
        up_to_position: int | None = None,
        recorded_since: datetime | None = None,
        recorded_before: datetime | None = None,
        limit: int | None = None,
        backwards: bool = False,
        wait_seconds: float = 1.0,
        upcast: bool = True,
    ) -> Iterator[RecordedEvent]:
        """Read the events of all streams in the one global order, one page at a time.

        Only settled events are returned: no other event can appear before them any more. A reader who keeps the
        position of the last event, and reads on after it, gets every event exactly once, and the versions of each
        stream in ascending order.

        The iteration ends with the event that is newest when it begins. It waits for an append that is under way by
        then and has drawn a lower position than events that are already stored; that usually takes a few milliseconds.

        Each page is a separate query. Nothing is held open between two events, and you may stop at any of them.

        With `backwards=True` the same events are returned in the opposite order, the newest first; a limit of n returns
        the last n that match. The call also waits for appends that are under way when it begins. If `wait_seconds` is
        over before they have ended, it begins below the first of them, so that it skips no position at which an event
        can still appear. To continue with new events later, keep the token of the first event that it has returned, and
        read forwards after that.

        With a period of time, the order is still that of the positions. Times do not ascend like these: imported events
        keep theirs, and an append stores the time at which its statement began. So the database first finds the lowest
        and the highest position of the period by its index of times; between them, events of other times are left out.

        On a joined store, the transaction must be at READ COMMITTED, must not have appended (on SQLite, not have
        written), and must not be on a standby.

        Args:
            filters: Read the events that match at least one filter, each event once. Defaults to none: all events.
            after_position: Exclusive; read events of higher positions. Defaults to 0: from the first event.
            up_to_position: Inclusive; read events of at most this position. Defaults to None: to the newest event.
            recorded_since: Inclusive; read events that were recorded at this time or later, by the database's clock.
                A datetime with a time zone. Defaults to None: since ever.
            recorded_before: Exclusive; read events that were recorded before this time. Defaults to None: until now.
            limit: Read at most so many stored events. Defaults to None: all. If upcasters split or drop events, more
                or fewer are returned.
            backwards: Read the newest first, down to `after_position`.
            wait_seconds: How long to wait, in total, for appends under way; then the iteration ends before them, or
                begins before them if `backwards`. Defaults to 1. With 0 it never waits.
            upcast: As for `read_stream`.

        Returns:
            An iterator in order of positions, ascending or, if `backwards`, descending.

        Raises:
            InvalidInput: An argument is not valid. Raised by the call; the iteration raises all others.
            DecodingError: An event can't be read, or does not fit its class.
            UnsuitableTransaction: The joined transaction does not see what others commit, or has itself appended.
            LogWentBack: The log no longer has the event of the token `after_position`; or, if `backwards`, it went back
                during the read.
            HistoryDetached: A part of the log after `after_position` was detached, whatever the filters match. If
                `backwards`, after the events that are left.
            PositionBeyondLog: The log has never reached `after_position`.
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
            up_to_position=up_to_position,
            period=Period.of(recorded_since, recorded_before),
        )

    def count_events(
        self,
        *filters: EventFilter,
        after_position: int | PositionToken = 0,
        up_to_position: int | None = None,
        recorded_since: datetime | None = None,
        recorded_before: datetime | None = None,
        wait_seconds: float = 1.0,
    ) -> int:
        """Return how many stored events `read_all` would read with the same arguments, without reading them.

        The database counts, which takes time in proportion to the number: a fraction of a second for a million.

        Args:
            filters: As for `read_all`.
            after_position: As for `read_all`.
            up_to_position: As for `read_all`.
            recorded_since: As for `read_all`.
            recorded_before: As for `read_all`.
            wait_seconds: As for `read_all`; what is not settled by then is not counted.

        Raises:
            EventStoreError: As for `read_all`, in the call.

        Example:
            ```python
            paid_today = store.count_events(EventFilter(event_types=["order-paid"]), recorded_since=midnight)
            ```
        """
        return self._global_order.count(
            filters,
            after_position=after_position,
            up_to_position=up_to_position,
            wait_seconds=wait_seconds,
            period=Period.of(recorded_since, recorded_before),
        )

    def read_boundary(self, *queries: EventFilter, lock_all_appends: bool = False) -> Boundary:
        """Read the events that a decision depends on, to append on condition that there are no more of them.

        All of them are read in one query, which sees what is committed, and held in memory. No lock is taken. It also
        works on a standby; the append is made on the primary.

        Args:
            queries: Filters with tags, and with event types if you like, by their stored names. Events that match at
                least one of them are read, each once. At least one query, at most 100.
            lock_all_appends: Whether queries may be without tags, and have categories: `EventFilter(event_types=[…])`,
                or `EventFilter()` for every event. The append on this condition then locks out all other appends, to
                any stream, with tags or without, until its transaction ends: it waits for all that are under way, and
                all others wait for it. It should be the first of its transaction, and on PostgreSQL it needs the right
                to DELETE from es_streams. Reading still locks nothing.

        Returns:
            The events, in order of position, as an iterable value. Pass it to `append` as the condition.

        Raises:
            InvalidFilter: A query has no tags, or restricts more than tags and event types.
            DecodingError: An event can't be read, or does not fit its class.
            HistoryDetached: An event that matches is in a part of the log that was detached.
            SchemaOutdated: The tables are older than `es_0009`.
            InvalidInput: `lock_all_appends` is neither True nor False.

        Example:
            ```python
            boundary = store.read_boundary(EventFilter(tags=["course:c1"]), EventFilter(tags=["student:s7"]))
            if sum(event.event_type == "student-enrolled" for event in boundary) < 30:
                store.append("enrolment-1", enrolled, expected_version=NO_STREAM, condition=boundary)
            ```
        """
        return read_boundary(self._core, queries, lock_all_appends=lock_all_appends)

    def settled_position(self) -> int:
        """Return a settled position: no event can appear at or before it any more. 0 if there is none.

        It does not wait. While others append, the result may be lower than the position of the last event, at the first
        call far lower, but it is never too high, and it never goes down.

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
        """Read the events of all streams in the global order, and then new ones as they are appended.

        Like `read_all`, it returns settled events only. Keep the position of the last event, subscribe after it again,
        and no event is missed or repeated, even if the process or the server was restarted meanwhile.

        It polls, often while events arrive and with backoff while none do. Of the store's subscriptions that wait for
        events, one polls for all. If the connection is lost or the server restarts, it retries until it succeeds, with
        a warning in the log. Only the first connection has to succeed.

        Args:
            filters: As for `read_all`.
            after_position: Exclusive; begin with events of higher positions. 0: from the first event.
            idle_timeout_seconds: End when no event has arrived for this long. Defaults to None: run until `stop`.
            shortest_interval_seconds: How long to wait before the next poll after an event has arrived, from 0.001.
            longest_interval_seconds: How long to wait between two polls at most. A poll that finds nothing is one query
                of an index.
            notify: Listen for notifications as well (PostgreSQL), on a separate direct connection, one for all
                subscriptions of the store. Stores made with `notify=True` send them, and their subscriptions listen in
                any case. Polling continues, in case a notification is lost.

        Raises:
            InvalidInput: An argument is not valid, or `notify` is True on SQLite.
            UnsuitableTransaction: This store is joined to a transaction.
            EventStoreError: Raised by the iteration, as for `read_all`.

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
            raise InvalidInput("notify needs PostgreSQL; SQLite has no notifications, so subscriptions poll")
        interval = PollInterval(
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
            interval=interval,
            idle_readers=self._idle_readers_of(listens=notify or self._notifier is not None),
            observer=self._core.observer,
        )

    def _idle_readers_of(self, *, listens: bool) -> IdleReaders:
        """Return those who may wait for events together; of a store whose connections differ, each by itself."""
        core = self._core
        listen = (lambda: core.driver.listen(self._engine)) if listens else None
        alone = IdleReaders(core.execution, core.settling, core.driver, listen)
        return self._idle_readers.setdefault(listens, alone) if core.execution.polls_together else alone

    def check_event_types(self, *, sample_size: int = 1000) -> list[EventTypeFinding]:
        """Read a sample of the events of each type, to find types and schema versions that this code can't read.

        The sample has the first and the last event of each type, and others evenly between their positions, so it can
        miss a schema version that only a few events have. It takes one query for each event type, which is fast on a
        table of any size.

        Args:
            sample_size: About how many events of each type to read, from 1.

        Returns:
            One finding for each event type and schema version in the sample, sorted. Events that can't be read are
            findings, too, not errors.

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
        """Check whether the database answers, its tables fit this code, and projections keep up.

        For readiness endpoints and alarms. It takes one connection of the pool and two queries of indexes. If the
        database is down, the result says so; that is not an error. On a joined store it uses another connection, too,
        outside the transaction; on a SQLite database in memory, or without a write-ahead log, it then waits for that
        transaction until the timeout.

        By default, only a database that does not answer and tables that don't fit this code are problems; the options
        add others. The result has all figures, whether they are problems or not.

        Args:
            timeout_seconds: How long to wait for an answer, at most. A database in memory of one thread is not limited.
            projections: Look at these only; one that has never run is a problem. With `()`, the tables of projections
                are not read, which the user of a web application may have no right to. Defaults to None: all.
            max_lag_seconds: How old, at most, the oldest event may be that a projection has not handled.
            max_lag_events: How many events a projection may be behind, below 10,000.
            max_dead_letters: How many dead letters a projection may have, below 10,000.
            max_failed_projections: How many projections may have stopped at an event.
            max_pool_use: Which share of the connections that the pool allows may be in use, between 0 and 1.

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

        What it appends is committed or rolled back together with the caller's other changes. The returned store never
        begins, commits, rolls back or closes the transaction; if several statements must be all or nothing, it uses a
        savepoint. It lives as long as the session, and is as little thread-safe.

        Args:
            target: A SQLAlchemy Session, scoped_session or Connection, for the same database as the store's engine.

        Raises:
            DatabaseMismatch: The target is bound to another database, or to none; or only one of target and store is on
                an engine for asyncio.
            InvalidInput: The target is none of these.
            NotInTransaction: Raised at the first use if the target's connection is in AUTOCOMMIT.

        Example:
            ```python
            with Session(engine) as session, session.begin():
                session.add(invoice)
                store.join(session).append("order-42", events, expected_version=1)
            ```
        """
        if not isinstance(target, Connection | Session | scoped_session):
            msg = f"join needs a SQLAlchemy Session, scoped_session or Connection, not {type(target).__name__}"
            if type(target).__module__.startswith("sqlalchemy.ext.asyncio"):
                msg += "; for asyncio, join it by an eventstore.contrib.asyncio.AsyncEventStore"
            raise InvalidInput(msg)
        bind = target.engine if isinstance(target, Connection) else _bind_of(target)
        if not same_database(bind, self._engine):
            msg = (
                f"the store is on {self._engine.url!r}, but the session or connection is on {bind.url!r}; "
                "join one on the store's database, or make a store on the other engine"
            )
            raise DatabaseMismatch(msg)
        if bind.dialect.is_async is not self._engine.dialect.is_async:
            msg = (
                "the store and the session or connection must both be on engines for asyncio, or neither; make the "
                "store on the same engine"
            )
            raise DatabaseMismatch(msg)

        def connect() -> Connection:
            return target if isinstance(target, Connection) else target.connection()

        return self.with_core(replace(self._core, execution=self._core.execution.joined(connect)))

    @contextmanager
    def transaction(self) -> Iterator["EventStore"]:
        """Open a transaction for several calls, committed at the end of the block, rolled back if an error leaves it.

        On a joined store, it is a savepoint in the caller's transaction. On SQLite, all other writers wait until the
        block ends, including the outer store if it is used in the block by mistake.

        Raises:
            TransactionBroken: On PostgreSQL an error inside the block has aborted the transaction, and was caught
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
        """Let your own statements change es_events until the end of the block, in the joined transaction.

        Outside the block, triggers refuse UPDATE, DELETE and TRUNCATE. Projections and other systems that have already
        read the events do not learn of the change, and the store does not adjust es_streams. To delete a stream, call
        `delete_stream` instead.

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
            raise NotInTransaction(
                "allow_history_changes needs a transaction; open one: with store.transaction() as tx, "
                "tx.allow_history_changes()"
            )
        with self._core.execution.statement() as run:
            SchemaGate(REQUIRED_BY_HISTORY_CHANGES)(run)
            with history_changes(self._core.dialect, run):
                yield


class _OwnEngine:
    """The engine of a store made by `from_url`. Its pool is closed when the last store that shares it is gone."""

    def __init__(self, engine: Engine) -> None:
        self.dispose = engine.dispose
        weakref.finalize(self, engine.dispose)


def _bind_of(session: Session | scoped_session[Any]) -> Engine:
    try:
        return session.get_bind().engine
    except UnboundExecutionError:
        msg = "the session is not bound to an engine as a whole; bind it, or join a connection to the store's database"
        raise DatabaseMismatch(msg) from None


def check_store(
    store: object,
    *,
    may_be_joined: bool = False,
    in_asyncio: str = "give it a synchronous one of its own, and run it in a process or a thread",
) -> None:
    """Check that what was given as a store is one.

    Args:
        store: What was given.
        may_be_joined: Whether it may be joined to a transaction, or belong to one.
        in_asyncio: What to do with an `AsyncEventStore`.

    Raises:
        InvalidInput: It is not a store, or it is joined to a transaction.
    """
    if not isinstance(store, EventStore):
        hint = f"; {in_asyncio}" if hasattr(store, "sync_store") else ""
        msg = f"store must be an EventStore, not {type(store).__name__}{hint}"
        raise InvalidInput(msg)
    if not may_be_joined and store.core.execution.is_joined:
        msg = "store must be an EventStore that is not joined to a transaction; pass the application's own"
        raise InvalidInput(msg)
