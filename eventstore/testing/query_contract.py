"""Queries: a stream by event types, its ends, events by their ids, by positions and times, and counts."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, update

from eventstore import ANY, EventFilter, EventStore, EventTypes, InvalidInput, NewEvent, RecordedEvent, caused_by
from eventstore.errors import InvalidEvent
from eventstore.event_types.upcasting import PlainEvent
from eventstore.events import STREAM_DELETED_EVENT
from eventstore.testing._base import ContractBase, MakeStore
from eventstore.testing.global_order_contract import FILTERS, fill

MIDNIGHT = datetime(2026, 10, 25, tzinfo=UTC)


def hours(number: float) -> datetime:
    """Return a time some hours after the first of these tests."""
    return MIDNIGHT + timedelta(hours=number)


class QueryContract(ContractBase):
    """The contract of queries."""

    @pytest.mark.parametrize("page_size", [1, 2, 1000])
    def test_a_stream_is_read_by_event_types(self, make_store: MakeStore, page_size: int) -> None:
        store = make_store(page_size=page_size)
        names = ["placed", "noted", "paid", "noted", "noted", "placed", "it's % :x"]
        store.append("order-1", [NewEvent(name) for name in names], expected_version=0)
        for types in (["noted"], ["paid", "placed"], ["it's % :x"], ["none"], names, iter(["paid", "none"])):
            wanted = set(types)
            expected = [version for version, name in enumerate(names, 1) if name in wanted]

            def versions(wanted: Any = wanted, **options: Any) -> list[int]:
                return [event.version for event in store.read_stream("order-1", event_types=wanted, **options)]

            assert versions() == expected
            assert versions(backwards=True) == expected[::-1]
            assert versions(limit=2) == expected[:2]
            assert versions(after_version=2, up_to_version=6) == [each for each in expected if 2 < each <= 6]

    @pytest.mark.parametrize("types", [[], "placed", b"x", {"a": 1}, 7, [7], [""], [str(n) for n in range(1001)]])
    def test_a_bad_list_of_types_is_refused(self, store: EventStore, types: Any) -> None:
        with pytest.raises((InvalidInput, InvalidEvent)):
            store.read_stream("order-1", event_types=types)

    def test_the_ends_of_a_stream(self, store: EventStore) -> None:
        assert store.first_and_last("order-1") is None
        store.append("order-1", NewEvent("placed", 1), expected_version=0)
        store.append("order-2", NewEvent("placed", 2), expected_version=0)
        assert _data(store.first_and_last("order-1")) == (1, 1)
        store.append("order-1", [NewEvent("noted", 3), NewEvent("paid", 4)], expected_version=1)
        assert _data(store.first_and_last("order-1")) == (1, 4)
        with store.transaction() as transaction:
            transaction.append("order-1", NewEvent("paid", 5), expected_version=3)
            assert _data(transaction.first_and_last("order-1")) == (1, 5)
        store.delete_stream("order-1", expected_version=4, reason="test")
        ends = store.first_and_last("order-1")
        assert ends is not None
        assert [end.event_type for end in ends] == [STREAM_DELETED_EVENT] * 2
        with pytest.raises(InvalidInput):
            store.first_and_last("")

    def test_the_ends_are_those_that_upcasters_leave(self, make_store: MakeStore) -> None:
        event_types = EventTypes()
        event_types.drop("dropped", from_version=1)

        @event_types.splitter("two", from_version=1, into=[("a", 1), ("b", 1)])
        def part(data: Any) -> Iterator[tuple[str, Any]]:
            yield "a", data
            yield "b", data

        store = make_store(event_types=event_types, page_size=1)
        names = ["dropped", "two", "noted", "two", "dropped", "dropped"]
        store.append("order-1", [NewEvent(name, number) for number, name in enumerate(names)], expected_version=0)
        store.append("order-2", [NewEvent("dropped")] * 1, expected_version=0)
        ends = store.first_and_last("order-1")
        assert ends is not None
        everything = list(store.read_stream("order-1"))
        assert list(ends) == [everything[0], everything[-1]]
        assert [PlainEvent(end.event_type, end.schema_version, end.data) for end in ends] == [("a", 1, 1), ("b", 1, 3)]
        assert _data(store.first_and_last("order-1", upcast=False)) == (0, 5)
        assert store.first_and_last("order-2") is None

    def test_events_are_found_by_their_ids(self, make_store: MakeStore) -> None:
        store = make_store(page_size=2)
        request, other = str(uuid4()), 'it\'s "7" % :x'
        placed = NewEvent("placed", metadata={"correlation_id": request})
        store.append("order-1", [placed, NewEvent("noted")], expected_version=0)
        store.append("order-2", NewEvent("noted", metadata={"correlation_id": other}), expected_version=0)
        (recorded,) = store.find_events(event_id=placed.event_id)
        assert (recorded.stream_id, recorded.event_id) == ("order-1", placed.event_id)
        sent = [NewEvent("sent", number, metadata=caused_by(recorded)) for number in range(5)]
        store.append("mail-1", sent, expected_version=0)
        found = list(store.find_events(correlation_id=request))
        assert [event.event_id for event in found] == [placed.event_id, *(event.event_id for event in sent)]
        assert list(store.find_events(correlation_id=UUID(request))) == found
        assert list(store.find_events(causation_id=placed.event_id)) == found[1:]
        assert [event.stream_id for event in store.find_events(correlation_id=other)] == ["order-2"]
        cause = next(store.find_events(event_id=UUID(found[-1].metadata["causation_id"])))
        assert cause == recorded
        assert list(store.find_events(correlation_id="none")) == list(store.find_events(event_id=uuid4())) == []

    def test_ids_to_find_by_are_checked(self, store: EventStore) -> None:
        ids: list[dict[str, Any]] = [
            {}, {"event_id": uuid4(), "correlation_id": "x"}, {"event_id": "x"}, {"correlation_id": 7},
        ]  # fmt: skip
        for given in ids:
            with pytest.raises(InvalidInput):
                store.find_events(**given)

    @pytest.mark.parametrize("page_size", [3, 1000])
    def test_the_global_order_is_read_up_to_a_position(self, make_store: MakeStore, page_size: int) -> None:
        rows = fill(make_store())
        store = make_store(page_size=page_size)
        positions = [row[0] for row in rows]
        for after, up_to in product((0, positions[4], positions[30]), (0, positions[3], positions[30], 2**63 - 1)):
            expected = [position for position in positions if after < position <= up_to]
            options: dict[str, Any] = {"after_position": after, "up_to_position": up_to}
            assert [event.position for event in store.read_all(**options)] == expected
            assert [event.position for event in store.read_all(**options, backwards=True)] == expected[::-1]
            assert [event.position for event in store.read_all(**options, limit=2)] == expected[:2]
            assert store.count_events(**options) == len(expected)
        for bad in (-1, 2**63, "1", True):
            with pytest.raises(InvalidInput):
                store.read_all(up_to_position=bad)  # type: ignore[arg-type]  # refused
            with pytest.raises(InvalidInput):
                store.count_events(up_to_position=bad)  # type: ignore[arg-type]  # refused

    @pytest.mark.parametrize("page_size", [3, 1000])
    def test_the_global_order_is_read_by_time(self, make_store: MakeStore, engine: Engine, page_size: int) -> None:
        """Times are in no order, as after an import: in one half they ascend, in the other they are at random."""
        rows = fill(make_store())
        random = Random(page_size)
        set_times(
            engine, make_store(), {row[0]: hours(n if n < 30 else random.randrange(60)) for n, row in enumerate(rows)}
        )
        store = make_store(page_size=page_size)
        everything = list(store.read_all())
        orders = EventFilter(categories=["order"], event_types=["paid", "placed"])
        periods = [(None, 5), (5, 6), (5, 5.5), (5.5, 6), (7, 40), (29, None), (58, 90), (-9, -1), (-9, 90)]
        for (since, before), filters in product(periods, ([], [orders], [EventFilter(event_types=["paid"]), orders])):
            options: dict[str, Any] = {
                "recorded_since": None if since is None else hours(since),
                "recorded_before": None if before is None else hours(before),
            }
            expected = [
                event
                for event in everything
                if (since is None or event.recorded_at >= hours(since))
                and (before is None or event.recorded_at < hours(before))
                and (not filters or any(each.matches(event) for each in filters))
            ]
            assert list(store.read_all(*filters, **options)) == expected
            assert list(store.read_all(*filters, **options, backwards=True)) == expected[::-1]
            assert list(store.read_all(*filters, **options, limit=3)) == expected[:3]
            assert list(store.read_all(*filters, **options, limit=3, backwards=True)) == expected[::-1][:3]
            assert store.count_events(*filters, **options) == len(expected)
            middle: dict[str, Any] = {"after_position": rows[9][0], "up_to_position": rows[45][0]}
            between = [event for event in expected if rows[9][0] < event.position <= rows[45][0]]
            assert list(store.read_all(*filters, **options, **middle)) == between
            assert list(store.read_all(*filters, **options, **middle, backwards=True)) == between[::-1]
            assert store.count_events(*filters, **options, **middle) == len(between)

    def test_times_are_compared_in_any_zone_to_the_microsecond(self, make_store: MakeStore, engine: Engine) -> None:
        store = make_store()
        position = store.append("order-1", NewEvent("noted"), expected_version=0).position
        tick, time = timedelta(microseconds=1), datetime(2026, 10, 25, 1, 30, 0, 123457, tzinfo=UTC)
        set_times(engine, store, {position: time})
        zone = _zone(time)
        assert store.count_events(recorded_since=zone) == 1
        assert store.count_events(recorded_since=zone + tick) == 0
        assert store.count_events(recorded_before=zone) == 0
        assert [event.recorded_at for event in store.read_all(recorded_before=zone + tick)] == [time]

    def test_periods_are_checked(self, store: EventStore) -> None:
        periods: list[dict[str, Any]] = [
            {"recorded_since": datetime(2026, 1, 1)},  # noqa: DTZ001  # refused
            {"recorded_before": "2026-01-01"},
            {"recorded_since": hours(1), "recorded_before": hours(1)},
            {"recorded_since": hours(2), "recorded_before": hours(1)},
        ]
        for period in periods:
            with pytest.raises(InvalidInput):
                store.read_all(**period)
            with pytest.raises(InvalidInput):
                store.count_events(**period)

    @pytest.mark.parametrize("filters", FILTERS, ids=str)
    def test_a_count_is_that_of_the_events_that_would_be_read(
        self, store: EventStore, filters: list[dict[str, Any]]
    ) -> None:
        assert store.count_events() == 0
        fill(store)
        wanted = [EventFilter(**each) for each in filters]
        assert store.count_events(*wanted) == len(list(store.read_all(*wanted)))
        assert store.count_events(*wanted, after_position=30) == len(list(store.read_all(*wanted, after_position=30)))

    def test_a_count_needs_no_page(self, make_store: MakeStore) -> None:
        store = make_store(page_size=1)
        token = store.append("order-1", [NewEvent("noted")] * 1, expected_version=ANY).token
        store.append("order-1", [NewEvent("noted"), NewEvent("noted")], expected_version=ANY)
        assert store.count_events(after_position=token) == 2


def set_times(engine: Engine, store: EventStore, times: dict[int, datetime]) -> None:
    """Set the times of events by their positions, as an import keeps them."""
    other = EventStore(engine, schema=store.tables.metadata.schema)
    with other.transaction() as transaction, transaction.allow_history_changes():
        for position, time in times.items():
            events = transaction.tables.events
            # SQLite's text of a time has no zone
            value = time if engine.dialect.name == "postgresql" else time.astimezone(UTC).replace(tzinfo=None)
            transaction.connection.execute(
                update(events).where(events.c.position == position).values(recorded_at=value)
            )


def _zone(time: datetime) -> datetime:
    return time.astimezone(timezone(timedelta(hours=-5, minutes=-30)))


def _data(ends: tuple[RecordedEvent, RecordedEvent] | None) -> tuple[Any, Any] | None:
    return None if ends is None else (ends[0].data, ends[1].data)
