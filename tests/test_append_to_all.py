"""Appends to several streams in one statement, on PostgreSQL: what becomes of them when another writer comes between.

Each is steered to the point where it waits for the other one, which then commits.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event, text

from eventstore import (
    ANY,
    NO_STREAM,
    STREAM_EXISTS,
    Append,
    AppendResult,
    ConcurrencyConflict,
    EventStore,
    ExpectedVersion,
    NewEvent,
)
from eventstore.backends.postgresql.parameters import many_appends
from tests.waiting import start_waiting

Results = Sequence[AppendResult | ConcurrencyConflict]


def events(count: int = 1) -> list[NewEvent]:
    return [NewEvent("counted", {"number": number}) for number in range(count)]


def append(stream_id: str, expected_version: ExpectedVersion, count: int = 1) -> Append:
    return Append(stream_id, events(count), expected_version=expected_version)


@pytest.fixture
def store(shared_postgres_engine: Engine) -> EventStore:
    store = EventStore(shared_postgres_engine)
    store.stream_version("order-1")
    return store


@contextmanager
def while_it_waits(store: EventStore, call: Callable[[], Results], other: Append) -> Iterator[Future[Results]]:
    """Begin a call while another writer has appended, and let that one commit when the call waits for it."""
    with ThreadPoolExecutor(1) as threads:
        with store.transaction() as holder:
            holder.append(other.stream_id, other.events, expected_version=other.expected_version)
            running = start_waiting(threads, holder.connection, call)
        yield running


def heads(store: EventStore) -> dict[str, int]:
    with store.engine.connect() as connection:
        found = connection.execute(text("SELECT stream_id, version FROM es_streams")).all()
        stored = connection.execute(text("SELECT stream_id, max(version) FROM es_events GROUP BY stream_id")).all()
    assert sorted(found) == sorted(stored)
    return {row[0]: row[1] for row in found}


def ends(results: Results) -> list[tuple[str, int]]:
    return [(result.stream_id, result.version) for result in results if isinstance(result, AppendResult)]


def test_it_returns_the_ends_of_all_in_the_order_of_the_list(store: EventStore) -> None:
    store.append("b", events(3), expected_version=NO_STREAM)
    results = store.append_many(
        [append("c", NO_STREAM, 2), append("b", ANY), append("a", ANY), append("c", 2), append("b", STREAM_EXISTS, 2)]
    )
    assert ends(results) == [("c", 2), ("b", 4), ("a", 1), ("c", 3), ("b", 6)]
    order = [(each.stream_id, each.version) for each in store.read_all()]
    assert order[3:] == [("c", 1), ("c", 2), ("b", 4), ("a", 1), ("c", 3), ("b", 5), ("b", 6)]
    positions = {(each.stream_id, each.version): each.position for each in store.read_all()}
    assert [positions[result.stream_id, result.version] for result in results] == [each.position for each in results]


def test_who_has_waited_for_a_head_goes_on_from_its_new_version(store: EventStore) -> None:
    store.append("a", events(1), expected_version=NO_STREAM)
    call = lambda: store.append_many([append("a", ANY, 2), append("b", NO_STREAM)])  # noqa: E731
    with while_it_waits(store, call, append("a", 1, 4)) as running:
        assert ends(running.result(timeout=30)) == [("a", 7), ("b", 1)]
    assert heads(store) == {"a": 7, "b": 1}


def test_a_head_that_has_moved_is_a_conflict_and_what_was_created_is_gone(store: EventStore) -> None:
    store.append("b", events(1), expected_version=NO_STREAM)
    call = lambda: store.append_many([append("a", NO_STREAM), append("b", 1), append("c", ANY)])  # noqa: E731
    with while_it_waits(store, call, append("b", 1)) as running, pytest.raises(ConcurrencyConflict) as conflict:
        running.result(timeout=30)
    assert (conflict.value.stream_id, conflict.value.actual) == ("b", 2)
    assert heads(store) == {"b": 2}


def test_a_joined_transaction_stays_usable_after_that(store: EventStore) -> None:
    store.append("b", events(1), expected_version=NO_STREAM)

    def call() -> Results:
        with store.transaction() as joined:
            with pytest.raises(ConcurrencyConflict):
                joined.append_many([append("a", NO_STREAM), append("b", 1)])
            return [joined.append("c", events(), expected_version=NO_STREAM)]

    with while_it_waits(store, call, append("b", 1)) as running:
        assert ends(running.result(timeout=30)) == [("c", 1)]
    assert heads(store) == {"b": 2, "c": 1}


def test_a_stream_that_has_appeared_is_a_conflict_where_none_was_expected(store: EventStore) -> None:
    call = lambda: store.append_many([append("a", NO_STREAM), append("b", NO_STREAM)])  # noqa: E731
    with while_it_waits(store, call, append("b", NO_STREAM)) as running, pytest.raises(ConcurrencyConflict) as conflict:
        running.result(timeout=30)
    assert (conflict.value.stream_id, conflict.value.actual) == ("b", 1)
    assert heads(store) == {"b": 1}


def test_a_stream_that_has_appeared_is_appended_to_where_anything_was_expected(store: EventStore) -> None:
    call = lambda: store.append_many([append("a", NO_STREAM), append("b", ANY)])  # noqa: E731
    with while_it_waits(store, call, append("b", NO_STREAM)) as running:
        assert ends(running.result(timeout=30)) == [("a", 1), ("b", 2)]
    assert heads(store) == {"a": 1, "b": 2}


def test_each_for_itself_stores_the_others(store: EventStore) -> None:
    store.append("b", events(1), expected_version=NO_STREAM)
    call = lambda: store.append_many([append("a", NO_STREAM), append("b", 1), append("c", ANY)], atomic=False)  # noqa: E731
    with while_it_waits(store, call, append("b", 1)) as running:
        results = running.result(timeout=30)
    assert ends(results) == [("a", 1), ("c", 1)]
    assert isinstance(results[1], ConcurrencyConflict)
    assert heads(store) == {"a": 1, "b": 2, "c": 1}


def test_a_database_whose_default_is_stricter_is_looked_at_again(store: EventStore, postgres_url: str) -> None:
    strict = EventStore.from_url(
        postgres_url,
        engine_options={"connect_args": {"options": "-c default_transaction_isolation=serializable"}},
    )
    strict.append("a", events(1), expected_version=NO_STREAM)
    call = lambda: strict.append_many([append("a", ANY), append("b", NO_STREAM)])  # noqa: E731
    with while_it_waits(strict, call, append("a", 1)) as running:
        assert ends(running.result(timeout=30)) == [("a", 3), ("b", 1)]
    strict.close()


def test_an_ordinary_conflict_fails_nowhere_in_the_database(store: EventStore) -> None:
    """It is found before anything is written, and no position is drawn."""
    last = store.append("a", events(1), expected_version=NO_STREAM).position
    errors: list[object] = []
    event.listen(store.engine, "handle_error", errors.append)
    with pytest.raises(ConcurrencyConflict):
        store.append_many([append("b", NO_STREAM), append("a", 7)])
    assert errors == []
    assert store.append("a", events(1), expected_version=1).position == last + 1


def test_what_several_appends_expect_of_one_stream_is_one_expectation(store: EventStore) -> None:
    def bounds(*expected: ExpectedVersion) -> tuple[int, int]:
        pending = [store.core.mapper.pending(append("a", each, 2)) for each in expected]
        parameters = many_appends(pending).parameters
        return parameters["lowest"][0], parameters["highest"][0]

    largest = 2**63 - 1
    assert bounds(3, 5, 7) == bounds(ANY, 5) == bounds(3, ANY) == (3, 3)
    assert bounds(ANY, ANY)[0] == bounds(NO_STREAM, STREAM_EXISTS)[0] == 0
    assert bounds(STREAM_EXISTS) == (1, largest)
    low, high = bounds(3, 4)
    assert low > high
