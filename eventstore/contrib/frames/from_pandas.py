"""Reading data frames of pandas column by column, because Arrow would change what is in columns of objects.

It would give dicts the keys of each other, for example, and make ordinals of periods.
"""

import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from eventstore.contrib.frames.exact_values import ExactColumn
from eventstore.errors import InvalidInput


def is_data_frame(data: Any) -> bool:
    """Return whether it is a data frame of pandas, which is not imported for that."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def names_of(data: Any) -> list[Any]:
    """Return the names of the columns: named levels of the index, then columns."""
    return [*_levels(data), *data.columns]


def chunks_of(data: Any, size: int) -> Iterator[list[list[Any]]]:
    """Yield the values of the columns, so many rows at a time. What pandas calls missing is None.

    Raises:
        InvalidInput: A column has values that an event can't hold exactly.
    """
    levels, names = _levels(data), names_of(data)
    for start in range(0, len(data), size):
        part = data.iloc[start : start + size]
        if levels:
            part = part.reset_index(level=levels)
        yield [_values(name, part.iloc[:, number]) for number, name in enumerate(names)]


def _levels(data: Any) -> list[Any]:
    return [name for name in data.index.names if name is not None]


def _values(name: str, column: Any) -> list[Any]:
    dtype = str(column.dtype)
    if dtype == "object":
        return [None if _is_missing(value) else value for value in column.tolist()]
    if dtype == "category":
        categories = [*_values(name, column.cat.categories.to_series()), None]
        return [categories[code] for code in column.cat.codes]  # -1 is that of a missing value
    try:
        array = pa.array(column, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError):
        msg = (
            f"the column {name!r} has values of the type {dtype}, which an event can't hold exactly; "
            "convert it, for example to text"
        )
        raise InvalidInput(msg) from None
    return ExactColumn.of(pa.field(name, array.type)).values(array)


def _is_missing(value: Any) -> bool:
    pandas = sys.modules["pandas"]
    if isinstance(value, float):
        return value != value  # noqa: PLR0124  # NaN
    return value is None or value is pandas.NA or value is pandas.NaT
