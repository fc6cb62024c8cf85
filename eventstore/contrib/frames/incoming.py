"""Reading the rows of data frames."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from eventstore.errors import InvalidInput

DataRow = Mapping[str, Any]


def rows_of(data: Any) -> Iterator[DataRow]:
    """Return an iterator over the rows of a data frame, or of anything that yields mappings.

    Raises:
        InvalidInput: It is neither; or, raised by the iterator, a column of times is finer than a microsecond.
    """
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        return _rows_of_batches(stream_of(data))
    if isinstance(data, Iterable) and not isinstance(data, str | bytes | Mapping):
        return _checked(data)
    msg = f"data must be a data frame, an Arrow stream, or an iterable of mappings, not {type(data).__name__}"
    raise InvalidInput(msg)


def stream_of(data: Any) -> pa.RecordBatchReader:
    """Return an Arrow reader of a data frame or another Arrow stream.

    Raises:
        InvalidInput: It is neither.
    """
    if hasattr(data, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(data)
    if hasattr(data, "__arrow_c_array__"):
        batch = pa.record_batch(data)
        return pa.RecordBatchReader.from_batches(batch.schema, [batch])
    msg = f"events must be a data frame or an Arrow stream, not {type(data).__name__}"
    raise InvalidInput(msg)


def _checked(rows: Iterable[Any]) -> Iterator[DataRow]:
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            msg = f"row {number} of the data must be a mapping of columns to values, not {type(row).__name__}"
            raise InvalidInput(msg)
        yield row


def _rows_of_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[DataRow]:
    for batch in batches:
        names = [name for name in batch.schema.names if not name.startswith("__index_level_")]  # pandas' own
        columns = {name: _in_microseconds(name, batch.column(name)) for name in names}
        yield from pa.table(columns).to_pylist()


def _in_microseconds(name: str, array: pa.Array) -> pa.Array:
    """Return the array in microseconds, the unit of Python's times; those of pandas can be finer."""
    arrow_type, target = array.type, None
    if pa.types.is_timestamp(arrow_type):
        target = pa.timestamp("us", arrow_type.tz)
    elif pa.types.is_duration(arrow_type):
        target = pa.duration("us")
    elif pa.types.is_time64(arrow_type):
        target = pa.time64("us")
    try:
        return array if target is None else array.cast(target)
    except pa.ArrowInvalid:
        msg = f"the column {name!r} has times finer than a microsecond, which Python can't represent; round it"
        raise InvalidInput(msg) from None
