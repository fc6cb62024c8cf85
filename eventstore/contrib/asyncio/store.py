"""The asynchronous store: the synchronous one on an engine for asyncio, whose calls are awaited."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session

from eventstore.backends import engine_of_store
from eventstore.backends.tasks import spawn
from eventstore.codecs import Codec
from eventstore.contrib.asyncio.iterating import AsyncIteration, AsyncSubscription
from eventstore.contrib.asyncio.methods import awaited, made
from eventstore.core.options import StoreOptions
from eventstore.core.schema_version import create_schema
from eventstore.errors import ExtraMissing, InvalidInput
from eventstore.event_types import EventTypes
from eventstore.events import AppendResult
from eventstore.store import EventStore
from eventstore.streams import ExpectedVersion
from eventstore.tables import Tables
from eventstore.tokens import HasToken, PositionToken

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class AsyncEventStore:
    """An `EventStore` whose calls are awaited, on an engine for asyncio: PostgreSQL by psycopg, SQLite by aiosqlite.

    Its methods take what those of `EventStore` take, do the same, and raise the same errors; `await` them, and iterate
    by `async for`. The store's own code runs, unchanged, in the calling task, which lets other tasks run whenever it
    waits for the database. What has no method here is called by `run_sync`.

    A call that is cancelled leaves no connection checked out. Whether a cancelled append was stored is unknown; repeat
    it with the same `NewEvent` objects and the same expected version, which is idempotent.

    Use a store in one event loop, like its engine. `group_commit` is for threads, and refused.

    Args:
        engine: The application's engine, made by `create_async_engine`. The application still owns it.
        options: As for `EventStore`.

    Raises:
        UnsupportedDatabase: The engine is for another database or driver.
        InvalidInput: An option is not valid; or the engine is synchronous, or has one connection for all tasks.
        UpcasterMissing: As for `EventStore`.

    Example:
        ```python
        store = AsyncEventStore(engine)
        await store.append("order-42", NewEvent("order-placed", {"total": 30}), expected_version=NO_STREAM)
        async for event in store.read_stream("order-42"):
            print(event.version, event.event_type, event.data)
        ```
    """

    def __init__(self, engine: AsyncEngine, **options: Unpack[StoreOptions]) -> None:
        if not isinstance(engine, AsyncEngine):
            msg = (
                f"engine must be an AsyncEngine, made by sqlalchemy.ext.asyncio.create_async_engine, not "
                f"{type(engine).__name__}"
            )
            raise InvalidInput(msg)
        self._engine = engine
        self._store = EventStore(engine.sync_engine, **options)
        self._owns_engine = False

    @classmethod
    def of(cls, store: EventStore) -> Self:
        """Return the asynchronous store for a synchronous one, for example for one that `inline` has returned.

        Args:
            store: A store on an engine for asyncio: the `sync_store` of another, or what was made of that.

        Raises:
            InvalidInput: Its engine is synchronous.
        """
        if not isinstance(store, EventStore) or not store.engine.dialect.is_async:
            msg = "store must be an EventStore on an engine for asyncio, such as the sync_store of an AsyncEventStore"
            raise InvalidInput(msg)
        other = object.__new__(cls)
        other._engine, other._store, other._owns_engine = AsyncEngine(store.engine), store, False
        return other

    @classmethod
    def from_url(
        cls, url: str | URL, *, engine_options: Mapping[str, Any] | None = None, **options: Unpack[StoreOptions]
    ) -> Self:
        """Return a store on a new engine for asyncio with sound defaults; `close` it, or use it as a context manager.

        Args:
            url: As for `EventStore.from_url`: `postgresql://user@host/database`, or `sqlite:///file.db`.
            engine_options: For `create_async_engine`; they override the defaults, which are those of
                `EventStore.from_url`.
            options: As for `EventStore`.

        Raises:
            ExtraMissing: The URL is for SQLite, and aiosqlite is not installed.
            UnsupportedDatabase: The URL is for another database or driver.
            DriverMissing: The URL is for PostgreSQL, and psycopg is not installed.
            InvalidInput: An option is not valid.
        """
        if str(url).startswith("sqlite") and find_spec("aiosqlite") is None:
            raise ExtraMissing("aiosqlite", "asyncio")
        engine = engine_of_store(url, engine_options, options, is_async=True)
        store = cls(AsyncEngine(engine), **options)
        store._owns_engine = True
        return store

    @classmethod
    def in_memory(cls, **options: Unpack[StoreOptions]) -> Self:
        """Return a store on a new SQLite database in memory, with its tables in place, for tests and notebooks.

        It makes the tables before it returns, without letting other tasks run, which takes some milliseconds. `close`
        it.

        Args:
            options: As for `EventStore`. `schema` and `notify` are for PostgreSQL.

        Raises:
            ExtraMissing: aiosqlite is not installed.
            InvalidInput: An option is not valid.
        """
        store = cls.from_url("sqlite://", **options)
        engine = create_engine(store.engine.url.set(drivername="sqlite"))
        create_schema(engine, store.tables)
        engine.dispose()
        return store

    @property
    def engine(self) -> AsyncEngine:
        """The engine."""
        return self._engine

    @property
    def sync_store(self) -> EventStore:
        """The synchronous store, for what takes an `EventStore`: `inline`, `instrument`, `Repository`.

        Its own calls are for `run_sync`; outside of it they raise `SynchronousCall`.
        """
        return self._store

    @property
    def tables(self) -> Tables:
        """The tables, for your own queries."""
        return self._store.tables

    @property
    def event_types(self) -> EventTypes:
        """The classes of typed events."""
        return self._store.event_types

    @property
    def codec(self) -> Codec:
        """How payloads are written."""
        return self._store.codec

    async def run_sync(
        self,
        function: Callable[Concatenate[EventStore, Parameters], Result],
        *arguments: Parameters.args,
        **options: Parameters.kwargs,
    ) -> Result:
        """Call a synchronous function with the synchronous store, and await what it waits for.

        Within it, all of the package that takes an `EventStore` can be called, and waits without blocking the loop.

        Args:
            function: Takes `sync_store`, and the arguments. It must not block, for example by `time.sleep`.
            arguments: More arguments.
            options: More arguments by name.

        Example:
            ```python
            await store.run_sync(lambda store: ProjectionAdmin(store).wait_for("totals", result))
            ```
        """
        return await spawn(function, self._store, *arguments, **options)

    append = awaited(EventStore.append)
    """Append one event or several to a stream; see `EventStore.append`. On PostgreSQL, also 10,000 events and more are
    sent as arrays, because SQLAlchemy's connections for asyncio can't COPY."""

    append_many = awaited(EventStore.append_many)
    """Append to several streams in one transaction; see `EventStore.append_many`."""

    delete_stream = awaited(EventStore.delete_stream)
    """Delete the events of a stream, and leave a tombstone; see `EventStore.delete_stream`."""

    async def archive_stream(
        self,
        stream_id: str,
        *,
        into: "AsyncEventStore",
        expected_version: ExpectedVersion,
        reason: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> AppendResult:
        """Move the events of a stream into another asynchronous store; see `EventStore.archive_stream`."""
        if not isinstance(into, AsyncEventStore):
            msg = "into must be an AsyncEventStore; pass the archive"
            raise InvalidInput(msg)
        return await spawn(
            self._store.archive_stream,
            stream_id,
            into=into.sync_store,
            expected_version=expected_version,
            reason=reason,
            metadata=metadata,
        )

    read_stream = made(AsyncIteration, EventStore.read_stream)
    """Read the events of a stream, one page at a time; see `EventStore.read_stream`."""

    first_and_last = awaited(EventStore.first_and_last)
    """Return the first and the last event of a stream; see `EventStore.first_and_last`."""

    find_events = made(AsyncIteration, EventStore.find_events)
    """Find events by their id, correlation id or causation id; see `EventStore.find_events`."""

    stream_version = awaited(EventStore.stream_version)
    """Return the version of a stream; see `EventStore.stream_version`."""

    async def wait_for(
        self,
        at_least: PositionToken | HasToken | None,
        *,
        timeout_seconds: float = 1.0,
        settled: bool = False,
        fallback: "AsyncEventStore | None" = None,
    ) -> "AsyncEventStore":
        """Wait until this store's server shows an event, and return the store to read from; see `EventStore.wait_for`.

        Example:
            ```python
            reader = await replica.wait_for(result, timeout_seconds=0.2, fallback=store)
            ```
        """
        if not isinstance(fallback, AsyncEventStore | None):
            msg = f"fallback must be an AsyncEventStore or None, not {type(fallback).__name__}"
            raise InvalidInput(msg)
        reader = await spawn(
            self._store.wait_for,
            at_least,
            timeout_seconds=timeout_seconds,
            settled=settled,
            fallback=None if fallback is None else fallback.sync_store,
        )
        return self if fallback is None or reader is self._store else fallback

    list_streams = made(AsyncIteration, EventStore.list_streams)
    """List the streams, one page at a time; see `EventStore.list_streams`."""

    read_all = made(AsyncIteration, EventStore.read_all)
    """Read the events of all streams in the one global order; see `EventStore.read_all`."""

    count_events = awaited(EventStore.count_events)
    """Return how many stored events `read_all` would read; see `EventStore.count_events`."""

    read_boundary = awaited(EventStore.read_boundary)
    """Read the events that a decision depends on; see `EventStore.read_boundary`."""

    settled_position = awaited(EventStore.settled_position)
    """Return a settled position; see `EventStore.settled_position`."""

    subscribe = made(AsyncSubscription, EventStore.subscribe)
    """Read the events of all streams, and then new ones as they are appended; see `EventStore.subscribe`."""

    check_event_types = awaited(EventStore.check_event_types)
    """Find types and schema versions that this code can't read; see `EventStore.check_event_types`."""

    health = awaited(EventStore.health)
    """Check whether the database answers; see `EventStore.health`."""

    def join(self, target: AsyncSession | async_scoped_session[Any] | AsyncConnection) -> Self:
        """Return this store inside the transaction of a session or connection; see `EventStore.join`.

        Args:
            target: An AsyncSession, async_scoped_session or AsyncConnection, for the same database as the store's
                engine.

        Raises:
            DatabaseMismatch: The target is bound to another database, or to none.
            InvalidInput: The target is none of these, or a connection that is not open yet.
            NotInTransaction: Raised at the first use if the target's connection is in AUTOCOMMIT.

        Example:
            ```python
            async with AsyncSession(engine) as session, session.begin():
                session.add(invoice)
                await store.join(session).append("order-42", events, expected_version=1)
            ```
        """
        return self._with(self._store.join(sync_target(target)))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Self]:
        """Open a transaction for several calls; see `EventStore.transaction`.

        Example:
            ```python
            async with store.transaction() as tx:
                await tx.append("order-42", paid, expected_version=1)
                await (await tx.connection()).execute(invoices.insert(), {"number": 7})
            ```
        """
        block = self._store.transaction()
        entered: list[EventStore] = []

        def enter() -> None:
            entered.append(block.__enter__())

        try:
            await spawn(enter)  # if it is cancelled just when it has entered, the block has to be left
            yield self._with(entered[0])
        except BaseException as error:
            if not entered or not await spawn(block.__exit__, type(error), error, error.__traceback__):
                raise
        else:
            await spawn(block.__exit__, None, None, None)

    async def connection(self) -> AsyncConnection:
        """Return the connection of the transaction that this store is joined to, for your own writes in it.

        Raises:
            NotInTransaction: This store is not joined to a transaction; see `transaction` and `join`.
        """

        def joined() -> Connection:
            return self._store.connection

        return AsyncConnection(self._engine, await spawn(joined))

    async def close(self) -> None:
        """Close the pool of a store made by `from_url` or `in_memory`. The application's own engine is left alone."""
        if self._owns_engine:
            await self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncEventStore {self._engine.url!r}>"

    def _with(self, store: EventStore) -> Self:
        other = object.__new__(type(self))
        other._engine, other._store, other._owns_engine = self._engine, store, False
        return other


def sync_target(target: AsyncSession | async_scoped_session[Any] | AsyncConnection) -> Session | Connection:
    """Return the synchronous session or connection in one for asyncio.

    Raises:
        InvalidInput: It is none, or is not open.
    """
    if isinstance(target, async_scoped_session):
        target = target()
    if isinstance(target, AsyncSession):
        return target.sync_session
    if not isinstance(target, AsyncConnection):
        msg = f"join needs an AsyncSession, async_scoped_session or AsyncConnection, not {type(target).__name__}"
        raise InvalidInput(msg)
    if target.sync_connection is None:
        msg = "the AsyncConnection is not open; join it within `async with engine.connect()`"
        raise InvalidInput(msg)
    return target.sync_connection
