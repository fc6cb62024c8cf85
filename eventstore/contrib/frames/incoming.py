"""Reading the rows of data frames, without changing a value."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from eventstore.contrib.frames import from_pandas
from eventstore.contrib.frames.exact_values import ExactColumn
from eventstore.errors import InvalidInput

DataRow = dict[str, Any]
_CHUNK: Final = 1000
"""How many rows at a time become Python's values."""
_INDEX_OF_PANDAS: Final = "__index_level_"
"""Begins the names of columns that pandas adds to an Arrow table."""


def rows_of(data: Any) -> Iterator[DataRow]:
    """Return an iterator over the rows of a data frame, or of anything that yields mappings.

    Raises:
        InvalidInput: It is neither, or a column has a name or a type that an event can't have; or, raised by the
            iterator, a column has values that Python can't represent exactly.
    """
    if from_pandas.is_data_frame(data):
        return _rows(_check_names(from_pandas.names_of(data)), from_pandas.chunks_of(data, _CHUNK))
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        _refuse_what_changes(data)
        reader = stream_of(data)
        fields = [field for field in reader.schema if not field.name.startswith(_INDEX_OF_PANDAS)]
        names = _check_names([field.name for field in fields])
        return _rows(names, _chunks(reader, [ExactColumn.of(field) for field in fields]))
    if isinstance(data, Iterable) and not isinstance(data, str | bytes | Mapping):
        return _copied(data)
    msg = f"data must be a data frame, an Arrow stream, or an iterable of mappings, not {type(data).__name__}"
    raise InvalidInput(msg)


def stream_of(data: Any) -> pa.RecordBatchReader:
    """Return an Arrow reader of a data frame or another Arrow stream.

    Raises:
        InvalidInput: It is neither.
    """
    try:
        if hasattr(data, "__arrow_c_stream__"):
            return pa.RecordBatchReader.from_stream(data)
        if hasattr(data, "__arrow_c_array__"):
            batch = pa.record_batch(data)
            return pa.RecordBatchReader.from_batches(batch.schema, [batch])
    except (pa.ArrowException, TypeError) as error:  # a single column, or one of a type that only its library knows
        msg = f"the {type(data).__name__} can't be read as Arrow columns: {error}"
        raise InvalidInput(msg) from None
    msg = f"the data must be a data frame or an Arrow stream, not {type(data).__name__}"
    raise InvalidInput(msg)


def _refuse_what_changes(data: Any) -> None:
    """Refuse columns that Polars or DuckDB exports to Arrow as other values: addresses, or times without offset."""
    polars, duckdb = sys.modules.get("polars"), sys.modules.get("duckdb")
    columns: Iterable[tuple[str, Any]] = ()
    if polars is not None and isinstance(data, polars.DataFrame):
        columns = data.schema.items()
    elif duckdb is not None and isinstance(data, duckdb.DuckDBPyRelation):
        columns = zip(data.columns, data.types, strict=True)
    for name, kind in columns:
        if str(kind) in ("Object", "TIME WITH TIME ZONE", "BIT"):
            msg = f"the column {name!r} is of the type {kind}, which does not come through Arrow exactly; convert it"
            raise InvalidInput(msg)


def _check_names(names: Sequence[Any]) -> list[str]:
    for number, name in enumerate(names):
        if not isinstance(name, str):
            msg = f"the name of column {number} must be text, not {type(name).__name__}; rename it"
            raise InvalidInput(msg)
        if name in names[:number]:
            msg = f"the data has two columns {name!r}; rename one"
            raise InvalidInput(msg)
    return list(names)


def _rows(names: Sequence[str], chunks: Iterable[Sequence[Sequence[Any]]]) -> Iterator[DataRow]:
    for columns in chunks:
        for values in zip(*columns, strict=True):
            yield dict(zip(names, values, strict=True))


def _chunks(batches: Iterable[pa.RecordBatch], columns: Sequence[ExactColumn]) -> Iterator[list[list[Any]]]:
    for batch in batches:
        for start in range(0, batch.num_rows, _CHUNK):
            part = batch.slice(start, _CHUNK)
            yield [column.values(part.column(column.name)) for column in columns]


def _copied(rows: Iterable[Any]) -> Iterator[DataRow]:
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            msg = f"row {number} of the data must be a mapping of columns to values, not {type(row).__name__}"
            raise InvalidInput(msg)
        yield dict(row)
