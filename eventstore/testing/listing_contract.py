"""Lists without payloads: streams, snapshots, the position before the last events; and health."""

from datetime import timedelta
from typing import Any

import pytest

from eventstore import ANY, EventStore, InvalidInput
from eventstore.streams import StreamOrder
from eventstore.testing._base import ContractBase, MakeStore, numbered

_STREAMS = {"order-2": 3, "order": 1, "order-1": 5, "order.x": 2, "order!-1": 2, "invoice-1": 3}


class ListingContract(ContractBase):
    """The contract of lists."""

    @pytest.fixture
    def many(self, make_store: MakeStore) -> EventStore:
        """Return a store of pages of two with some streams, of which `order-1` was appended to last."""
        store = make_store(page_size=2)
        for stream_id, count in _STREAMS.items():
            store.append(stream_id, numbered(count), expected_version=0)
        store.append("order-1", numbered(1, first=6), expected_version=5)
        return store

    def test_streams_are_listed_by_id_byte_by_byte(self, many: EventStore) -> None:
        listed = list(many.list_streams())
        assert [stream.stream_id for stream in listed] == sorted(_STREAMS)
        assert {stream.stream_id: stream.version for stream in listed} == {**_STREAMS, "order-1": 6}
        (order,) = [stream for stream in listed if stream.stream_id == "order-1"]
        first, *_, last = many.read_stream("order-1")
        assert abs(order.created_at - first.recorded_at) < timedelta(seconds=5)
        assert abs(order.updated_at - last.recorded_at) < timedelta(seconds=5)
        assert order.created_at <= order.updated_at
        assert (order.category, order.created_at.utcoffset()) == ("order", timedelta(0))

    def test_a_category_has_its_own_streams_only(self, many: EventStore) -> None:
        def of(category: str, order: StreamOrder = StreamOrder.ID) -> list[str]:
            return [stream.stream_id for stream in many.list_streams(category=category, order=order)]

        assert of("order") == ["order", "order-1", "order-2"]
        assert of("order", StreamOrder.SIZE) == ["order-1", "order-2", "order"]
        assert (of("order!"), of("order.x"), of("ord"), of("")) == (["order!-1"], ["order.x"], [], [])

    def test_the_longest_come_first_and_equal_ones_by_id(self, many: EventStore) -> None:
        listed = [(stream.version, stream.stream_id) for stream in many.list_streams(order=StreamOrder.SIZE)]
        assert listed == [
            (6, "order-1"), (3, "invoice-1"), (3, "order-2"), (2, "order!-1"), (2, "order.x"), (1, "order"),
        ]  # fmt: skip

    def test_the_last_appended_to_comes_first(self, many: EventStore) -> None:
        many.append("order-2", numbered(1), expected_version=ANY)
        listed = list(many.list_streams(order=StreamOrder.RECENT))
        assert sorted(stream.stream_id for stream in listed) == sorted(_STREAMS)
        keys = [(-stream.updated_at.timestamp(), stream.stream_id) for stream in listed]
        assert keys == sorted(keys)
        assert listed[0].updated_at == max(stream.updated_at for stream in listed)

    def test_a_list_goes_on_after_any_of_its_streams(self, many: EventStore) -> None:
        for order in StreamOrder:
            whole = [stream.stream_id for stream in many.list_streams(order=order)]
            for place, stream_id in enumerate(whole):
                rest = many.list_streams(order=order, after_stream_id=stream_id)
                assert [stream.stream_id for stream in rest] == whole[place + 1 :]
            assert [stream.stream_id for stream in many.list_streams(order=order, limit=3)] == whole[:3]
            assert list(many.list_streams(order=order, limit=0)) == []

    def test_a_list_goes_on_after_a_stream_that_is_gone_only_in_order_of_ids(self, many: EventStore) -> None:
        assert next(many.list_streams(after_stream_id="order-15")).stream_id == "order-2"
        with pytest.raises(InvalidInput):
            next(many.list_streams(after_stream_id="order-15", order=StreamOrder.SIZE))

    def test_bad_arguments_of_lists_are_errors(self, store: EventStore) -> None:
        lists: list[dict[str, Any]] = [{"category": "a-b"}, {"order": "size"}, {"after_stream_id": ""}, {"limit": -1}]
        for arguments in lists:
            with pytest.raises(InvalidInput):
                store.list_streams(**arguments)
        lists = [{"category": 1}, {"after": ("", 1)}, {"after": ("a", -1)}, {"limit": True}]
        for arguments in lists:
            with pytest.raises(InvalidInput):
                store.snapshots.list(**arguments)
        with pytest.raises(InvalidInput):
            store.snapshots.coverage(min_version=0)

    def test_snapshots_are_listed_by_stream_and_schema_version(self, many: EventStore) -> None:
        for stream_id, version, schema_version in (("order-2", 1, 1), ("order-1", 4, 2), ("order-1", 6, 1)):
            many.snapshots.save(stream_id, version=version, state={"n": 1}, schema_version=schema_version)
        listed = list(many.snapshots.list())
        keys = [(each.stream_id, each.schema_version) for each in listed]
        assert keys == [("order-1", 1), ("order-1", 2), ("order-2", 1)]
        assert [(each.version, each.stream_version, each.events_after) for each in listed] == [
            (6, 6, 0), (4, 6, 2), (1, 3, 2),
        ]  # fmt: skip
        loaded = many.snapshots.load("order-1")
        assert loaded is not None
        assert (listed[0].created_at, listed[0].codec, listed[0].size_bytes) == (loaded.created_at, 1, 4)
        assert list(many.snapshots.list(after=("order-1", 1))) == listed[1:]
        assert list(many.snapshots.list(limit=2)) == listed[:2]
        assert list(many.snapshots.list(category="order", limit=5)) == listed
        assert list(many.snapshots.list(category="invoice")) == []

    def test_coverage_counts_what_is_read_in_spite_of_snapshots(self, many: EventStore) -> None:
        many.snapshots.save("order-1", version=4, state=1, schema_version=1)
        many.snapshots.save("order-1", version=5, state=1, schema_version=2)
        coverage = many.snapshots.coverage()
        assert (coverage.streams, coverage.covered, coverage.events_after, coverage.most_events_after) == (6, 1, 12, 3)
        of_orders = many.snapshots.coverage(category="order", min_version=2)
        assert (of_orders.streams, of_orders.covered, of_orders.events_after) == (2, 1, 4)
        of_none = many.snapshots.coverage(category="none")
        assert (of_none.streams, of_none.covered, of_none.events_after, of_none.most_events_after) == (0, 0, 0, 0)

    def test_a_store_with_its_tables_is_healthy(self, store: EventStore) -> None:
        health = store.health()
        assert (health.ok, health.problems, health.connection.is_up, health.schema.fits) == (True, (), True, True)
        assert health.projections == ()
