"""Keys: the place of a row in the order of its table, as the database and as metadata have it."""

from math import isfinite
from typing import Any

from eventstore.transfer.incoming import Order
from eventstore.transfer.sources.values import NotConvertibleError, metadata_value

Key = tuple[int | float | str, ...]


def key_value(value: Any) -> int | float | str:
    """Return a value of an order column as metadata has it: a number, or text from which the database reads it.

    Raises:
        NotConvertibleError: The database would not read the same value from text.
    """
    if type(value) is int or (type(value) is float and isfinite(value)):
        return value
    if isinstance(value, float | bytes | bytearray | memoryview | list | tuple | dict | set):
        raise NotConvertibleError(
            f"it is {type(value).__name__}, which is no order; order by numbers, text, UUIDs or times"
        )
    return str(metadata_value(value))


def order_of_key(key: Key) -> Order:
    """Return a key as metadata has it: a number alone, or a list."""
    first = key[0]
    return first if len(key) == 1 and isinstance(first, int) else list(key)
