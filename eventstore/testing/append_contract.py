"""Appends: expectations, batches, repetitions, several streams, races."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from random import Random
from threading import Barrier
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pytest

from eventstore import (
    ANY,
    NO_STREAM,
    STREAM_EXISTS,
    Append,
    AppendResult,
    ConcurrencyConflict,
    EventIdReused,
    EventStore,
    EventTypes,
    ExpectedVersion,
    NewEvent,
)
from eventstore.codecs import JSONCodec, MessagePackCodec
from eventstore.testing._base import ContractBase, MakeStore, numbered, numbers


@dataclass(frozen=True, slots=True)
class Counted:
    """An event of a registered class that is iterable, like a list of events."""

    number: int

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.number))


SAME: list[tuple[Any, Any]] = [
    ({"a": 1, "b": {"x": 2, "y": 3}}, {"b": {"y": 3, "x": 2}, "a": 1}),
    (float("nan"), float("nan")),
    (Decimal("sNaN"), Decimal("sNaN")),
    ({1, 2, 300, "a"}, {"a", 300, 2, 1}),
    ({(1, 2): "x", True: "y"}, {True: "y", (1, 2): "x"}),
    ({"text": "x" * 1000}, {"text": "x" * 1000}),
]
"""Pairs of values that count as the same content."""
OTHERS: list[tuple[Any, Any]] = [
    (1, True),
    (1, 1.0),
    (0.0, -0.0),
    (Decimal("1.0"), Decimal("1.00")),
    ({1}, frozenset({1})),
    ([1], (1,)),
    ({1: "x"}, {True: "x"}),
    ({1, 2}, {True, 2}),
    (datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 1, 13, tzinfo=timezone(timedelta(hours=1)))),
]
"""Pairs of values, most of them equal, that count as different contents."""


def kept(values: list[Any]) -> list[NewEvent]:
    """Return events with these values, always with the same ids."""
    return [
        NewEvent("kept", {"in": value}, event_id=uuid5(NAMESPACE_OID, str(number)))
        for number, value in enumerate(values)
    ]


def versions(store: EventStore, stream_id: str) -> list[int]:
    """Return the versions of the events of a stream."""
    return [event.version for event in store.read_stream(stream_id)]


class ExpectationContract(ContractBase):
    """Which expected version accepts which stream."""

    def test_one_event_needs_no_list(self, make_store: MakeStore) -> None:
        event_types = EventTypes()
        event_types.register("counted")(Counted)
        store = make_store(event_types=event_types)
        for expected, event in enumerate([NewEvent("placed"), Counted(7), NewEvent("paid")]):
            result = store.append("order-1", event, expected_version=expected)
            assert result.version == expected + 1
        repeated = NewEvent("placed")
        first = store.append("order-2", repeated, expected_version=0)
        assert store.append("order-2", [repeated], expected_version=0) == replace(first, duplicate=True)
        store.append_many([Append("order-3", Counted(8), expected_version=0)])
        assert [event.event_type for event in store.read_stream("order-1")] == ["placed", "counted", "paid"]
        assert [event.data for event in store.read_stream("order-3")] == [Counted(8)]

    def test_the_first_append_creates_the_stream_at_version_1(self, store: EventStore) -> None:
        result = store.append("order-1", numbered(1), expected_version=NO_STREAM)
        assert (result.stream_id, result.version, result.duplicate) == ("order-1", 1, False)
        assert store.stream_version("order-1") == 1

    def test_versions_count_up_without_gaps_and_positions_ascend(self, store: EventStore) -> None:
        store.append("order-1", numbered(2), expected_version=0)
        store.append("order-2", numbered(1), expected_version=0)
        result = store.append("order-1", numbered(3, first=3), expected_version=2)
        events = list(store.read_stream("order-1"))
        positions = [event.position for event in events]
        assert [event.version for event in events] == [1, 2, 3, 4, 5]
        assert positions == sorted(set(positions))
        assert (result.version, result.position) == (5, positions[-1])

    def test_a_result_has_the_positions_of_all_of_its_events(self, store: EventStore) -> None:
        events = numbered(3)
        results = [
            store.append("order-1", numbered(1), expected_version=0),
            store.append("order-2", events, expected_version=0),
            *store.append_many(
                [
                    Append("order-3", numbered(2), expected_version=0),
                    Append("order-1", numbered(3), expected_version=1),
                    Append("order-3", numbered(1), expected_version=ANY),
                ]
            ),
            store.append("order-2", events, expected_version=0),
            *store.append_many([Append("order-4", numbered(2), expected_version=ANY)], atomic=False),
        ]
        with store.transaction() as transaction:
            results.append(transaction.append("order-4", numbered(2), expected_version=2))
        assert [len(result.positions) for result in results if isinstance(result, AppendResult)] == [
            1, 3, 2, 3, 1, 3, 2, 2,
        ]  # fmt: skip
        for result in results:
            assert isinstance(result, AppendResult)
            after = result.version - len(result.positions)
            read = store.read_stream(result.stream_id, after_version=after, up_to_version=result.version)
            assert result.positions == tuple(event.position for event in read)
            assert result.position == result.positions[-1]

    @pytest.mark.parametrize("expected", [0, 1, 3, 2**62])
    def test_a_wrong_version_is_a_conflict_that_tells_the_actual_one(self, store: EventStore, expected: int) -> None:
        store.append("order-1", numbered(2), expected_version=0)
        with pytest.raises(ConcurrencyConflict) as conflict:
            store.append("order-1", numbered(1), expected_version=expected)
        assert (conflict.value.stream_id, conflict.value.expected, conflict.value.actual) == ("order-1", expected, 2)
        assert versions(store, "order-1") == [1, 2]

    @pytest.mark.parametrize("expected", [1, 7, STREAM_EXISTS])
    def test_a_missing_stream_is_at_version_0(self, store: EventStore, expected: ExpectedVersion) -> None:
        with pytest.raises(ConcurrencyConflict) as conflict:
            store.append("order-1", numbered(1), expected_version=expected)
        assert (conflict.value.expected, conflict.value.actual) == (expected, 0)
        assert store.stream_version("order-1") == 0

    def test_any_creates_and_appends(self, store: EventStore) -> None:
        assert store.append("order-1", numbered(2), expected_version=ANY).version == 2
        assert store.append("order-1", numbered(1), expected_version=ANY).version == 3
        assert versions(store, "order-1") == [1, 2, 3]

    def test_stream_exists_appends_at_whatever_version(self, store: EventStore) -> None:
        store.append("order-1", numbered(4), expected_version=0)
        assert store.append("order-1", numbered(2), expected_version=STREAM_EXISTS).version == 6

    def test_streams_are_apart(self, store: EventStore) -> None:
        store.append("order-1", numbered(2), expected_version=0)
        store.append("order-10", numbered(1, first=9), expected_version=0)
        assert numbers(store.read_stream("order-1")) == [1, 2]
        assert numbers(store.read_stream("order-10")) == [9]
        assert numbers(store.read_stream("ORDER-1")) == []


class BatchContract(ContractBase):
    """Large appends work as small ones do."""

    @pytest.mark.parametrize("count", [1, 1000])
    def test_a_batch_is_stored_in_its_order(self, store: EventStore, count: int) -> None:
        result = store.append("counter-1", numbered(count), expected_version=0)
        events = list(store.read_stream("counter-1"))
        assert result.version == count
        assert numbers(events) == list(range(1, count + 1))
        assert [event.position for event in events] == list(range(result.position - count + 1, result.position + 1))

    def test_events_may_come_from_a_generator(self, store: EventStore) -> None:
        events = (NewEvent("counted", {"number": number}) for number in (1, 2, 3))
        assert store.append("counter-1", events, expected_version=0).version == 3


class RepetitionContract(ContractBase):
    """Appends are idempotent: the same events appended again are stored once."""

    def test_repeating_an_append_returns_the_first_result(self, store: EventStore) -> None:
        events = numbered(3)
        first = store.append("order-1", events, expected_version=0)
        again = store.append("order-1", events, expected_version=0)
        assert again == replace(first, duplicate=True)
        assert versions(store, "order-1") == [1, 2, 3]

    def test_it_is_recognised_when_the_stream_has_gone_on(self, store: EventStore) -> None:
        store.append("order-1", numbered(1), expected_version=0)
        events = numbered(2, first=2)
        first = store.append("order-1", events, expected_version=1)
        store.append("order-1", numbered(5, first=4), expected_version=3)
        again = store.append("order-1", events, expected_version=1)
        assert (again.version, again.position, again.duplicate) == (3, first.position, True)
        assert store.stream_version("order-1") == 8

    def test_some_of_the_events_are_no_repetition(self, store: EventStore) -> None:
        events = numbered(3)
        store.append("order-1", events[:2], expected_version=0)
        with pytest.raises(ConcurrencyConflict):
            store.append("order-1", events, expected_version=0)
        with pytest.raises(ConcurrencyConflict):
            store.append("order-1", [events[1], events[0]], expected_version=0)
        assert versions(store, "order-1") == [1, 2]

    def test_metadata_may_differ_and_stays_as_it_was(self, store: EventStore) -> None:
        events = numbered(1)
        store.append("order-1", events, expected_version=0, metadata={"try": 1})
        assert store.append("order-1", events, expected_version=0, metadata={"try": 2}).duplicate
        assert next(store.read_stream("order-1")).metadata == {"try": 1}

    @pytest.mark.parametrize(
        ("event_type", "data", "schema_version"),
        [("paid", {"total": 31}, 1), ("cancelled", {"total": 30}, 1), ("paid", {"total": 30}, 2)],
    )
    def test_the_same_ids_with_another_content_are_an_error(
        self, store: EventStore, event_type: str, data: dict[str, int], schema_version: int
    ) -> None:
        placed, paid = NewEvent("placed", {"total": 30}), NewEvent("paid", {"total": 30})
        store.append("order-1", [placed, paid], expected_version=0)
        other = NewEvent(event_type, data, event_id=paid.event_id, schema_version=schema_version)
        with pytest.raises(EventIdReused) as reused:
            store.append("order-1", [placed, other], expected_version=0)
        assert (reused.value.event_id, reused.value.version) == (paid.event_id, 2)
        assert versions(store, "order-1") == [1, 2]

    def test_a_repetition_is_recognised_whoever_writes_it(self, make_store: MakeStore) -> None:
        """Another codec, compression or another order of a dict is still the same content."""
        stores = [make_store(codec=codec()) for codec in (MessagePackCodec, JSONCodec)]
        others = [*stores, make_store(compress_above=0)]
        first, again = kept([one for one, _ in SAME]), kept([other for _, other in SAME])
        for number, store in enumerate(stores):
            store.append(f"order-{number}", first, expected_version=0)
            for other in others:
                assert other.append(f"order-{number}", again, expected_version=0).duplicate

    def test_what_python_takes_for_equal_is_another_content(self, make_store: MakeStore) -> None:
        first, again = kept([one for one, _ in OTHERS]), kept([other for _, other in OTHERS])
        store, other = make_store(), make_store(codec=JSONCodec())
        store.append("order-1", first, expected_version=0)
        for index in range(len(OTHERS)):
            for each in (store, other):
                with pytest.raises(EventIdReused) as reused:
                    each.append("order-1", [*first[:index], again[index], *first[index + 1 :]], expected_version=0)
                assert reused.value.version == index + 1


class SeveralStreamsContract(ContractBase):
    """`append_many` is atomic, or handles each append separately."""

    def test_append_many_stores_all(self, store: EventStore) -> None:
        store.append("order-1", numbered(2), expected_version=0)
        results = store.append_many(
            [
                Append("order-3", numbered(1), expected_version=NO_STREAM),
                Append("order-1", numbered(2, first=3), expected_version=2),
                Append("order-2", numbered(1), expected_version=ANY, metadata={"user": 7}),
                Append("order-1", numbered(1, first=5), expected_version=STREAM_EXISTS),
            ]
        )
        assert [(result.stream_id, result.version) for result in results] == [
            ("order-3", 1), ("order-1", 4), ("order-2", 1), ("order-1", 5),
        ]  # fmt: skip
        assert [result.position for result in results] == sorted(result.position for result in results)
        assert numbers(store.read_stream("order-1")) == [1, 2, 3, 4, 5]
        assert next(store.read_stream("order-2")).metadata == {"user": 7}
        last = [list(store.read_stream(result.stream_id))[result.version - 1].position for result in results]
        assert last == [result.position for result in results]

    def test_append_many_stores_nothing_on_a_conflict(self, store: EventStore) -> None:
        store.append("order-2", numbered(1), expected_version=0)
        with pytest.raises(ConcurrencyConflict) as conflict:
            store.append_many(
                [
                    Append("order-1", numbered(1), expected_version=0),
                    Append("order-2", numbered(1), expected_version=0),
                    Append("order-3", numbered(1), expected_version=1),
                ]
            )
        assert (conflict.value.stream_id, conflict.value.actual) == ("order-2", 1)
        assert [store.stream_version(f"order-{number}") for number in (1, 2, 3)] == [0, 1, 0]
        assert store.append("order-1", numbered(1), expected_version=NO_STREAM).version == 1

    def test_append_many_that_is_not_atomic_leaves_out_those_in_conflict(self, store: EventStore) -> None:
        store.append("order-2", numbered(1), expected_version=0)
        one, two, three = store.append_many(
            [
                Append("order-1", numbered(1), expected_version=0),
                Append("order-2", numbered(1), expected_version=0),
                Append("order-1", numbered(1, first=2), expected_version=1),
            ],
            atomic=False,
        )
        assert isinstance(two, ConcurrencyConflict)
        assert (two.stream_id, two.expected, two.actual) == ("order-2", 0, 1)
        assert isinstance(one, AppendResult)
        assert isinstance(three, AppendResult)
        assert (one.version, three.version) == (1, 2)
        assert [store.stream_version(f"order-{number}") for number in (1, 2)] == [2, 1]

    def test_append_many_that_is_not_atomic_leaves_no_trace_of_a_stream_in_conflict(self, store: EventStore) -> None:
        (conflict,) = store.append_many([Append("order-1", numbered(1), expected_version=STREAM_EXISTS)], atomic=False)
        assert isinstance(conflict, ConcurrencyConflict)
        assert store.append("order-1", numbered(1), expected_version=NO_STREAM).version == 1

    def test_a_repeated_append_many_stores_nothing_twice(self, store: EventStore) -> None:
        appends = [
            Append("order-1", numbered(2), expected_version=0),
            Append("order-1", numbered(1, first=3), expected_version=2),
            Append("order-2", numbered(1), expected_version=0),
        ]
        first = store.append_many(appends)
        again = store.append_many(appends)
        assert all(result.duplicate for result in again)
        assert [(result.version, result.position) for result in again] == [
            (result.version, result.position) for result in first
        ]
        assert versions(store, "order-1") == [1, 2, 3]

    def test_no_appends_are_no_results(self, store: EventStore) -> None:
        assert store.append_many([]) == []
        assert store.append_many([], atomic=False) == []

    def test_many_streams_in_one_call(self, store: EventStore) -> None:
        appends = [Append(f"order-{number}", numbered(2), expected_version=0) for number in range(500)]
        results = store.append_many(appends)
        assert len({result.position for result in results}) == 500
        assert all(store.stream_version(f"order-{number}") == 2 for number in (0, 250, 499))


class RaceContract(ContractBase):
    """Concurrent writers on separate connections."""

    WRITERS = 8

    @pytest.mark.parametrize("existing", [0, 3])
    def test_one_writer_wins_and_the_others_get_a_conflict(self, store: EventStore, existing: int) -> None:
        if existing:
            store.append("order-1", numbered(existing), expected_version=0)
        barrier = Barrier(self.WRITERS)

        def write(_: int) -> AppendResult | ConcurrencyConflict:
            barrier.wait()
            try:
                return store.append("order-1", numbered(2), expected_version=existing)
            except ConcurrencyConflict as conflict:
                return conflict

        with ThreadPoolExecutor(self.WRITERS) as threads:
            outcomes = list(threads.map(write, range(self.WRITERS)))
        conflicts = [outcome for outcome in outcomes if isinstance(outcome, ConcurrencyConflict)]
        assert len(conflicts) == self.WRITERS - 1
        assert {(conflict.expected, conflict.actual) for conflict in conflicts} == {(existing, existing + 2)}
        assert versions(store, "order-1") == list(range(1, existing + 3))

    def test_writers_who_expect_nothing_all_succeed(self, store: EventStore) -> None:
        barrier = Barrier(self.WRITERS)

        def write(number: int) -> int:
            barrier.wait()
            return store.append("order-1", numbered(3, first=number * 10), expected_version=ANY).version

        with ThreadPoolExecutor(self.WRITERS) as threads:
            results = list(threads.map(write, range(self.WRITERS)))
        assert sorted(results) == [3 * number for number in range(1, self.WRITERS + 1)]
        events = list(store.read_stream("order-1"))
        assert [event.version for event in events] == list(range(1, 3 * self.WRITERS + 1))
        batches = [numbers(events[start : start + 3]) for start in range(0, len(events), 3)]
        assert all(batch == [batch[0], batch[0] + 1, batch[0] + 2] for batch in batches)

    def test_appends_to_many_streams_do_not_deadlock(self, store: EventStore) -> None:
        turns = 8
        old = [f"old-{index}" for index in range(20)]
        new = [[f"new-{turn}-{index}" for index in range(20)] for turn in range(turns)]
        barrier = Barrier(self.WRITERS, timeout=10)  # if a writer fails, the others do not wait forever

        def write(number: int) -> None:
            for turn in range(turns):
                barrier.wait()
                ids = old + new[turn]
                Random(number * turns + turn).shuffle(ids)
                store.append_many([Append(id_, numbered(1), expected_version=ANY) for id_ in ids])

        with ThreadPoolExecutor(self.WRITERS) as threads:
            list(threads.map(write, range(self.WRITERS)))
        assert {store.stream_version(stream_id) for stream_id in old} == {turns * self.WRITERS}
        assert {store.stream_version(stream_id) for ids in new for stream_id in ids} == {self.WRITERS}


class AppendContract(ExpectationContract, BatchContract, RepetitionContract, SeveralStreamsContract, RaceContract):
    """The contract of appends."""
