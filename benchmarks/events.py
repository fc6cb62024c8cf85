"""The event that all contestants store."""

from dataclasses import dataclass
from typing import Final

from eventstore import EventTypes, NewEvent

METADATA: Final = {"user_id": 7, "request": "0195d3a0-7c1e-7b6e-9a60-6a1c7f3c2b11"}
event_types: Final = EventTypes()


@event_types.register("item-added")
@dataclass(frozen=True, slots=True)
class ItemAdded:
    """An article in a basket: four fields, 80 bytes in MessagePack."""

    article: str
    quantity: int
    price_in_cents: int
    note: str


def item(number: int) -> ItemAdded:
    """Return the event of a number."""
    return ItemAdded(f"article-{number % 1000}", number % 7 + 1, 1999, "to be wrapped as a present")


def new_events(count: int) -> list[NewEvent]:
    """Return typed events, each with its id."""
    return [event_types.new_event(item(number)) for number in range(count)]
