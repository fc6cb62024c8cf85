"""Correlation: metadata of a context, and of a cause."""

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from eventstore import (
    ANY,
    NO_STREAM,
    Append,
    EventStore,
    InvalidInput,
    NewEvent,
    RecordedEvent,
    caused_by,
    metadata_context,
)
from eventstore.correlation import add_metadata_provider, current_metadata
from eventstore.errors import InvalidMetadata


@pytest.fixture
def store() -> Iterator[EventStore]:
    with EventStore.in_memory() as store:
        yield store


def append(store: EventStore, **options: Any) -> RecordedEvent:
    version = store.append("order-1", [NewEvent("happened")], expected_version=ANY, **options).version
    return next(store.read_stream("order-1", after_version=version - 1))


# --- the context


def test_a_context_adds_to_every_kind_of_append(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    event = [NewEvent("happened")]
    with metadata_context(correlation_id="r-1", user_id=7):
        store.append("a-1", event, expected_version=NO_STREAM)
        store.append_many([Append("a-2", event, expected_version=NO_STREAM)])
        store.append_many([Append("a-3", event, expected_version=NO_STREAM)], atomic=False)
        with store.transaction() as joined:
            joined.append("a-4", event, expected_version=NO_STREAM)
        with Session(any_engine) as session, session.begin():
            store.join(session).append("a-5", event, expected_version=NO_STREAM)
    store.append("a-6", event, expected_version=NO_STREAM)
    metadata = [next(store.read_stream(f"a-{number}")).metadata for number in range(1, 7)]
    assert metadata == [{"correlation_id": "r-1", "user_id": 7}] * 5 + [{}]


def test_a_function_is_asked_at_each_append_and_every_context_wins_over_it(store: EventStore) -> None:
    answers: Iterator[dict[str, Any]] = iter([{"user_id": 7, "step": "none"}, {"user_id": 8}, {}, {"user_id": 9}])

    def ask() -> dict[str, Any]:
        return next(answers)

    def in_context() -> None:
        add_metadata_provider(ask)
        add_metadata_provider(ask)  # is called once all the same
        with metadata_context(step="payment"):
            assert append(store).metadata == {"user_id": 7, "step": "payment"}
        assert append(store, metadata={"a": 1}).metadata == {"user_id": 8, "a": 1}
        assert append(store).metadata == {}
        assert current_metadata() == {"user_id": 9}

    contextvars.copy_context().run(in_context)
    assert append(store).metadata == {}


def test_contexts_nest_and_the_inner_one_wins(store: EventStore) -> None:
    with metadata_context({"a": 1, "b": 1, "c": 1}) as outer:
        with metadata_context({"b": 2}, c=3) as inner:
            assert append(store).metadata == inner == {"a": 1, "b": 2, "c": 3}
        assert append(store).metadata == outer == {"a": 1, "b": 1, "c": 1}
    assert append(store).metadata == {}


def test_keywords_win_over_the_mapping() -> None:
    with metadata_context({"a": 1, "b": 1}, b=2) as metadata:
        assert metadata == current_metadata() == {"a": 1, "b": 2}


def test_metadata_of_the_append_and_of_the_event_win(store: EventStore) -> None:
    events = [NewEvent("plain"), NewEvent("own", metadata={"c": "event"})]
    with metadata_context(a="context", b="context", c="context"):
        store.append("order-1", events, expected_version=NO_STREAM, metadata={"b": "append", "c": "append"})
        only_event = [NewEvent("own", metadata={"c": None})]
        store.append("order-1", only_event, expected_version=2)
    assert [dict(event.metadata) for event in store.read_stream("order-1")] == [
        {"a": "context", "b": "append", "c": "append"},
        {"a": "context", "b": "append", "c": "event"},
        {"a": "context", "b": "context", "c": None},
    ]


def test_a_context_ends_with_its_block_also_by_an_error(store: EventStore) -> None:
    with pytest.raises(KeyError), metadata_context(a=1):
        raise KeyError
    assert current_metadata() == {}
    assert append(store).metadata == {}


def test_a_context_decorates_a_function(store: EventStore) -> None:
    @metadata_context(job="nightly")
    def work() -> RecordedEvent:
        return append(store)

    assert work().metadata == work().metadata == {"job": "nightly"}
    assert current_metadata() == {}


def test_what_a_context_gives_cannot_change_it(store: EventStore) -> None:
    given = {"a": {"b": 1}}
    with metadata_context(given) as metadata:
        metadata["c"] = 1
        current_metadata()["d"] = 1
        given["e"] = {}
        assert append(store).metadata == {"a": {"b": 1}}


def test_a_context_stays_in_its_thread_unless_asked(store: EventStore) -> None:
    with metadata_context(a=1), ThreadPoolExecutor(1) as threads:
        assert threads.submit(append, store).result().metadata == {}
        asked = threads.submit(contextvars.copy_context().run, append, store)
        assert asked.result().metadata == {"a": 1}
        handed_on = threads.submit(metadata_context(current_metadata())(append), store)
        assert handed_on.result().metadata == {"a": 1}
        assert threads.submit(append, store).result().metadata == {}


def test_threads_do_not_see_each_other(store: EventStore) -> None:
    barrier = threading.Barrier(4)

    def work(number: int) -> dict[str, Any]:
        with metadata_context(number=number):
            barrier.wait(timeout=30)
            event = store.append(f"a-{number}", [NewEvent("happened")], expected_version=NO_STREAM)
            barrier.wait(timeout=30)
            return dict(next(store.read_stream(event.stream_id)).metadata)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(4))) == [{"number": number} for number in range(4)]


def test_tasks_do_not_see_each_other() -> None:
    async def work(number: int) -> dict[str, Any]:
        with metadata_context(number=number):
            await asyncio.sleep(0)
            return current_metadata()

    async def both() -> list[dict[str, Any]]:
        with metadata_context(request="r-1"):
            return list(await asyncio.gather(work(1), work(2)))

    assert asyncio.run(both()) == [{"request": "r-1", "number": 1}, {"request": "r-1", "number": 2}]


@pytest.mark.parametrize(
    ("metadata", "more"),
    [
        ("text", {}),
        ([("a", 1)], {}),
        ({1: 2}, {}),
        (None, {"a": object()}),
        ({"a": b""}, {}),
        (None, {"a": "\0"}),
        (0, {}),
    ],
)
def test_bad_metadata_is_refused_when_the_context_is_entered(metadata: Any, more: dict[str, Any]) -> None:
    with pytest.raises(InvalidMetadata), metadata_context(metadata, **more):
        raise AssertionError
    assert current_metadata() == {}


@pytest.mark.parametrize("metadata", ["text", 7, [1]])
def test_bad_metadata_of_an_append_is_refused_inside_a_context_too(store: EventStore, metadata: Any) -> None:
    with metadata_context(a=1), pytest.raises(InvalidMetadata):
        append(store, metadata=metadata)


# --- causes


def test_a_reaction_continues_the_correlation_of_its_cause(store: EventStore) -> None:
    cause = append(store, metadata={"correlation_id": "r-1", "causation_id": "x", "tenant": "t", "user_id": 7})
    assert caused_by(cause) == {"correlation_id": "r-1", "causation_id": str(cause.event_id)}
    reaction = append(store, metadata=caused_by(cause, also=["tenant", "missing"]))
    assert reaction.metadata == {"correlation_id": "r-1", "causation_id": str(cause.event_id), "tenant": "t"}


@pytest.mark.parametrize("metadata", [None, {"correlation_id": None}])
def test_without_a_correlation_it_begins_with_the_cause(store: EventStore, metadata: Any) -> None:
    first = append(store, metadata=metadata)
    second = append(store, metadata=caused_by(first))
    third = append(store, metadata=caused_by(second))
    assert second.metadata == {"correlation_id": str(first.event_id), "causation_id": str(first.event_id)}
    assert third.metadata == {"correlation_id": str(first.event_id), "causation_id": str(second.event_id)}


def test_a_cause_wins_over_the_context_it_is_handled_in(store: EventStore) -> None:
    cause = append(store, metadata={"correlation_id": "r-1"})
    with metadata_context(correlation_id="worker", worker=3), metadata_context(caused_by(cause)):
        reaction = append(store)
    assert reaction.metadata == {"worker": 3, "correlation_id": "r-1", "causation_id": str(cause.event_id)}


@pytest.mark.parametrize(("event", "also"), [(NewEvent("a"), ()), (None, ()), ("x", ())])
def test_a_cause_is_an_event_that_was_read(event: Any, also: Any) -> None:
    with pytest.raises(InvalidInput, match="RecordedEvent"):
        caused_by(event, also=also)


@pytest.mark.parametrize("also", ["tenant", 7, None])
def test_also_is_a_list_of_keys(store: EventStore, also: Any) -> None:
    with pytest.raises(InvalidInput, match="also"):
        caused_by(append(store), also=also)
