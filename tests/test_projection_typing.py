"""What mypy knows of handlers, and what it must refuse: an ignore that is not needed is an error of mypy's."""

from dataclasses import dataclass
from typing import Any, assert_type

import pytest
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from eventstore import EventStore, EventTypes, NewEvent, RecordedEvent
from eventstore.projections import Projection, Worker

event_types = EventTypes()


@event_types.register("item-added")
@dataclass(frozen=True)
class ItemAdded:
    article: str
    price: int


@event_types.register("item-removed")
@dataclass(frozen=True)
class ItemRemoved:
    article: str


@event_types.register("order-paid")
@dataclass(frozen=True)
class OrderPaid:
    amount: int


def test_a_handler_knows_the_data_of_its_class() -> None:
    projection = Projection("seen")
    seen: list[object] = []

    @projection.on(ItemAdded)
    def add(event: RecordedEvent[ItemAdded], connection: Connection) -> None:
        assert_type(event.data, ItemAdded)
        seen.append(event.data.price)

    @projection.on(ItemRemoved, OrderPaid)
    def note(event: RecordedEvent[ItemRemoved | OrderPaid], connection: Connection) -> None:
        assert_type(event.data, ItemRemoved | OrderPaid)
        seen.append(event.data)

    @projection.on
    def others(event: RecordedEvent, connection: Connection) -> None:
        assert_type(event.data, Any)
        seen.append(event.data["more"])

    with EventStore.in_memory(event_types=event_types) as store:
        given = [ItemAdded("tea", 4), ItemRemoved("tea"), OrderPaid(4), NewEvent("other", {"more": True})]
        store.append("order-1", given, expected_version=0)
        Worker(store, projection).run_until_caught_up()
    assert seen == [4, ItemRemoved("tea"), OrderPaid(4), True]


def test_a_handler_of_many_classes_or_of_names_takes_any_data() -> None:
    projection = Projection("seen")

    @projection.on(ItemAdded, ItemRemoved, OrderPaid, str)
    def many(event: RecordedEvent, connection: Connection) -> None:
        assert_type(event.data, Any)

    @projection.on("a", "b")
    @projection.on()
    def named(event: RecordedEvent[ItemAdded], connection: Connection) -> None:
        assert_type(event.data, ItemAdded)

    assert all(map(callable, (many, named)))


def test_a_decorated_handler_keeps_its_type() -> None:
    projection = Projection("seen")

    @projection.on(ItemAdded)
    def of_class(event: RecordedEvent[ItemAdded], session: Session) -> int:
        return event.data.price

    @projection.on("item-removed")
    def of_name(event: RecordedEvent, session: Session) -> int:
        return event.version

    def call(event: RecordedEvent[ItemAdded], session: Session) -> None:
        assert_type(of_class(event, session), int)
        assert_type(of_name(event, session), int)

    assert callable(call)


def test_a_handler_of_another_class_is_refused_by_mypy() -> None:
    projection = Projection("seen")

    @projection.on(ItemAdded)  # type: ignore[arg-type]
    def wrong(event: RecordedEvent[OrderPaid], connection: Connection) -> None: ...

    @projection.on(ItemRemoved, OrderPaid)  # type: ignore[arg-type]
    def only_one(event: RecordedEvent[OrderPaid], connection: Connection) -> None: ...

    def unknown(event: RecordedEvent[ItemAdded]) -> Any:
        return event.data.amount  # type: ignore[attr-defined]

    assert all(map(callable, (wrong, only_one, unknown)))


@pytest.mark.parametrize("events", [[NewEvent("item-added")], [NewEvent("x"), NewEvent("y")]])
def test_events_of_plain_data_have_any_data(events: list[NewEvent]) -> None:
    with EventStore.in_memory() as store:
        store.append("order-1", events, expected_version=0)
        for event in store.read_all():
            assert_type(event.data, Any)
