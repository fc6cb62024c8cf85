"""Rows of a table as events, by its map."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eventstore.errors import EventStoreError, RowRefused
from eventstore.transfer.incoming import Order, Prepared, Preparer, SourceEvent
from eventstore.transfer.sources.columns import ColumnRefusedError, Columns, Read, Row, Selected, name_of
from eventstore.transfer.sources.keys import key_value, order_of_key
from eventstore.transfer.sources.stream_ids import stream_reader
from eventstore.transfer.sources.table_map import Column, Constant, Payload, TableMap, TypeName
from eventstore.transfer.sources.values import NotConvertibleError, id_text, integer_value


class RowReader:
    """Makes events of the rows of one table.

    Args:
        table_map: The map.
        types: The columns that the table has, with their types as the database calls them.

    Raises:
        InvalidTableMap: The map names a column that the table does not have.
    """

    def __init__(self, table_map: TableMap, types: Mapping[str, str]) -> None:
        self._map = table_map
        self.left_out = 0
        """How many rows the map has left out."""
        columns = Columns(table_map.table, types)
        self._order = [(f"{name}=", columns.index(name)) for name in table_map.order_columns]
        self._version = columns.plain(table_map.version_column, integer_value)
        self._stream = stream_reader(columns, table_map)
        self._type = _type_reader(columns, table_map.type)
        self._data = columns.payload("data", table_map.data)
        self._metadata = None if table_map.metadata is None else columns.payload("metadata", table_map.metadata)
        self._time = columns.column("time", table_map.time)
        self._event_id = columns.column("event_id", table_map.event_id)
        self._tags = columns.column("tags", table_map.tags)
        is_fixed = isinstance(table_map.schema_version, int)
        self._schema_version = None if is_fixed else columns.column("schema_version", table_map.schema_version)
        self.selected: Sequence[Selected] = columns.selected
        """The columns to read, in the order in which a row has them."""
        self._in_data = any(
            isinstance(each, Column) and each.field is not None
            for each in (table_map.time, table_map.event_id, table_map.tags, table_map.schema_version)
        )
        self._leave_out = table_map.data.leave_out if isinstance(table_map.data, Payload) else []

    def order_of(self, row: Row) -> Order:
        """Return the place of a row in the order of the table, as metadata has it.

        Raises:
            RowRefused: A value has no order that metadata can have.
        """
        try:
            return order_of_key(tuple([key_value(row[index]) for _, index in self._order]))
        except NotConvertibleError as error:
            raise RowRefused(self.place_of(row), str(error)) from None

    def place_of(self, row: Row) -> str:
        """Return which row it is, for errors."""
        return f"row {', '.join([f'{name}{row[index]}' for name, index in self._order])}"

    def prepare(self, row: Row, preparer: Preparer, refuse: Callable[[RowRefused], None]) -> Prepared | None:
        """Return the event of a row; None if it is left out, by the map or because `refuse` has noted an error."""
        place = self.place_of(row)
        try:
            event = self._event(row)
            return None if event is None else preparer.prepare(event, place)
        except ColumnRefusedError as error:
            refuse(RowRefused(place, error.problem, column=error.column))
        except EventStoreError as error:
            refuse(RowRefused(place, str(error)))
        return None

    def _event(self, row: Row) -> SourceEvent | None:
        type_name: str = self._type(row, None)
        renamed: str | TypeName | bool = self._map.types.get(type_name, type_name)
        if isinstance(renamed, bool):  # False: a map has no True
            self.left_out += 1
            return None
        stream_id, data = self._stream(row, None), self._data(row, None)
        fields: dict[str, Any] | None = None
        if isinstance(data, dict) and (self._in_data or self._leave_out):
            fields = data = dict(data)
        time = None
        if self._time is not None and (time := self._time(row, fields)) is None:
            raise ColumnRefusedError(name_of(self._map.time), "it is NULL or missing")
        event_id = self._event_id(row, fields) if self._event_id else None
        tags = self._tags(row, fields) if self._tags else None
        schema_version: Any = self._map.schema_version
        if self._schema_version is not None:
            schema_version = self._schema_version(row, fields)
            schema_version = 1 if schema_version is None else schema_version
        if fields is not None:
            for name in self._leave_out:
                fields.pop(name, None)
        if not isinstance(renamed, str):
            schema_version = schema_version if renamed.schema_version is None else renamed.schema_version
            renamed = renamed.type
        metadata = self._metadata(row, None) if self._metadata else None
        return SourceEvent(
            stream_id, self._version_of(row), renamed, data, time, event_id, metadata, schema_version,
            () if tags is None else tags, self.order_of(row),
        )  # fmt: skip

    def _version_of(self, row: Row) -> int:
        value = self._version(row, None)
        if value is None:
            raise ColumnRefusedError(self._map.version_column, "it is NULL")
        return int(value)


def _type_reader(columns: Columns, type_: str | Constant) -> Read:
    if isinstance(type_, str):
        return columns.plain(type_, id_text)
    value = str(type_.value)
    return lambda _row, _fields: value
