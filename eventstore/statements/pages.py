"""The parameters of the statements that read a page of the global order; each database has its own statements."""

from collections.abc import Callable, Sequence
from typing import Any

from eventstore.filters import EventFilter

FilterFields = tuple[tuple[str, ...], ...]
"""For each filter, the names of the fields that it restricts."""


def fields_of(filters: Sequence[EventFilter]) -> FilterFields:
    """Return which fields the filters restrict. Each combination has its own statement."""
    return tuple(tuple(filter_.named) for filter_ in filters)


def page_parameters(
    filters: Sequence[EventFilter], array: Callable[[Sequence[str]], Any], *, after_position: int, **others: int
) -> dict[str, Any]:
    """Return the parameters of the statement for the filters; without filters, of the one that reads all events.

    Args:
        filters: The filters.
        array: Converts the values of a field to a parameter.
        after_position: Exclusive.
        others: The parameters that all these statements have.
    """
    if not filters:
        return {"after_position": after_position, **others}
    parameters: dict[str, Any] = dict(others)
    for number, filter_ in enumerate(filters):
        parameters[f"after_position_{number}"] = after_position
        parameters |= {f"{field}_{number}": array(values) for field, values in filter_.named.items()}
    return parameters
