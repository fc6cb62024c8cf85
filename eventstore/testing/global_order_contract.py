"""The global order: settled events of all streams, by filters, ranges and pages."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine

from eventstore import ANY, Append, EventFilter, EventStore, InvalidInput, LogWentBack, NewEvent, PositionToken
from eventstore.errors import InvalidFilter, PositionBeyondLog, UnsuitableTransaction
from eventstore.events import STREAM_DELETED_EVENT
from eventstore.filters import MAX_FILTERS
from eventstore.testing._base import ContractBase, MakeStore, numbered, numbers

PAGE_SIZES = [1, 2, 3, 7, 1000]

BAD_LISTS: list[Any] = [
    [],
    (),
    "order-placed",
    b"x",
    {"a": 1},
    7,
    [7],
    [None],
    [b"x"],
    ["x" * 256],
    ["a\0b"],
    ["\ud800"],
]
"""Values that are not a list of names, for every field of a filter."""

BAD_NUMBERS: list[Any] = [-1, True, 1.5, "1", None, 2**63]

TYPES = ["placed", "paid", "shipped"]
CATEGORIES = ["order", "invoice", "x"]

StoredRow = tuple[int, str, str, str, tuple[str, ...]]


def fill(store: EventStore) -> list[StoredRow]:
    """Append 60 events to 12 streams; return position, type, category, stream id and tags of each."""
    appends = []
    for number in range(60):
        category, instance = CATEGORIES[number % 3], number % 12
        tags = [f"half:{number % 2}", f"third:{number % 3}", *(["rare"] if number % 20 == 7 else [])]
        event = NewEvent(TYPES[number * 7 // 5 % 3], {"number": number}, tags=tags)
        appends.append(Append(f"{category}-{instance}", [event], expected_version=ANY))
    store.append_many(appends)
    return [
        (event.position, event.event_type, event.category, event.stream_id, event.tags) for event in store.read_all()
    ]


FILTERS: list[list[dict[str, Any]]] = [
    [],
    [{}],
    [{"event_types": ["paid"]}],
    [{"event_types": ["paid", "placed", "paid"]}],
    [{"event_types": ["none-such"]}],
    [{"categories": ["order"]}],
    [{"categories": ["order", "x", "none"]}],
    [{"stream_ids": ["order-3"]}],
    [{"stream_ids": ["order-3", "invoice-1", "none-such"]}],
    [{"event_types": ["paid"], "categories": ["order", "x"]}],
    [{"event_types": ["paid", "placed"], "stream_ids": ["order-3", "invoice-1"]}],
    [{"categories": ["order"], "stream_ids": ["order-3", "invoice-1"]}],
    [{"event_types": ["paid"], "categories": ["order"], "stream_ids": ["order-3", "order-0"]}],
    [{"event_types": ["paid"]}, {"event_types": ["paid"]}],
    [{"event_types": ["paid"]}, {"event_types": ["placed"]}],
    [{"event_types": ["paid"]}, {"categories": ["order"]}],
    [{"event_types": ["paid"]}, {"categories": ["order"]}, {"stream_ids": ["order-3"]}, {"event_types": ["placed"]}],
    [{"event_types": ["paid"]}, {}],
    [{"tags": ["half:1"]}],
    [{"tags": ["none"]}],
    [{"tags": ["half:1", "third:2"]}],
    [{"tags": ["third:2", "rare", "half:1"]}],
    [{"tags": ["half:1", "none"]}],
    [{"tags": ["half:1"], "event_types": ["paid"]}],
    [{"tags": ["half:0", "third:0"], "categories": ["order", "x"]}],
    [{"tags": ["rare"], "stream_ids": ["order-3", "invoice-7"], "event_types": ["paid", "placed", "shipped"]}],
    [{"tags": ["half:1"]}, {"tags": ["half:0"]}],
    [{"tags": ["rare"]}, {"event_types": ["paid"]}, {"tags": ["half:0", "third:1"]}],
]


def expected_of(rows: list[StoredRow], filters: list[dict[str, Any]], after: int = 0) -> list[int]:
    """Return the positions that filters match, by the definition."""

    def matches(row: StoredRow, options: dict[str, Any]) -> bool:
        _, event_type, category, stream_id, tags = row
        return (
            event_type in options.get("event_types", [event_type])
            and category in options.get("categories", [category])
            and stream_id in options.get("stream_ids", [stream_id])
            and set(options.get("tags", [])) <= set(tags)
        )

    alternatives = filters or [{}]
    return [row[0] for row in rows if row[0] > after and any(matches(row, options) for options in alternatives)]


def at_read_committed(engine: Engine) -> Connection:
    """Return a connection for a transaction that sees what others commit, independent of the engine's options."""
    options = {} if engine.dialect.name == "sqlite" else {"isolation_level": "READ COMMITTED"}
    return engine.connect().execution_options(**options)


class GlobalOrderContract(ContractBase):
    """The contract of reading all streams."""

    def test_all_events_come_in_the_order_of_their_positions(self, store: EventStore) -> None:
        first = store.append("order-1", numbered(2), expected_version=0)
        other = store.append("invoice-1", numbered(1, first=3), expected_version=0)
        last = store.append_many([Append("order-1", numbered(2, first=4), expected_version=2)])[0]
        events = list(store.read_all())
        assert numbers(events) == [1, 2, 3, 4, 5]
        assert [event.position for event in events] == sorted({event.position for event in events})
        assert (events[1].position, events[2].position, events[4].position) == (
            first.position,
            other.position,
            last.position,
        )
        assert [event.version for event in events] == [1, 2, 1, 3, 4]
        assert store.settled_position() == last.position

    def test_an_event_of_the_global_order_is_that_of_its_stream(self, store: EventStore) -> None:
        event = NewEvent("order-placed", {"total": 30}, metadata={"user": 7}, schema_version=3)
        store.append("order-42-a", [event], expected_version=0)
        for filters in ([], [EventFilter(event_types=["order-placed"])]):
            assert list(store.read_all(*filters)) == list(store.read_stream("order-42-a"))

    def test_an_empty_store_has_no_events_and_is_settled_at_0(self, store: EventStore) -> None:
        assert list(store.read_all()) == []
        assert list(store.read_all(EventFilter(event_types=["placed"]))) == []
        assert store.settled_position() == 0

    @pytest.mark.parametrize("page_size", PAGE_SIZES)
    def test_filters_match_by_all_of_their_fields_and_any_of_them(self, make_store: MakeStore, page_size: int) -> None:
        rows = fill(make_store())
        store = make_store(page_size=page_size)
        for options in FILTERS:
            filters = [EventFilter(**fields) for fields in options]
            positions = [event.position for event in store.read_all(*filters)]
            assert positions == expected_of(rows, options), options

    @pytest.mark.parametrize("filtered", [False, True])
    def test_after_position_is_exclusive(self, store: EventStore, filtered: bool) -> None:
        rows = fill(store)
        filters = [EventFilter(event_types=["paid"])] if filtered else []
        options = [{"event_types": ["paid"]}] if filtered else []
        last = rows[-1][0]
        for after in (0, 1, 2, 29, 30, last - 1, last):
            positions = [event.position for event in store.read_all(*filters, after_position=after)]
            assert positions == expected_of(rows, options, after)
        for after in (last + 1, 2**63 - 1):
            with pytest.raises(PositionBeyondLog) as error:
                next(store.read_all(*filters, after_position=after))
            assert (error.value.position, error.value.newest) == (after, last)

    @pytest.mark.parametrize("filtered", [False, True])
    def test_a_read_goes_on_after_a_token(self, store: EventStore, filtered: bool) -> None:
        fill(store)
        filters = [EventFilter(event_types=["paid"])] if filtered else []
        events = list(store.read_all(*filters))
        for number, event in enumerate(events):
            token = PositionToken.parse(str(event.token))
            assert list(store.read_all(*filters, after_position=token)) == events[number + 1 :]

    def test_a_read_after_an_event_goes_on_if_its_stream_was_deleted(self, store: EventStore) -> None:
        store.append("order-1", [NewEvent("placed"), NewEvent("paid")], expected_version=0)
        store.append("order-2", [NewEvent("placed")], expected_version=0)
        last, *_ = [event.token for event in store.read_all() if event.stream_id == "order-1"]
        store.delete_stream("order-1", expected_version=2, reason="asked for")
        events = [(event.stream_id, event.event_type) for event in store.read_all(after_position=last)]
        assert events == [("order-2", "placed"), ("order-1", STREAM_DELETED_EVENT)]

    def test_a_read_after_an_event_that_never_was_is_refused(self, store: EventStore) -> None:
        fill(store)
        event = next(store.read_all())
        token = PositionToken(event.position, uuid4(), event.stream_id, event.version)
        with pytest.raises(LogWentBack) as error:
            next(store.read_all(after_position=token))
        assert error.value.position == event.position
        assert (error.value.expected_id, error.value.found_id) == (token.event_id, event.event_id)

    def test_a_filter_matches_the_events_that_it_reads(self, store: EventStore) -> None:
        fill(store)
        events = list(store.read_all())
        for options in FILTERS[1:]:
            filters = [EventFilter(**fields) for fields in options]
            matching = [event for event in events if any(each.matches(event) for each in filters)]
            assert matching == list(store.read_all(*filters)), options

    @pytest.mark.parametrize("page_size", PAGE_SIZES)
    def test_a_limit_counts_events_that_match(self, make_store: MakeStore, page_size: int) -> None:
        rows = fill(make_store())
        store = make_store(page_size=page_size)
        paid: dict[str, Any] = {"event_types": ["paid"]}
        for limit in (0, 1, 2, 3, 19, 1000):
            for options in ([], [paid], [paid, {"categories": ["order"]}]):
                filters = [EventFilter(**fields) for fields in options]
                positions = [event.position for event in store.read_all(*filters, limit=limit)]
                assert positions == expected_of(rows, options)[:limit]

    @pytest.mark.parametrize("page_size", PAGE_SIZES)
    def test_backwards_the_same_events_come_the_newest_first(self, make_store: MakeStore, page_size: int) -> None:
        rows = fill(make_store())
        store = make_store(page_size=page_size)
        for options in FILTERS:
            filters = [EventFilter(**fields) for fields in options]
            for after, limit in ((0, None), (0, 3), (16, None), (16, 0), (44, 1), (44, 1000), (rows[-1][0], None)):
                expected = expected_of(rows, options, after)[::-1]
                events = store.read_all(*filters, after_position=after, limit=limit, backwards=True)
                assert [event.position for event in events] == expected[:limit], (options, after, limit)

    def test_backwards_a_read_ends_before_a_token(self, store: EventStore) -> None:
        fill(store)
        events = list(store.read_all())
        assert list(store.read_all(after_position=events[40].token, backwards=True)) == events[:40:-1]
        lost = PositionToken(events[40].position, uuid4(), events[40].stream_id, events[40].version)
        with pytest.raises(LogWentBack):
            next(store.read_all(after_position=lost, backwards=True))
        with pytest.raises(PositionBeyondLog):
            next(store.read_all(after_position=events[-1].position + 1, backwards=True))

    def test_backwards_of_nothing_there_is_nothing(self, store: EventStore) -> None:
        assert list(store.read_all(backwards=True)) == []
        store.append("order-1", numbered(1), expected_version=0)
        assert list(store.read_all(EventFilter(event_types=["none"]), backwards=True)) == []

    def test_backwards_a_read_begins_at_what_is_newest_then(self, make_store: MakeStore) -> None:
        store = make_store(page_size=2)
        store.append("counter-1", numbered(5), expected_version=0)
        numbers = []
        for event in store.read_all(backwards=True):
            numbers.append(event.data["number"])
            store.append("counter-1", numbered(1, first=100), expected_version=ANY)
        assert numbers == [5, 4, 3, 2, 1]

    def test_backwards_a_read_goes_on_if_the_stream_of_its_first_event_is_deleted(self, make_store: MakeStore) -> None:
        store = make_store(page_size=2)
        store.append("order-1", numbered(3), expected_version=0)
        store.append("order-2", numbered(2, first=4), expected_version=0)
        read = store.read_all(backwards=True)
        assert numbers([next(read), next(read)]) == [5, 4]
        store.delete_stream("order-2", expected_version=2, reason="asked for")
        assert numbers(read) == [3, 2, 1]

    def test_backwards_too_all_is_read_only_if_the_transaction_has_not_appended(self, store: EventStore) -> None:
        with store.transaction() as transaction:
            transaction.append("order-1", numbered(1), expected_version=0)
            with pytest.raises(UnsuitableTransaction):
                next(transaction.read_all(backwards=True))

    def test_the_last_position_is_all_that_has_to_be_kept(self, store: EventStore) -> None:
        rows = fill(store)
        position, positions = 0, []
        while events := list(store.read_all(after_position=position, limit=7)):
            positions += [event.position for event in events]
            position = positions[-1]
        assert positions == [row[0] for row in rows]
        store.append("order-new", numbered(1), expected_version=0)
        assert [event.stream_id for event in store.read_all(after_position=position)] == ["order-new"]

    def test_a_read_ends_at_what_was_newest_when_it_began(self, make_store: MakeStore) -> None:
        store = make_store(page_size=2)
        store.append("counter-1", numbered(5), expected_version=0)
        numbers = []
        for event in store.read_all():
            numbers.append(event.data["number"])
            store.append("counter-1", numbered(1, first=100), expected_version=ANY)
        assert numbers == [1, 2, 3, 4, 5]

    def test_an_abandoned_global_read_holds_nothing(self, make_store: MakeStore) -> None:
        store = make_store(page_size=2)
        store.append("counter-1", numbered(10), expected_version=0)
        reads = [store.read_all() for _ in range(50)]
        assert [next(read).version for read in reads] == [1] * 50
        assert store.append("counter-1", numbered(1, first=11), expected_version=10).version == 11
        assert numbers(reads[0])[:9] == [2, 3, 4, 5, 6, 7, 8, 9, 10]

    def test_what_was_rolled_back_leaves_no_trace_but_a_hole(self, store: EventStore, engine: Engine) -> None:
        store.append("order-1", numbered(1), expected_version=0)
        with engine.connect() as connection:
            store.join(connection).append("order-1", numbered(3, first=2), expected_version=1)
            connection.rollback()
        store.append("order-1", numbered(1, first=5), expected_version=1)
        assert numbers(store.read_all(wait_seconds=0)) == [1, 5]
        assert numbers(store.read_all(EventFilter(categories=["order"]), wait_seconds=0)) == [1, 5]

    def test_all_is_read_in_a_joined_transaction_that_has_not_written(self, store: EventStore, engine: Engine) -> None:
        store.append("order-1", numbered(3), expected_version=0)
        with at_read_committed(engine) as connection:
            joined = store.join(connection)
            assert numbers(joined.read_all()) == [1, 2, 3]
            store.append("order-1", numbered(1, first=4), expected_version=3)
            assert numbers(joined.read_all()) == [1, 2, 3, 4]
            assert joined.settled_position() == store.settled_position()

    def test_a_transaction_that_has_appended_may_not_read_all(self, store: EventStore, engine: Engine) -> None:
        with at_read_committed(engine) as connection:
            joined = store.join(connection)
            joined.append("order-1", numbered(1), expected_version=0)
            with pytest.raises(UnsuitableTransaction):
                list(joined.read_all())
            with pytest.raises(UnsuitableTransaction):
                joined.settled_position()
        with store.transaction() as transaction:
            transaction.append("order-1", numbered(1), expected_version=0)
            with pytest.raises(UnsuitableTransaction):
                list(transaction.read_all())
        assert numbers(store.read_all()) == [1]

    @pytest.mark.parametrize("field", ["event_types", "categories", "stream_ids"])
    def test_a_filter_names_something(self, field: str) -> None:
        for names in BAD_LISTS:
            with pytest.raises(InvalidFilter, match=field):
                EventFilter(**{field: names})
        options: dict[str, Any] = {field: iter(["b", "a", "b"])}
        assert getattr(EventFilter(**options), field) == ("a", "b")

    def test_filters_are_values(self) -> None:
        one, same = EventFilter(event_types=["a", "b"]), EventFilter(event_types=("b", "a", "a"))
        assert (one == same, len({one, same})) == (True, 1)

    def test_a_category_has_no_hyphen_and_an_empty_type_is_none(self) -> None:
        assert EventFilter(categories=[""]).categories == ("",)
        bad_filters: list[dict[str, Any]] = [{"categories": ["order-1"]}, {"event_types": [""]}, {"stream_ids": [""]}]
        for bad in bad_filters:
            with pytest.raises(InvalidFilter):
                EventFilter(**bad)

    def test_bad_positions_and_limits(self, store: EventStore) -> None:
        for number in BAD_NUMBERS:
            for backwards in (False, True):
                with pytest.raises(InvalidInput, match="after_position"):
                    store.read_all(after_position=number, backwards=backwards)
            if number is not True:
                with pytest.raises(InvalidInput, match="backwards"):
                    store.read_all(backwards=number)
            if number is not None:
                for backwards in (False, True):
                    with pytest.raises(InvalidInput, match="limit"):
                        store.read_all(limit=number, backwards=backwards)
        bad_times: list[Any] = [-0.1, True, "1", None, float("nan"), float("inf")]
        for seconds in bad_times:
            with pytest.raises(InvalidInput, match="wait_seconds"):
                store.read_all(wait_seconds=seconds)

    def test_what_is_no_filter(self, store: EventStore) -> None:
        bad: list[Any] = ["order", None, {}, [EventFilter()], {"event_types": ["a"]}]
        for filter_ in bad:
            with pytest.raises(InvalidFilter):
                store.read_all(filter_)
            with pytest.raises(InvalidFilter):
                store.read_all(EventFilter(), filter_)

    def test_many_names_are_fine_and_too_many_filters_are_not(self, store: EventStore) -> None:
        rows = fill(store)
        ids = [*(f"none-{number}" for number in range(20_000)), "order-3"]
        of_stream = [row[0] for row in rows if row[3] == "order-3"]
        assert [event.position for event in store.read_all(EventFilter(stream_ids=ids))] == of_stream
        one_by_one = [EventFilter(stream_ids=[stream_id]) for stream_id in ids[-500:]]
        assert [event.position for event in store.read_all(*one_by_one)] == of_stream
        different = [
            EventFilter(stream_ids=["order-3"], categories=["order", f"none{number}"]) for number in range(MAX_FILTERS)
        ]
        assert [event.position for event in store.read_all(*different)] == of_stream
        with pytest.raises(InvalidFilter):
            store.read_all(*different, EventFilter(stream_ids=["order-3"], event_types=["paid"]))
