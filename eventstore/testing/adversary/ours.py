"""The adapter of our own store. It uses only the public API."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from threading import Lock
from typing import Any, ClassVar, Final
from uuid import UUID

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, String, Table, Uuid, select, text
from sqlalchemy.exc import SQLAlchemyError

from eventstore import (
    ANY,
    Append,
    ConcurrencyConflict,
    EventFilter,
    EventStore,
    NewEvent,
    RecordedEvent,
    migrations,
)
from eventstore.core.options import StoreOptions
from eventstore.projections import Outcome, Projection, Worker
from eventstore.testing.adversary.adapter import Conflict, Delivered, Reader, Write

_ALL: Final = "read_all"
_FILTERED: Final = "read_all, filtered"
_SUBSCRIPTION: Final = "subscription"
_PROJECTION: Final = "projection"
_EVEN: Final = EventFilter(event_types=["even"])
_IDLE_SECONDS: Final = 0.03


class Ours:
    """Our store, with pages of ten events. Subclass it to attack a store with your options."""

    name: ClassVar[str] = f"sqlalchemy-eventstore {version('sqlalchemy-eventstore')}"
    readers: ClassVar[Sequence[Reader]] = (
        Reader(_ALL),
        Reader(_FILTERED, kind="even"),
        Reader(_SUBSCRIPTION),
        Reader(_PROJECTION, keeps_position=True),
    )
    page_size: ClassVar[int] = 10
    takes_schema: ClassVar[bool] = True
    spans_streams: ClassVar[bool] = True

    options: ClassVar[StoreOptions] = {}
    """Options of `EventStore`."""
    engine_options: ClassVar[Mapping[str, Any]] = {}
    """Options of `sqlalchemy.create_engine`."""

    def __init__(self, url: str, schema: str | None) -> None:
        self._schema = schema
        options: StoreOptions = {"schema": schema, "page_size": self.page_size, **self.options}
        self.store = self._open(url, {"pool_size": 2, **self.engine_options}, options)
        self._handled = Table(
            "adversary_handled",
            MetaData(schema=schema),
            Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
            Column("event_id", Uuid, nullable=False),
            Column("stream", String(255), nullable=False),
            Column("version", BigInteger, nullable=False),
        )
        projection = Projection("adversary")
        projection.on()(self._handle)
        self._worker = Worker(self.store, projection, batch_size=self.page_size)

    def _open(self, url: str, engine_options: Mapping[str, Any], options: StoreOptions) -> EventStore:
        return EventStore.from_url(url, engine_options=engine_options, **options)

    def prepare(self) -> None:
        """Create our tables, and the one that the projection fills."""
        if self._schema is None:
            migrations.upgrade(self.store.engine)
        else:
            migrations.provision(self.store.engine, self._schema)
        self._handled.create(self.store.engine)

    def append(self, writes: Sequence[Write]) -> None:
        """Append by `append` or, to several streams, by `append_many`."""
        append(self.store, writes)

    def open(self) -> "OurOpenAppend":
        """Join a transaction."""
        return OurOpenAppend(self.store)

    def version(self, stream: str) -> int:
        """Return the version of a stream."""
        return self.store.stream_version(stream)

    def read(self, reader: str, after: Any) -> Iterable[Delivered]:
        """Read in one of four ways."""
        position = 0 if after is None else after
        if reader == _PROJECTION:
            return self._project()
        if reader == _SUBSCRIPTION:
            return self._subscribe(position)
        filters = [_EVEN] if reader == _FILTERED else []
        return map(_delivered, self.store.read_all(*filters, after_position=position, wait_seconds=0))

    def close(self) -> None:
        """Dispose of the engine."""
        self.store.close()

    def _subscribe(self, position: Any) -> Iterator[Delivered]:
        with self.store.subscribe(
            after_position=position, idle_timeout_seconds=_IDLE_SECONDS, longest_interval_seconds=_IDLE_SECONDS / 2
        ) as subscription:
            yield from map(_delivered, subscription)

    def _project(self) -> Iterator[Delivered]:
        """Handle the events that can be handled now; return an iterator over the projection's table."""
        while self._worker.run_once().outcome is Outcome.ADVANCED:
            pass
        return self._projected()

    def _handle(self, event: RecordedEvent, connection: Connection) -> None:
        values = {"event_id": event.event_id, "stream": event.stream_id, "version": event.version}
        connection.execute(self._handled.insert(), values)

    def _projected(self) -> Iterator[Delivered]:
        columns = (self._handled.c.number, self._handled.c.event_id, self._handled.c.stream, self._handled.c.version)
        with self.store.engine.connect() as connection:
            rows = connection.execute(select(*columns).order_by(self._handled.c.number))
            yield from [Delivered(*row) for row in rows]


class Grouped(Ours):
    """Our store with group commit. The adapters of one process share it, as threads of an application do."""

    name: ClassVar[str] = f"{Ours.name}, group commit"
    options: ClassVar[StoreOptions] = {"group_commit": True}

    _lock: ClassVar[Lock] = Lock()
    _shared: ClassVar[dict[tuple[str, str | None], tuple[EventStore, int]]] = {}

    def _open(self, url: str, engine_options: Mapping[str, Any], options: StoreOptions) -> EventStore:
        self._key = url, self._schema
        with self._lock:
            store, users = self._shared.get(self._key, (None, 0))
            if store is None:
                store = super()._open(url, {**engine_options, "pool_size": 10}, options)
            self._shared[self._key] = store, users + 1
        return store

    def close(self) -> None:
        """Dispose of the engine if no other adapter uses it."""
        with self._lock:
            store, users = self._shared[self._key]
            self._shared[self._key] = store, users - 1
            if users == 1:
                del self._shared[self._key]
                store.close()


class OurOpenAppend:
    """A transaction of the application's, joined by our store."""

    def __init__(self, store: EventStore) -> None:
        self._connection = store.engine.connect()
        self._store = store.join(self._connection)

    def append(self, writes: Sequence[Write]) -> None:
        """Append in the transaction."""
        append(self._store, writes)

    def execute(self, statement: str) -> None:
        """Execute a statement in the transaction."""
        self._connection.execute(text(statement))

    def commit(self) -> None:
        """Commit."""
        self._connection.commit()

    def rollback(self) -> None:
        """Roll back."""
        self._connection.rollback()

    def close(self) -> None:
        """Release the connection."""
        with suppress(SQLAlchemyError):
            self._connection.close()


def append(store: EventStore, writes: Sequence[Write]) -> None:
    """Append, and translate a `ConcurrencyConflict`."""
    appends = [
        Append(
            write.stream,
            [NewEvent(event.kind, event_id=event.event_id) for event in write.events],
            expected_version=ANY if write.expected_version is None else write.expected_version,
        )
        for write in writes
    ]
    try:
        if len(appends) == 1:
            store.append(appends[0].stream_id, appends[0].events, expected_version=appends[0].expected_version)
        else:
            store.append_many(appends)
    except ConcurrencyConflict as error:
        raise Conflict(str(error)) from error


def _delivered(event: RecordedEvent) -> Delivered:
    event_id: UUID = event.event_id
    return Delivered(getattr(event, "token", event.position), event_id, event.stream_id, event.version)
