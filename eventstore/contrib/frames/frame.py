"""A frame: the events of a read as columns."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from eventstore.backends.protocol import Row
from eventstore.common.notebook_html import table_html
from eventstore.common.validation import check_number
from eventstore.contrib.frames.column_types import ColumnType, declared
from eventstore.contrib.frames.fields import FieldProfile, of_class
from eventstore.contrib.frames.layout import Layout, field_values, has_fields, names_of, record_batch
from eventstore.contrib.frames.payloads import Payloads
from eventstore.errors import ExtraMissing, FieldMismatch, InvalidInput
from eventstore.store import EventStore

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_PREVIEW_ROWS: Final = 10
_HIDDEN: Final = ("category", "event_id", "schema_version", "metadata", "tags")
_ATTEMPTS: Final = 3
Fields = Iterable[str] | Mapping[str, pa.DataType] | None


@dataclass(frozen=True, slots=True)
class Source:
    """What a frame reads.

    Attributes:
        name: Its name in the frame's repr.
        pages: Returns pages of rows; its arguments are the most rows in all, and the rows of a page.
        event_types: The stored event types that can occur; None if there can be any.
        newest_first: Whether the events are read backwards.
    """

    name: str
    pages: Callable[[int | None, int], Iterator[Sequence[Row]]]
    event_types: frozenset[str] | None
    newest_first: bool


class Frame:
    """The events of a read as columns: an Arrow stream or table, or a data frame of pandas or Polars.

    `read_stream` and `read_all` return it. It holds no events: each use reads them again. Polars, pandas, DuckDB and
    other libraries that take an Arrow stream (`__arrow_c_stream__`) accept it directly: `polars.DataFrame(frame)`.
    """

    def __init__(
        self,
        store: EventStore,
        source: Source,
        *,
        upcast: bool,
        fields: Fields,
        as_json: bool,
        sample_size: int | None,
        batch_size: int,
    ) -> None:
        self._source = source
        self._mapper = store.core.mapper
        self._to_time = store.core.dialect.to_time
        self._upcast = upcast
        self._payloads = Payloads(self._mapper, upcast=upcast)
        self._fields = _check_fields(fields)
        self._as_json = as_json
        self._sample_size = None if sample_size is None else check_number("sample_size", sample_size, minimum=1)
        self._batch_size = check_number("batch_size", batch_size, minimum=1)
        self._layout: Layout | None = None

    @property
    def schema(self) -> pa.Schema:
        """The columns and their types. If they depend on the events, a sample of these is read once."""
        return self._known_layout().schema

    def reader(self) -> pa.RecordBatchReader:
        """Return the events as an Arrow stream, read as it is consumed. Memory holds one batch.

        Raises:
            EventStoreError: Raised by the stream, as by the store's `read_stream` and `read_all`.
            FieldMismatch: Raised by the stream: an event has a field or a value that does not fit the columns, which
                were chosen by the sample.
        """
        layout = self._known_layout()
        return pa.RecordBatchReader.from_batches(layout.schema, self._batches(layout))

    def table(self) -> pa.Table:
        """Return all events as an Arrow table. If one does not fit the columns, types are chosen again from all events.

        Raises:
            EventStoreError: As for the store's `read_stream` and `read_all`.
            FieldMismatch: An event does not fit the type that `fields` sets for a column.
        """
        for _ in range(_ATTEMPTS - 1):  # events that do not fit may be appended meanwhile
            with suppress(FieldMismatch):
                return self.reader().read_all()
            if isinstance(self._fields, dict):
                break
            self._layout = self._inferred(None)
        return self.reader().read_all()

    def pandas(self) -> "pd.DataFrame":
        """Return all events as a data frame of pandas.

        Integers and booleans have nullable types (`Int64`, `boolean`), dictionaries are categories, times are
        `datetime64[us, UTC]`, and decimals, dates and lists stay in Arrow (`ArrowDtype`), so nothing is rounded. For
        other types, use `frame.table().to_pandas(…)`.

        Raises:
            ExtraMissing: pandas is not installed.
            EventStoreError: As for `table`.
        """
        try:
            import pandas as pd  # noqa: PLC0415  # an extra
        except ImportError:
            raise ExtraMissing("pandas", "pandas") from None
        integers = (
            pd.Int8Dtype(), pd.Int16Dtype(), pd.Int32Dtype(), pd.Int64Dtype(),
            pd.UInt8Dtype(), pd.UInt16Dtype(), pd.UInt32Dtype(), pd.UInt64Dtype(),
        )  # fmt: skip
        exact = {"bool": pd.BooleanDtype(), **{each.name.lower(): each for each in integers}}
        stays_in_arrow = pa.types.is_decimal, pa.types.is_date, pa.types.is_time, pa.types.is_list

        def dtype(arrow_type: pa.DataType) -> Any:
            in_arrow = pd.ArrowDtype(arrow_type) if any(is_of(arrow_type) for is_of in stays_in_arrow) else None
            return exact.get(str(arrow_type), in_arrow)

        frame: pd.DataFrame = self.table().to_pandas(types_mapper=dtype)
        return frame

    def polars(self) -> "pl.DataFrame":
        """Return all events as a data frame of Polars.

        Raises:
            ExtraMissing: Polars is not installed.
            EventStoreError: As for `table`.
        """
        try:
            import polars as pl  # noqa: PLC0415  # an extra
        except ImportError:
            raise ExtraMissing("polars", "polars") from None
        return pl.DataFrame(self.table())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.reader().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return f"<Frame of {self._source.name}>"

    def _repr_html_(self) -> str:
        first = list(islice(self._rows(_PREVIEW_ROWS + 1), 1))
        layout = self._known_layout()
        rows = self._payloads.expand(first[0] if first else [], newest_first=self._source.newest_first)
        batch = record_batch(rows[:_PREVIEW_ROWS], layout, layout.schema, self._payloads, self._to_time)
        batch = batch.select([name for name in layout.schema.names if name not in _HIDDEN])
        types = {field.name: str(field.type) for field in batch.schema}
        more = "the first of them" if len(rows) > _PREVIEW_ROWS else f"{len(rows)} in all"
        return table_html(f"{self._source.name}: {more}", types, (row.values() for row in batch.to_pylist()))

    # --- columns

    def _known_layout(self) -> Layout:
        if self._layout is None:
            self._layout = self._inferred(self._sample_size)
        return self._layout

    def _inferred(self, sample_size: int | None) -> Layout:
        fields = self._fields
        if isinstance(fields, dict):
            return Layout(fields, has_data=self._as_json, is_whole=False)
        if fields == ():
            return Layout({}, has_data=self._as_json, is_whole=False)
        profiles = self._declared()
        if fields is not None:
            profiles = {name: profiles.get(name, FieldProfile()) for name in fields}
        only_json = Layout({}, has_data=True, is_whole=False)
        if fields is None and (self._as_json or len(self._source.event_types or ()) != 1):
            return only_json
        for rows in self._rows(sample_size):
            values = self._values(rows)
            if fields is None and not _add_names(values, profiles):
                return only_json
            with_fields = [value for value in values if has_fields(value)]
            for name, profile in profiles.items():
                profile.add(field_values(name, with_fields))
        types = {name: profile.column_type() for name, profile in profiles.items()}
        return Layout(types, has_data=self._as_json, is_whole=fields is None)

    def _values(self, rows: Sequence[Row]) -> list[Any]:
        return self._payloads.values(self._payloads.expand(rows))

    def _declared(self) -> dict[str, FieldProfile]:
        """Return the profiles of the fields that event classes declare."""
        profiles: dict[str, FieldProfile] = {}
        classes = self._mapper.event_types.classes if self._upcast else {}
        for (event_type, _), cls in classes.items():
            if self._source.event_types is None or event_type in self._source.event_types:
                for name, profile in of_class(cls).items():
                    profiles.setdefault(name, FieldProfile()).merge(profile)
        return profiles

    # --- reading

    def _batches(self, layout: Layout) -> Iterator[pa.RecordBatch]:
        schema = layout.schema
        for rows in self._rows(None):
            expanded = self._payloads.expand(rows, newest_first=self._source.newest_first)
            if expanded:
                yield record_batch(expanded, layout, schema, self._payloads, self._to_time)

    def _rows(self, limit: int | None) -> Iterator[Sequence[Row]]:
        """Yield rows in batches, gathered from pages, which a filter can make small."""
        gathered: Sequence[Row] = ()
        for rows in self._source.pages(limit, self._batch_size):
            gathered = [*gathered, *rows] if gathered else rows
            if len(gathered) >= self._batch_size:
                yield gathered
                gathered = ()
        if gathered:
            yield gathered


def _add_names(values: Sequence[Any], profiles: dict[str, FieldProfile]) -> bool:
    """Add the fields of payloads, in order; return False if a payload has no fields."""
    for value in values:
        if not has_fields(value):
            return False
        for name in names_of(value):
            if name not in profiles:
                profiles[name] = FieldProfile()
    return True


def _check_fields(fields: Any) -> dict[str, ColumnType] | tuple[str, ...] | None:
    if fields is None:
        return None
    names = None if isinstance(fields, str) or not isinstance(fields, Iterable) else tuple(dict.fromkeys(fields))
    if names is None or not all(isinstance(name, str) for name in names):
        msg = f"fields must be a list of names, or a mapping of names to Arrow types, not {type(fields).__name__}"
        raise InvalidInput(msg)
    if not isinstance(fields, Mapping):
        return names
    for name, arrow_type in fields.items():
        if not isinstance(arrow_type, pa.DataType):
            msg = f"fields[{name!r}] must be a pyarrow.DataType, not {type(arrow_type).__name__}"
            raise InvalidInput(msg)
    return {name: declared(arrow_type) for name, arrow_type in fields.items()}
