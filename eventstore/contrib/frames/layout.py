"""The columns of a frame, and how rows become columns."""

from collections.abc import Callable, Iterable, KeysView, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from operator import attrgetter, itemgetter
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from eventstore.backends.protocol import Row
from eventstore.codecs.metadata import TAGS_KEY, tags_of, without_tags
from eventstore.contrib.frames.column_types import TIME, ColumnType, Misfit
from eventstore.contrib.frames.payloads import Payloads
from eventstore.errors import FieldMismatch
from eventstore.event_types.classes import is_event_class
from eventstore.rows.mapper import EVENT_ID, EVENT_TYPE, POSITION, SCHEMA_VERSION, STREAM_ID, VERSION
from eventstore.streams import category_of

_METADATA, _RECORDED_AT = 8, 9
_NAMES: Final = pa.dictionary(pa.int32(), pa.string())
_TAGS: Final = pa.list_(pa.string())
_ENVELOPE: Final = (
    pa.field("position", pa.int64(), nullable=False),
    pa.field("stream_id", _NAMES, nullable=False),
    pa.field("category", _NAMES, nullable=False),
    pa.field("version", pa.int64(), nullable=False),
    pa.field("event_id", pa.string(), nullable=False),
    pa.field("event_type", _NAMES, nullable=False),
    pa.field("schema_version", pa.int32(), nullable=False),
    pa.field("recorded_at", TIME, nullable=False),
    pa.field("metadata", pa.string()),
    pa.field("tags", _TAGS, nullable=False),
)
DATA: Final = "data"
_OBJECTS: Final = 500
"""How many payloads are objects at a time. With more, Python's garbage collector takes longer than all else."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PARTS: Final = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
"""The groups of an id's hexadecimal digits, which hyphens separate."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a frame in addition to those that every event has.

    Attributes:
        fields: The fields of the payload that are columns, with their types.
        has_data: Whether the whole payload is a column, as JSON text.
        is_whole: Whether a payload with another field than these is an error.
    """

    fields: dict[str, ColumnType]
    has_data: bool
    is_whole: bool

    @property
    def columns(self) -> dict[str, str]:
        """The names of the fields' columns. A name that another column has gets the prefix `data_`."""
        names = {column.name for column in _ENVELOPE} | ({DATA} if self.has_data else set())
        columns: dict[str, str] = {}
        for name in self.fields:
            column = name
            while column in names or (column != name and column in self.fields):
                column = f"data_{column}"
            names.add(column)
            columns[name] = column
        return columns

    @property
    def schema(self) -> pa.Schema:
        """The columns and their types."""
        columns = self.columns
        fields = [pa.field(columns[name], column_type.arrow_type) for name, column_type in self.fields.items()]
        data = [pa.field(DATA, pa.string(), nullable=False)] if self.has_data else []
        return pa.schema([*_ENVELOPE, *fields, *data])


def record_batch(
    rows: Sequence[Row], layout: Layout, schema: pa.Schema, payloads: Payloads, to_time: Callable[[Any], datetime]
) -> pa.RecordBatch:
    """Return upcast rows as columns.

    Raises:
        DecodingError: A payload can't be read.
        FieldMismatch: A payload does not fit the columns.
    """
    stream_ids = pa.array(_column(rows, STREAM_ID), pa.string()).dictionary_encode()
    arrays = [
        pa.array(_column(rows, POSITION), pa.int64()),
        stream_ids,
        _categories(stream_ids),
        pa.array(_column(rows, VERSION), pa.int64()),
        _event_ids(_column(rows, EVENT_ID)),
        pa.array(_column(rows, EVENT_TYPE), pa.string()).dictionary_encode(),
        pa.array(_column(rows, SCHEMA_VERSION), pa.int32()),
        _times(_column(rows, _RECORDED_AT), to_time),
        *_metadata_and_tags(_column(rows, _METADATA)),
    ]
    if layout.fields or layout.is_whole:
        fields = _fields(rows, layout, payloads)
        arrays += [_array(name, column_type, fields[name], rows) for name, column_type in layout.fields.items()]
    if layout.has_data:
        arrays.append(payloads.texts(rows))
    return pa.record_batch(arrays, schema=schema)


def _column(rows: Sequence[Row], place: int) -> list[Any]:
    return list(map(itemgetter(place), rows))  # `zip(*rows)` takes three times as long


def _categories(stream_ids: pa.DictionaryArray) -> pa.DictionaryArray:
    categories = pa.array([category_of(name) for name in stream_ids.dictionary.to_pylist()], pa.string())
    categories = categories.dictionary_encode()
    return pa.DictionaryArray.from_arrays(categories.indices.take(stream_ids.indices), categories.dictionary)


def _event_ids(values: Sequence[Any]) -> pa.Array:
    """Return ids as text. Drivers return UUIDs or hexadecimal digits."""
    if {*map(type, values)} == {str}:
        digits = "".join(values)
    else:
        digits = b"".join([value.int.to_bytes(16) for value in values]).hex()  # a UUID's `hex` takes five times as long
    ids = pa.Array.from_buffers(pa.binary(32), len(values), [None, pa.py_buffer(digits.encode())])
    parts = [pc.binary_slice(ids, start, stop).cast(pa.string()) for start, stop in _PARTS]
    return pc.binary_join_element_wise(*parts, "-")


def _times(values: Sequence[Any], to_time: Callable[[Any], datetime]) -> pa.Array:
    durations = [to_time(value) - _EPOCH for value in values]  # pyarrow takes six times as long to convert datetimes
    return pa.array(durations, pa.duration("us")).cast(pa.int64()).cast(TIME)


def _metadata_and_tags(texts: Sequence[str | None]) -> tuple[pa.Array, pa.Array]:
    """Return the metadata as it was given, and the tags, which are stored in it."""
    metadata = list(texts)
    tags: list[tuple[str, ...]] = [()] * len(texts)
    for index, text in enumerate(texts):
        if text is not None and TAGS_KEY in text:
            tags[index] = tags_of(text)
            metadata[index] = without_tags(text)
    return pa.array(metadata, pa.string()), pa.array(tags, _TAGS)


# The fields of payloads


def has_fields(value: Any) -> bool:
    """Return whether a payload is a dict with names, or an object of an event class."""
    if type(value) is dict:
        return all(type(name) is str for name in value)
    return is_event_class(type(value))


def names_of(value: Any) -> Iterable[str]:
    """Return the names of a payload's fields that its class does not declare."""
    return value if type(value) is dict else getattr(value, "model_extra", None) or ()


def field_values(name: str, values: Sequence[Any]) -> list[Any]:
    """Return the values of one field of payloads; None if it is missing; enum members as their values."""
    classes = {*map(type, values)}
    if classes == {dict}:
        field = [value.get(name) for value in values]
    elif len(classes) == 1 and hasattr(values[0], name):
        field = list(map(attrgetter(name), values))
    else:
        field = [value.get(name) if type(value) is dict else getattr(value, name, None) for value in values]
    if any(issubclass(cls, Enum | msgspec.UnsetType) for cls in {*map(type, field)}):
        return [None if value is msgspec.UNSET else getattr(value, "value", value) for value in field]
    return field


def _check_names(values: Sequence[Any], rows: Sequence[Row], known: KeysView[str] | None) -> None:
    """Refuse payloads without fields; and, if the known fields must be all, payloads with other ones."""
    classes = {*map(type, values)}
    if all(is_event_class(cls) and not hasattr(cls, "model_extra") for cls in classes):
        return
    for value, row in zip(values, rows, strict=True):
        if type(value) is dict and (known is None or value.keys() <= known):
            continue
        if not has_fields(value):
            raise FieldMismatch(None, type(value).__name__, None, row[POSITION], row[EVENT_TYPE])
        for name in names_of(value):
            if known is not None and name not in known:
                raise FieldMismatch(name, None, None, row[POSITION], row[EVENT_TYPE])


def _fields(rows: Sequence[Row], layout: Layout, payloads: Payloads) -> dict[str, list[Any]]:
    """Return the values of each field."""
    fields: dict[str, list[Any]] = {name: [] for name in layout.fields}
    for start in range(0, len(rows), _OBJECTS):
        part = rows[start : start + _OBJECTS]
        values = payloads.values(part)
        _check_names(values, part, layout.fields.keys() if layout.is_whole else None)
        for name, field in fields.items():
            field.extend(field_values(name, values))
    return fields


def _array(name: str, column_type: ColumnType, field: Sequence[Any], rows: Sequence[Row]) -> pa.Array:
    try:
        return column_type.array(field)
    except Misfit:
        for value, row in zip(field, rows, strict=True):
            try:
                column_type.array([value])
            except Misfit:
                expected = str(column_type.arrow_type)
                raise FieldMismatch(name, type(value).__name__, expected, row[POSITION], row[EVENT_TYPE]) from None
        raise
