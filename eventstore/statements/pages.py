"""What the statements that read a page of the global order are given; each database has its own."""

from collections.abc import Callable, Sequence
from typing import Any

from eventstore.filters import EventFilter

Shape = tuple[tuple[str, ...], ...]
"""For each filter, the fields that it names."""


def shape_of(filters: Sequence[EventFilter]) -> Shape:
    """Return which fields the filters name: each shape has a statement of its own."""
    return tuple(tuple(filter_.named) for filter_ in filters)


def page_parameters(
    filters: Sequence[EventFilter], array: Callable[[Sequence[str]], Any], *, after_position: int, **others: int
) -> dict[str, Any]:
    """Return the parameters of the statement for filters, or of the one that reads everything if there are none.

    Args:
        filters: The filters.
        array: Makes a parameter of the values of a field.
        after_position: Exclusive.
        others: The parameters that all these statements have.
    """
    if not filters:
        return {"after_position": after_position, **others}
    parameters: dict[str, Any] = dict(others)
    for number, filter_ in enumerate(filters):
        parameters[f"after_position_{number}"] = max(after_position, filter_.after_position)
        parameters |= {f"{field}_{number}": array(values) for field, values in filter_.named.items()}
    return parameters
