"""A task that is cancelled, wherever it waits, leaves nothing behind that others notice."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from eventstore import ANY, NO_STREAM, EventStore, NewEvent, RecordedEvent
from eventstore.contrib.asyncio import AsyncEventStore, AsyncIteration
from eventstore.errors import ReadInterrupted
from eventstore.testing._base import numbered, numbers
from tests.fix_asyncio import Cancelling, checked_out, eventually

again_or_not = pytest.mark.parametrize(
    "again", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["once", "again and again"]
)


@pytest.mark.slow
@again_or_not
async def test_an_append_is_stored_as_a_whole_or_not_and_can_be_repeated(
    any_url: str, cancelling: Cancelling, *, again: bool
) -> None:
    engine_options = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 30}  # a place that is lost is missed
    async with AsyncEventStore.from_url(any_url, engine_options=engine_options) as store:
        number, was_cancelled = 0, True
        while was_cancelled:
            number += 1
            stream_id, pending = f"order-{number}", numbered(3)
            try:
                await cancelling.at(number, store.append(stream_id, pending, expected_version=NO_STREAM), again=again)
                was_cancelled = False
            except asyncio.CancelledError:
                assert checked_out(store) == 0
            stored = await store.stream_version(stream_id)
            assert stored in ({0, 3} if was_cancelled else {3})
            repeated = await store.append(stream_id, pending, expected_version=NO_STREAM)
            assert (repeated.version, repeated.duplicate) == (3, stored == 3)
        assert number > 2


@pytest.mark.slow
@again_or_not
async def test_a_transaction_is_rolled_back(any_url: str, cancelling: Cancelling, *, again: bool) -> None:
    async with AsyncEventStore.from_url(any_url) as store:
        await store.append("order-0", numbered(1), expected_version=ANY)

        async def work(stream_id: str) -> None:
            async with store.transaction() as tx:
                await tx.append(stream_id, numbered(1), expected_version=NO_STREAM)
                await asyncio.sleep(0)
                await tx.append(f"{stream_id}-too", numbered(1), expected_version=NO_STREAM)

        number, was_cancelled = 0, True
        while was_cancelled:
            number += 1
            try:
                await cancelling.at(number, work(f"order-{number}"), again=again)
                was_cancelled = False
            except asyncio.CancelledError:
                assert checked_out(store) == 0
            versions = [await store.stream_version(f"order-{number}{suffix}") for suffix in ("", "-too")]
            assert versions in ([[0, 0], [1, 1]] if was_cancelled else [[1, 1]])


@pytest.mark.slow
@again_or_not
async def test_a_session_does_not_keep_the_write_lock(any_url: str, cancelling: Cancelling, *, again: bool) -> None:
    async with AsyncEventStore.from_url(any_url, lock_timeout_seconds=3) as store:
        number = 0
        errors: list[asyncio.CancelledError] = []

        async def work(stream_id: str) -> None:
            async with AsyncSession(store.engine) as session, session.begin():
                await store.join(session).append(stream_id, numbered(1), expected_version=NO_STREAM)

        while len(errors) == number:
            number += 1
            try:
                await cancelling.at(number, work(f"order-{number}"), again=again)
            except asyncio.CancelledError as error:
                errors.append(error)  # its traceback leads to the driver's cursor, as an error does that is logged
            await store.append("order-0", numbered(1), expected_version=ANY)
            await eventually(lambda: checked_out(store) == 0)
        assert len(errors) > 1


async def test_a_transaction_that_is_cancelled_when_it_has_just_begun_is_left(
    any_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncEventStore.from_url(any_url) as store:
        await store.append("order-1", numbered(1), expected_version=NO_STREAM)
        begin = EventStore.transaction
        tasks: list[Any] = []

        @contextmanager
        def begin_and_cancel(of: EventStore) -> Iterator[EventStore]:
            with begin(of) as transaction:
                tasks[0].cancel()
                yield transaction

        monkeypatch.setattr(EventStore, "transaction", begin_and_cancel)

        async def work() -> None:
            tasks.append(asyncio.current_task())
            async with store.transaction():
                pytest.fail("it was cancelled before")

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(work())
        assert checked_out(store) == 0
        monkeypatch.undo()
        await store.append("order-1", numbered(1), expected_version=1)


@pytest.mark.slow
async def test_a_read_says_that_it_was_interrupted(any_url: str, cancelling: Cancelling) -> None:
    async with AsyncEventStore.from_url(any_url, page_size=3) as store:
        await store.append("order-1", numbered(9), expected_version=ANY)
        reads: list[Callable[[], AsyncIteration[RecordedEvent]]] = [
            lambda: store.read_stream("order-1"),
            store.read_all,
        ]
        for read in reads:
            number = interrupted = 0
            seen: list[int] = []
            while len(seen) < 9:
                number += 1
                events, seen = read(), []

                async def take() -> None:
                    seen.extend([event.data["number"] async for event in events])  # noqa: B023  # called at once

                with suppress(asyncio.CancelledError):
                    await cancelling.at(number, take())
                    break
                assert checked_out(store) == 0
                seen = []
                try:
                    seen = numbers([event async for event in events])
                    assert seen == [*range(1, 10)]  # it was cancelled before it had begun
                    seen = []
                except ReadInterrupted:
                    interrupted += 1
            assert seen == [*range(1, 10)]
            assert interrupted > 3


@pytest.mark.slow
async def test_an_append_that_waits_for_a_lock_is_cancelled_at_once(any_url: str) -> None:
    async with AsyncEventStore.from_url(any_url) as store, AsyncEventStore.from_url(any_url) as other:
        await store.append("order-1", numbered(1), expected_version=ANY)
        event = NewEvent("counted", {"number": 2})
        async with other.transaction() as tx:
            await tx.append("order-1", event, expected_version=1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await store.append("order-1", NewEvent("counted"), expected_version=1)
            assert checked_out(store) == 0
            assert await store.stream_version("order-1") == 1
        assert (await store.append("order-1", event, expected_version=1)).duplicate


async def test_a_task_that_waits_for_its_turn_gives_it_up() -> None:
    async with AsyncEventStore.in_memory() as store:
        async with store.transaction() as tx:
            await tx.append("order-1", numbered(1), expected_version=ANY)
            waiting = [
                asyncio.create_task(store.append("order-1", numbered(1), expected_version=ANY)) for _ in range(3)
            ]
            await asyncio.sleep(0)
            waiting[1].cancel()
            await asyncio.wait([waiting[1]])
        assert sorted([(await waiting[0]).version, (await waiting[2]).version]) == [2, 3]
        assert checked_out(store) == 0
