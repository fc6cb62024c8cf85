"""Asynchronous subscriptions and reads of the global order miss nothing, and do not block their loop."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from eventstore import ANY, EventFilter, RecordedEvent
from eventstore.contrib.asyncio import AsyncEventStore, AsyncSubscription
from eventstore.errors import InvalidInput, LogWentBack, UnsuitableTransaction
from eventstore.testing._base import numbered, numbers
from tests.fix_asyncio import Cancelling, LoopWatch, checked_out, eventually

on_postgresql = pytest.mark.parametrize(
    "any_url", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)


class Following:
    """A task that follows a subscription."""

    def __init__(self, subscription: AsyncSubscription) -> None:
        self.events: list[RecordedEvent] = []
        self.subscription = subscription
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for event in self.subscription:
            self.events.append(event)

    async def reached(self, position: int) -> list[RecordedEvent]:
        await eventually(lambda: self.task.done() or self.subscription.position >= position)
        return self.events


@asynccontextmanager
async def following(store: AsyncEventStore, *filters: EventFilter, **options: Any) -> AsyncIterator[Following]:
    async with store.subscribe(*filters, **{"after_position": 0, **options}) as subscription:
        follows = Following(subscription)
        yield follows
        subscription.stop()
        await follows.task


def counted(monkeypatch: pytest.MonkeyPatch, store: AsyncEventStore, method: str) -> list[Any]:
    """Return the calls of a method of the store's dialect or settling, which grow."""
    owner: Any = store.sync_store.core.settling if method == "look_for" else store.sync_store.core.dialect
    calls, original = [], getattr(owner, method)

    def call(run: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return original(run, *arguments, **options)

    monkeypatch.setattr(owner, method, call)
    return calls


@pytest.mark.slow
async def test_stored_and_new_events_come_in_order(any_url: str, loop_watch: LoopWatch) -> None:
    async with AsyncEventStore.from_url(any_url) as store:
        await store.append("order-1", numbered(3), expected_version=ANY)
        async with following(store) as follows:
            await follows.reached(3)
            for number in range(4, 8):
                result = await store.append("order-1", numbered(1, number), expected_version=ANY)
                assert numbers(await follows.reached(result.position)) == [*range(1, number + 1)]
            assert follows.subscription.token == follows.events[-1].token
        matching = EventFilter(stream_ids=["order-2"])
        async with following(store, matching, after_position=follows.events[-1].token) as follows:
            await store.append_many([])
            await store.append("order-1", numbered(1), expected_version=ANY)
            result = await store.append("order-2", numbered(1), expected_version=ANY)
            assert [event.stream_id for event in await follows.reached(result.position)] == ["order-2"]
        assert [event async for event in store.subscribe(after_position=result.position, idle_timeout_seconds=0)] == []
    assert loop_watch.calls == []


@pytest.mark.slow
@on_postgresql
async def test_an_event_with_a_lower_position_that_commits_later_is_delivered(
    any_url: str, monkeypatch: pytest.MonkeyPatch, loop_watch: LoopWatch
) -> None:
    async with AsyncEventStore.from_url(any_url) as store:
        await store.append("order-0", numbered(1), expected_version=ANY)
        async with following(store) as follows:
            await follows.reached(1)
            async with store.transaction() as tx:
                await tx.append("order-1", numbered(1, 2), expected_version=ANY)
                later = await store.append("order-2", numbered(1, 3), expected_version=ANY)
                assert later.position == 3
                looks = counted(monkeypatch, store, "look_for")
                await eventually(lambda: len(looks) > 2)  # it has looked since, and is held back
                assert numbers(follows.events) == [1]
                reading = [event async for event in store.read_all(wait_seconds=0)]
                assert numbers(reading) == [1]
                waiting = asyncio.create_task(collected(store.read_all(wait_seconds=60)))
                backwards = asyncio.create_task(collected(store.read_all(wait_seconds=60, backwards=True)))
                before = len(looks)
                await eventually(lambda: len(looks) > before + 2)
            assert numbers(await follows.reached(3)) == [1, 2, 3]
            assert numbers(await waiting) == [1, 2, 3]
            assert numbers(await backwards) == [3, 2, 1]
    assert loop_watch.calls == []


async def collected(events: AsyncIterator[RecordedEvent]) -> list[RecordedEvent]:
    return [event async for event in events]


@pytest.mark.slow
async def test_nothing_is_missed_beside_concurrent_writers(any_url: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with AsyncEventStore.from_url(any_url) as store:

        async def write(writer: int) -> None:
            for _ in range(4):
                try:
                    async with store.transaction() as tx:
                        await tx.append(f"order-{writer}", numbered(1), expected_version=ANY)
                        await asyncio.sleep(chance.random() / 200)
                        await tx.append(f"order-{writer}", numbered(1), expected_version=ANY)
                        await fail(chance.random() < 0.3)
                except LookupError:
                    continue

        async def fail(fails: bool) -> None:
            if fails:
                raise LookupError

        await store.append("order-0", numbered(1), expected_version=ANY)
        async with following(store) as one, following(store, shortest_interval_seconds=0.001) as another:
            await asyncio.gather(*map(write, range(6)))
            end = await store.append("order-0", numbered(1), expected_version=ANY)
            stored = [event async for event in store.read_all()]
            assert stored[-1].position == end.position
            for follows in (one, another):
                assert await follows.reached(end.position) == stored


@pytest.mark.slow
async def test_a_cancelled_iteration_goes_on_where_it_was(any_url: str, cancelling: Cancelling) -> None:
    async with AsyncEventStore.from_url(any_url, page_size=7) as store:
        await store.append("order-1", numbered(30), expected_version=ANY)
        seen: list[RecordedEvent] = []
        async with store.subscribe(after_position=0) as subscription:

            async def take() -> None:
                while len(seen) < 30:
                    seen.append(await anext(subscription))

            number = 0
            while len(seen) < 30:
                number += 1
                with suppress(asyncio.CancelledError):
                    await cancelling.at(number, take())
                assert checked_out(store) == 0
        assert numbers(seen) == [*range(1, 31)]


@pytest.mark.slow
async def test_of_idle_subscriptions_one_polls_for_all(any_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncEventStore.from_url(any_url) as store:
        start = await store.append("order-1", numbered(1), expected_version=ANY)
        polls = counted(monkeypatch, store, "look_for")
        follows = [Following(store.subscribe(after_position=start.position)) for _ in range(30)]
        await eventually(lambda: polls and len(polls[-1][0]) == 30)
        leader = polls[-1][0]
        assert len(leader) == 30
        follows[0].task.cancel()  # whoever leads: the others go on
        result = await store.append("order-1", numbered(1, 2), expected_version=ANY)
        for each in follows[1:]:
            assert numbers(await each.reached(result.position)) == [2]
        for each in follows:
            each.subscription.stop()
            await asyncio.wait([each.task])
            await each.subscription.aclose()


@pytest.mark.slow
@on_postgresql
async def test_a_notification_ends_the_wait(any_url: str, loop_watch: LoopWatch) -> None:
    async with AsyncEventStore.from_url(any_url, notify=True) as store:
        await store.append("order-1", numbered(1), expected_version=ANY)
        async with (
            following(store, shortest_interval_seconds=3600, longest_interval_seconds=3600) as one,
            following(store, shortest_interval_seconds=3600, longest_interval_seconds=3600) as another,
        ):
            for number in (2, 3):
                result = await store.append("order-1", numbered(1, number), expected_version=ANY)
                for follows in (one, another):
                    assert numbers(await follows.reached(result.position)) == [*range(1, number + 1)]
        await forget(store)
    assert loop_watch.calls == []


async def forget(store: AsyncEventStore) -> None:
    """Begin to listen, and leave the subscription to the garbage collector."""
    subscription = store.subscribe(after_position=0)
    await anext(subscription)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            while True:
                await anext(subscription)


@pytest.mark.slow
@on_postgresql
async def test_it_outlives_lost_connections(any_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncEventStore.from_url(any_url) as store, AsyncEventStore.from_url(any_url) as other:
        await store.append("order-1", numbered(1), expected_version=ANY)
        async with following(store) as follows:
            await follows.reached(1)
            async with other.engine.connect() as connection:
                await connection.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            result = await other.append("order-1", numbered(1, 2), expected_version=ANY)
            assert numbers(await follows.reached(result.position)) == [1, 2]


async def test_its_arguments_and_errors_are_those_of_the_synchronous_one(any_url: str) -> None:
    async with AsyncEventStore.from_url(any_url) as store:
        calls: list[Callable[[], object]] = [
            lambda: store.subscribe(after_position=-1),
            lambda: store.subscribe(after_position=0, shortest_interval_seconds=0),
            lambda: store.read_all(limit=-1),
            lambda: store.read_stream(""),
        ]
        for call in calls:
            with pytest.raises(InvalidInput):
                call()
        result = await store.append("order-1", numbered(1), expected_version=ANY)
        token = (await anext(store.read_all())).token
        async with store.transaction() as tx:
            with pytest.raises(UnsuitableTransaction):
                tx.subscribe(after_position=0)
            await tx.append("order-1", numbered(1), expected_version=ANY)
            with pytest.raises(UnsuitableTransaction):
                await anext(tx.read_all())
        async with store.transaction() as tx, _history_changes(tx):
            await (await tx.connection()).execute(tx.tables.events.delete())
        async with store.subscribe(after_position=token) as subscription:
            for _ in range(2):
                with pytest.raises(LogWentBack):
                    await anext(subscription)
        assert result.position == token.position


@asynccontextmanager
async def _history_changes(store: AsyncEventStore) -> AsyncIterator[None]:
    block = await store.run_sync(lambda sync_store: sync_store.allow_history_changes())
    await store.run_sync(lambda _: block.__enter__())
    yield
    await store.run_sync(lambda _: block.__exit__(None, None, None))
