"""Reads of one stream: range, direction, limit, pages."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventstore import EventStore, NewEvent
from eventstore.testing._base import ContractBase, MakeStore, numbered, numbers

RANGES: list[tuple[int, int | None, list[int]]] = [
    (0, None, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    (3, None, [4, 5, 6, 7, 8, 9, 10]),
    (0, 4, [1, 2, 3, 4]),
    (3, 7, [4, 5, 6, 7]),
    (9, None, [10]),
    (10, None, []),
    (5, 5, []),
    (7, 3, []),
    (0, 99, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    (0, 2**63 - 1, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    (2**63 - 1, None, []),
]
"""after_version, up_to_version, and the versions between them."""


class ReadContract(ContractBase):
    """The contract of reading a stream."""

    def test_an_event_comes_back_whole(self, store: EventStore) -> None:
        event = NewEvent("order-placed", {"total": 30}, metadata={"user": 7}, schema_version=3)
        result = store.append("order-42-a", [event], expected_version=0)
        (recorded,) = store.read_stream("order-42-a")
        assert recorded.position == result.position
        assert (recorded.stream_id, recorded.category, recorded.version) == ("order-42-a", "order", 1)
        assert (recorded.event_id, recorded.event_type) == (event.event_id, "order-placed")
        assert (recorded.schema_version, recorded.data, recorded.metadata) == (3, {"total": 30}, {"user": 7})

    def test_recorded_at_is_now_in_utc(self, store: EventStore) -> None:
        store.append("order-1", numbered(1), expected_version=0)
        recorded_at = next(store.read_stream("order-1")).recorded_at
        assert recorded_at.tzinfo is UTC
        assert abs(datetime.now(UTC) - recorded_at) < timedelta(minutes=5)

    def test_a_missing_stream_has_no_events_and_version_0(self, store: EventStore) -> None:
        assert list(store.read_stream("order-1")) == []
        assert store.stream_version("order-1") == 0

    @pytest.mark.parametrize("page_size", [1, 3, 9, 10, 11, 1000])
    def test_a_range_is_after_one_version_up_to_another(self, make_store: MakeStore, page_size: int) -> None:
        store = make_store(page_size=page_size)
        store.append("counter-1", numbered(10), expected_version=0)
        for after, up_to, expected in RANGES:
            options: dict[str, Any] = {"after_version": after, "up_to_version": up_to}
            assert numbers(store.read_stream("counter-1", **options)) == expected
            assert numbers(store.read_stream("counter-1", **options, backwards=True)) == expected[::-1]

    @pytest.mark.parametrize("page_size", [1, 2, 3, 1000])
    def test_a_limit_counts_from_where_reading_begins(self, make_store: MakeStore, page_size: int) -> None:
        store = make_store(page_size=page_size)
        store.append("counter-1", numbered(10), expected_version=0)
        for limit in (0, 1, 2, 3, 4, 10, 11):
            oldest = store.read_stream("counter-1", after_version=2, limit=limit)
            newest = store.read_stream("counter-1", up_to_version=8, limit=limit, backwards=True)
            assert numbers(oldest) == list(range(3, 11))[:limit]
            assert numbers(newest) == list(range(8, 0, -1))[:limit]

    def test_an_abandoned_read_holds_nothing(self, make_store: MakeStore) -> None:
        store = make_store(page_size=2)
        store.append("counter-1", numbered(10), expected_version=0)
        reads = [store.read_stream("counter-1") for _ in range(50)]
        assert [next(read).version for read in reads] == [1] * 50
        assert store.append("counter-1", numbered(1, first=11), expected_version=10).version == 11
        assert numbers(reads[0]) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
