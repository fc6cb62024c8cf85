"""The asynchronous store: the synchronous one's methods, awaited, on psycopg and aiosqlite."""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, StaticPool, Table, create_engine, event, select
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)

from eventstore import (
    ANY,
    NO_STREAM,
    Append,
    ConcurrencyConflict,
    EventStore,
    EventTypes,
    NewEvent,
    migrations,
)
from eventstore.contrib.asyncio import AsyncEventStore, AsyncRepository, retry_conflicts
from eventstore.correlation import metadata_context
from eventstore.errors import (
    DatabaseBusy,
    DatabaseMismatch,
    DecodingError,
    InvalidInput,
    NotInTransaction,
    StreamDeleted,
    SynchronousCall,
    UnsuitableSetting,
    UnsupportedDatabase,
)
from eventstore.events import RecordedEvent
from eventstore.projections import Projection, ProjectionAdmin, inline
from eventstore.repository import Repository
from eventstore.testing._base import numbered, numbers
from tests.fix_asyncio import LoopWatch, async_url, eventually

invoices = Table("invoices", MetaData(), Column("number", Integer, primary_key=True))


@pytest.fixture
def url(any_url: str) -> str:
    """A database with the tables, and with one of the application's."""
    engine = create_engine(any_url)
    invoices.create(engine)
    engine.dispose()
    return any_url


async def written(engine: AsyncEngine) -> list[int]:
    async with engine.connect() as connection:
        return [*(await connection.execute(select(invoices.c.number).order_by(invoices.c.number))).scalars()]


# --- the same as the synchronous one

BY_RUN_SYNC = {"address", "allow_history_changes", "observe", "observer", "snapshots", "core", "with_core"}
OF_ITS_OWN = {"of", "run_sync", "sync_store"}


def public(cls: type) -> set[str]:
    return {name for name in vars(cls) if not name.startswith("_")}


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]


def test_it_has_the_methods_of_the_synchronous_store() -> None:
    assert public(AsyncEventStore) == public(EventStore) - BY_RUN_SYNC | OF_ITS_OWN
    assert public(AsyncRepository) == public(Repository) - {"with_store"}


@pytest.mark.parametrize(
    ("ours", "synchronous"),
    [
        (getattr(ours, name), getattr(synchronous, name))
        for ours, synchronous in ((AsyncEventStore, EventStore), (AsyncRepository, Repository))
        for name in sorted(public(ours) & public(synchronous) - {"connection"} | {"__init__"})
        if callable(getattr(ours, name)) and (ours, name) != (AsyncEventStore, "__init__")
    ],
    ids=lambda function: function.__qualname__,
)
def test_its_methods_have_the_same_parameters(ours: Callable[..., Any], synchronous: Callable[..., Any]) -> None:
    assert parameters(ours) == parameters(synchronous)


@pytest.mark.slow
async def test_appends_and_reads(any_url: str, loop_watch: LoopWatch) -> None:
    async with AsyncEventStore.from_url(any_url) as store:
        three = numbered(3)
        first = await store.append("order-1", three, expected_version=NO_STREAM, metadata={"user": "ada"})
        assert (first.version, first.duplicate) == (3, False)
        again = await store.append("order-1", three, expected_version=NO_STREAM)
        assert (again.version, again.position, again.duplicate) == (3, first.position, True)
        with pytest.raises(ConcurrencyConflict) as conflict:
            await store.append("order-1", numbered(1), expected_version=7)
        assert (conflict.value.expected, conflict.value.actual) == (7, 3)
        with metadata_context(request="r-1"):
            await store.append_many([Append(f"order-{number}", numbered(1), expected_version=ANY) for number in (1, 2)])
        assert [event.metadata async for event in store.read_stream("order-1", after_version=2)] == [
            {"user": "ada"}, {"request": "r-1"},
        ]  # fmt: skip
        assert numbers([event async for event in store.read_all()]) == [1, 2, 3, 1, 1]
        assert numbers([event async for event in store.read_all(backwards=True, limit=2)]) == [1, 1]
        assert await store.stream_version("order-1") == 4
        assert await store.settled_position() == first.position + 2
        assert [stream.version async for stream in store.list_streams()] == [4, 1]
        assert (await store.health()).ok
        assert await store.check_event_types()
        await store.delete_stream("order-2", expected_version=1, reason="ticket 7")
        with pytest.raises(StreamDeleted):
            await store.append("order-2", numbered(1), expected_version=ANY)
    assert loop_watch.calls == []


@pytest.mark.slow
async def test_ten_thousand_events_and_one_are_one_append(any_url: str) -> None:
    async with AsyncEventStore.from_url(any_url) as store:
        await store.append("order-1", numbered(10_001), expected_version=NO_STREAM)
        assert numbers([event async for event in store.read_stream("order-1")]) == [*range(1, 10_002)]


async def test_a_stream_is_archived_into_another_store(any_url: str) -> None:
    async with AsyncEventStore.from_url(any_url) as store, AsyncEventStore.in_memory() as archive:
        await store.append("order-1", numbered(3), expected_version=NO_STREAM)
        await store.archive_stream("order-1", into=archive, expected_version=3, reason="old")
        assert [event.version async for event in archive.read_stream("order-1")] == [1, 2, 3]
        with pytest.raises(InvalidInput, match="AsyncEventStore"):
            await store.archive_stream("order-2", into=archive.sync_store, expected_version=3, reason="old")  # type: ignore[arg-type]


@pytest.mark.slow
async def test_one_of_several_tasks_wins(any_url: str) -> None:
    async with AsyncEventStore.from_url(any_url) as store:
        appends = [store.append("order-1", numbered(2), expected_version=NO_STREAM) for _ in range(20)]
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
        conflicts = [each for each in outcomes if isinstance(each, ConcurrencyConflict)]
        assert (len(conflicts), {each.actual for each in conflicts}) == (19, {2})
        assert await store.stream_version("order-1") == 2


types = EventTypes()


@types.register("counted")
@dataclass
class Counted:
    number: int


async def test_what_comes_before_an_event_that_can_not_be_read_is_read(any_url: str) -> None:
    async with AsyncEventStore.from_url(any_url) as plain:
        await plain.append("order-1", [*numbered(3), NewEvent("counted", {"number": "four"})], expected_version=0)
        store = AsyncEventStore(plain.engine, event_types=types)
        events = store.read_stream("order-1")
        assert [(await anext(events)).data for _ in range(3)] == [Counted(1), Counted(2), Counted(3)]
        with pytest.raises(DecodingError):
            await anext(events)
        assert [event async for event in events] == []


# --- transactions


@pytest.mark.parametrize("kind", ["session", "scoped_session", "connection"])
@pytest.mark.parametrize("commits", [True, False])
async def test_it_joins_the_callers_transaction(url: str, kind: str, *, commits: bool) -> None:
    engine = create_async_engine(async_url(url))
    store = AsyncEventStore(engine)
    maker = async_sessionmaker(engine)
    scoped = async_scoped_session(maker, asyncio.current_task)
    made: dict[str, Any] = {"session": maker, "scoped_session": scoped, "connection": engine.connect}
    target = made[kind]()
    if kind == "connection":
        await target.start()
    await target.execute(invoices.insert(), {"number": 7})
    joined = store.join(target)
    await joined.append("order-1", numbered(1), expected_version=NO_STREAM)
    with pytest.raises(ConcurrencyConflict):
        await joined.append_many([Append("order-1", numbered(1), expected_version=NO_STREAM)])
    await joined.append("order-1", numbered(2), expected_version=1)
    await (target.commit() if commits else target.rollback())
    await target.close()
    assert await written(engine) == ([7] if commits else [])
    assert await store.stream_version("order-1") == (3 if commits else 0)
    await engine.dispose()


async def test_a_transaction_of_its_own_is_all_or_nothing(url: str) -> None:
    async with AsyncEventStore.from_url(url) as store:
        with pytest.raises(NotInTransaction):
            await store.connection()

        async def work(number: int) -> None:
            async with store.transaction() as tx:
                await tx.append(f"order-{number}", numbered(1), expected_version=NO_STREAM)
                await (await tx.connection()).execute(invoices.insert(), {"number": number})
                with pytest.raises(ConcurrencyConflict):
                    await tx.append(f"order-{number}", numbered(1), expected_version=NO_STREAM)
                if number == 2:
                    raise LookupError

        await work(1)
        with pytest.raises(LookupError):
            await work(2)
        assert await written(store.engine) == [1]
        assert [await store.stream_version(f"order-{number}") for number in (1, 2)] == [1, 0]


async def test_an_inline_projection_is_right_at_once(url: str) -> None:
    counting = Projection("numbers")

    @counting.on("counted")
    def count(event: RecordedEvent, connection: Connection) -> None:
        connection.execute(invoices.insert(), {"number": event.data["number"]})

    async with AsyncEventStore.from_url(url) as plain:
        store = AsyncEventStore.of(inline(plain.sync_store, counting))
        await store.append("order-1", numbered(2), expected_version=NO_STREAM)
        assert await written(plain.engine) == [1, 2]
        with pytest.raises(Exception, match=r"invoices"):
            await store.append("order-2", numbered(3), expected_version=NO_STREAM)
        assert await store.stream_version("order-2") == 0


# --- the repository


def add(state: int, number: int) -> list[NewEvent]:
    return [NewEvent("counted", {"number": state + number})]


def added(state: int, event: RecordedEvent) -> int:
    return state + 1


@pytest.mark.slow
async def test_commands_are_retried_while_others_run(any_url: str, loop_watch: LoopWatch) -> None:
    async with AsyncEventStore.from_url(any_url) as store:
        counters = AsyncRepository(store, category="counter", initial=int, evolve=added, attempts=50)
        results = await asyncio.gather(*(counters.execute("1", add, 1) for _ in range(8)))
        assert sorted(result.version for result in results) == [*range(1, 9)]
        assert max(result.attempts for result in results) > 1
        loaded = await counters.load("1")
        assert (loaded.state, counters.stream_id("1")) == (8, loaded.stream_id)
        saved = await counters.save(loaded, add(loaded.state, 1))
        assert saved.version == 9

        async def both() -> None:
            async with store.transaction() as tx:
                await counters.join(tx).execute("2", add, 1)
                await counters.join(await tx.connection()).execute("3", add, 1)

        await retry_conflicts(both)
        assert [(await counters.load(id_)).version for id_ in ("2", "3")] == [1, 1]
    assert loop_watch.calls == []


async def test_a_coroutine_function_is_retried() -> None:
    calls = []

    async def attempt() -> int:
        calls.append(asyncio.current_task())
        await asyncio.sleep(0)
        if len(calls) < 3:
            raise ConcurrencyConflict("order-1", 1, 2)
        return len(calls)

    assert await retry_conflicts(attempt, backoff_seconds=0.001) == 3
    assert calls == [asyncio.current_task()] * 3
    with pytest.raises(InvalidInput, match="attempts"):
        await retry_conflicts(attempt, attempts=0)


# --- waiting


async def test_waiting_for_a_projection_does_not_block(any_url: str, loop_watch: LoopWatch) -> None:
    async with AsyncEventStore.from_url(any_url) as store:
        waiting = asyncio.create_task(
            store.run_sync(lambda sync_store: ProjectionAdmin(sync_store).wait_for("numbers", 1, timeout_seconds=0.1))
        )
        with pytest.raises(TimeoutError):
            await waiting
    assert loop_watch.calls == []


async def test_waiting_for_the_write_lock_of_sqlite_does_not_block(sqlite_path: Any, loop_watch: LoopWatch) -> None:
    async with AsyncEventStore.from_url(f"sqlite:///{sqlite_path}", lock_timeout_seconds=30) as store:
        await store.append("order-1", numbered(1), expected_version=ANY)
        async with store.engine.connect() as holder:
            await holder.exec_driver_sql("BEGIN IMMEDIATE")
            before = loop_watch.statements
            appends = [
                asyncio.create_task(store.append("order-1", numbered(1), expected_version=ANY)) for _ in range(3)
            ]
            await eventually(lambda: loop_watch.statements > before + 20)  # it tries again and again
            assert not any(append.done() for append in appends)
            await holder.exec_driver_sql("COMMIT")
        assert [(await append).version for append in appends] == [2, 3, 4]  # in the order in which they came
        impatient = AsyncEventStore(store.engine, lock_timeout_seconds=0.05)
        async with impatient.transaction():
            with pytest.raises(DatabaseBusy):
                await impatient.append("order-1", numbered(1), expected_version=ANY)
    assert loop_watch.calls == []


# --- what is refused


async def test_a_synchronous_call_says_what_to_await(any_url: str) -> None:
    async with AsyncEventStore.from_url(any_url) as store:
        sync_store = store.sync_store
        async with store.transaction() as tx, AsyncSession(store.engine) as session:
            calls: list[Callable[[], object]] = [
                lambda: sync_store.append("order-1", numbered(1), expected_version=ANY),
                lambda: list(sync_store.read_all()),
                lambda: next(sync_store.subscribe(after_position=0)),
                lambda: sync_store.transaction().__enter__(),
                lambda: sync_store.join(session.sync_session).stream_version("order-1"),
                lambda: tx.sync_store.stream_version("order-1"),
            ]
            for call in calls:
                with pytest.raises(SynchronousCall, match="AsyncEventStore"):
                    call()
        assert await store.stream_version("order-1") == 0
        assert store.engine.sync_engine.pool.status().endswith("Current Checked out connections: 0")


async def test_what_is_no_engine_for_asyncio_is_refused(any_url: str, sqlite_path: Any) -> None:
    synchronous, engine = create_engine(any_url), create_async_engine(async_url(any_url))
    one_for_all = create_async_engine(f"sqlite+aiosqlite:///{sqlite_path}", poolclass=StaticPool)
    wrong: Any
    for wrong, match in ((synchronous, "AsyncEngine"), (any_url, "AsyncEngine"), (one_for_all, "one connection")):
        with pytest.raises(InvalidInput, match=match):
            AsyncEventStore(wrong)
    for wrong, match in ((engine, "AsyncEventStore"), (None, "sqlalchemy.Engine")):
        with pytest.raises(InvalidInput, match=match):
            EventStore(wrong)
    with pytest.raises(InvalidInput, match="synchronous engine"):
        migrations.upgrade(engine.sync_engine)
    with pytest.raises(InvalidInput, match="group_commit"):
        AsyncEventStore(engine, group_commit=True)
    with pytest.raises(InvalidInput, match="sync_store"):
        AsyncEventStore.of(EventStore(synchronous))
    with pytest.raises(UnsupportedDatabase):
        AsyncEventStore.from_url("postgresql+asyncpg://user@host/shop")
    with pytest.raises(InvalidInput, match="AsyncEventStore"):
        AsyncRepository(EventStore(synchronous), category="order", initial=int, evolve=added)  # type: ignore[arg-type]


async def test_a_row_factory_of_aiosqlite_is_refused(sqlite_path: Any) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{sqlite_path}")

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _: Any) -> None:
        connection.driver_connection.row_factory = dict

    with pytest.raises(UnsuitableSetting, match="row_factory"):
        await AsyncEventStore(engine).append("order-1", numbered(1), expected_version=ANY)
    await engine.dispose()


async def test_what_can_not_be_joined_is_refused(any_url: str) -> None:
    synchronous, engine = create_engine(any_url), create_async_engine(async_url(any_url))
    store, sync_store = AsyncEventStore(engine), EventStore(synchronous)
    wrong: Any
    async with AsyncSession(engine) as session, engine.connect() as connection:
        for wrong in (session, connection, async_scoped_session(async_sessionmaker(engine), asyncio.current_task)):
            with pytest.raises(InvalidInput, match="AsyncEventStore"):
                sync_store.join(wrong)
        with pytest.raises(DatabaseMismatch, match="asyncio"):
            await session.run_sync(sync_store.join)
        for wrong, match in (
            (engine.connect(), "not open"),
            (session.sync_session, "AsyncSession"),
            (None, "NoneType"),
        ):
            with pytest.raises(InvalidInput, match=match):
                store.join(wrong)
    with synchronous.connect() as other, pytest.raises(DatabaseMismatch, match="asyncio"):
        store.sync_store.join(other)
    async with AsyncEventStore.in_memory() as elsewhere, elsewhere.transaction() as tx:
        with pytest.raises(DatabaseMismatch):
            store.join(await tx.connection())
    synchronous.dispose()
    await engine.dispose()
