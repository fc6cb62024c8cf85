"""Keys: the place of a row in the order of its table, as the database and as metadata have it."""

from typing import Any

from eventstore.transfer.incoming import Order
from eventstore.transfer.sources.values import metadata_value

Key = tuple[int | str, ...]


def key_value(value: Any) -> int | str:
    """Return a value of an order column as metadata has it: an integer, or text."""
    return value if type(value) is int else str(metadata_value(value))


def order_of_key(key: Key) -> Order:
    """Return a key as metadata has it: a number alone, or a list."""
    first = key[0]
    return first if len(key) == 1 and isinstance(first, int) else list(key)
