"""Rows of a table as events, by its map."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from eventstore.errors import EventStoreError, InvalidTableMap, RowRefused
from eventstore.transfer.incoming import Order, Prepared, Preparer, SourceEvent
from eventstore.transfer.sources.table_map import (
    AGGREGATE,
    Column,
    Constant,
    Payload,
    TableMap,
    TypeName,
    placeholders,
    zone,
)
from eventstore.transfer.sources.values import (
    Convert,
    NotConvertibleError,
    boolean_value,
    bytes_value,
    date_value,
    decimal_value,
    id_text,
    integer_value,
    json_decoder,
    json_value,
    metadata_value,
    native_value,
    text_value,
    time_value,
    uuid_value,
)

Row = Sequence[Any]
Key = tuple[int | str, ...]
Read = Callable[[Row, dict[str, Any] | None], Any]

_JSON_TYPES: Final = frozenset({"json", "jsonb"})
_HEX: Final = re.compile("[0-9a-f]{32}")
_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class Selected:
    """A column that is read.

    Attributes:
        name: Its name.
        as_text: Whether the database shall return it as text.
    """

    name: str
    as_text: bool


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
        self._types = types
        self.selected: list[Selected] = []
        """The columns to read, in the order in which a row has them."""
        self.left_out = 0
        """How many rows the map has left out."""
        self._indexes: dict[tuple[str, bool], int] = {}
        self._order = [self._index(name) for name in table_map.order_columns]
        self._version = self._index(table_map.version_column)
        self._stream = self._stream_reader()
        self._type = self._type_reader()
        self._data = self._payload("data", table_map.data)
        self._metadata = None if table_map.metadata is None else self._payload("metadata", table_map.metadata)
        self._time = self._column("time", table_map.time)
        self._event_id = self._column("event_id", table_map.event_id)
        self._tags = self._column("tags", table_map.tags)
        is_fixed = isinstance(table_map.schema_version, int)
        self._schema_version = None if is_fixed else self._column("schema_version", table_map.schema_version)
        self._in_data = any(
            isinstance(each, Column) and each.field is not None
            for each in (table_map.time, table_map.event_id, table_map.tags, table_map.schema_version)
        )
        self._leave_out = table_map.data.leave_out if isinstance(table_map.data, Payload) else []

    def order_of(self, row: Row) -> Order:
        """Return the place of a row in the order of the table, as metadata has it."""
        return order_of_key(tuple(key_value(row[index]) for index in self._order))

    def place_of(self, row: Row) -> str:
        """Return which row it is, for errors."""
        key = ", ".join(f"{name}={row[i]}" for name, i in zip(self._map.order_columns, self._order, strict=True))
        return f"row {key}"

    def prepare(self, row: Row, preparer: Preparer, refuse: Callable[[RowRefused], None]) -> Prepared | None:
        """Return the event of a row; None if it is left out, by the map or because `refuse` has noted an error."""
        place = self.place_of(row)
        try:
            event = self._event(row)
            return None if event is None else preparer.prepare(event, place)
        except _ColumnRefusedError as error:
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
            raise _ColumnRefusedError(_name_of(self._map.time), "it is NULL or missing")
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
            stream_id, self._integer(row), renamed, data, time, event_id, metadata, schema_version,
            () if tags is None else tags, self.order_of(row),
        )  # fmt: skip

    def _integer(self, row: Row) -> int:
        value = _converted(self._map.version_column, integer_value, row[self._version])
        if value is None:
            raise _ColumnRefusedError(self._map.version_column, "it is NULL")
        return int(value)

    # --- how columns are read

    def _index(self, name: str, *, as_text: bool = False) -> int:
        if name not in self._types:
            found = ", ".join(sorted(self._types))
            hint = "; a table of snapshots is not imported" if name == "notification_id" else ""
            raise InvalidTableMap(f"table {self._map.table!r} has no column {name!r}; it has {found}{hint}")
        key = (name, as_text)
        if key not in self._indexes:
            self._indexes[key] = len(self.selected)
            self.selected.append(Selected(name, as_text))
        return self._indexes[key]

    def _plain(self, name: str, convert: Convert, *, as_text: bool = False) -> Read:
        index = self._index(name, as_text=as_text)
        return lambda row, _: _converted(name, convert, row[index])

    def _type_reader(self) -> Read:
        if isinstance(self._map.type, Constant):
            value = str(self._map.type.value)
            return lambda _row, _fields: value
        return self._plain(self._map.type, id_text)

    def _stream_reader(self) -> Read:
        template = self._map.stream
        if isinstance(template, Constant):
            stream_id = str(template.value)
            return lambda _row, _fields: stream_id
        if "{" not in template:
            return self._plain(template, _id_reader(template))
        readers: dict[str, Read] = {}
        for name in placeholders(template):
            if name == AGGREGATE and AGGREGATE not in self._types:
                if isinstance(self._map.type, Constant):
                    raise InvalidTableMap("{aggregate} is taken from the type, so the type must be a column")
                readers[name] = self._plain(self._map.type, _aggregate_of)
            else:
                readers[name] = self._plain(name, _id_reader(name))
        if template == _OF_ORIGINATOR:  # ids that are text name their category themselves
            is_bare = self._plain("originator_id", lambda value: isinstance(value, str) and not _HEX.fullmatch(value))
            id_only = readers["originator_id"]
            return lambda row, _: (
                id_only(row, None)
                if is_bare(row, None)
                else template.format(**{name: read(row, None) for name, read in readers.items()})
            )
        return lambda row, _: template.format(**{name: read(row, None) for name, read in readers.items()})

    def _payload(self, what: str, payload: str | Payload) -> Read:
        if isinstance(payload, str):
            payload = Payload(column=payload)
        if payload.fields is not None:
            convert = metadata_value if what == "metadata" else _same
            fields = {
                name: self._column(name, column, native=True) or _nothing for name, column in payload.fields.items()
            }
            return lambda row, _: {name: convert(read(row, None)) for name, read in fields.items()}
        name = str(payload.column)
        type_ = payload.type or "json"
        if type_ == "json":
            transcodings = payload.transcodings if payload.transcoder else None
            read = json_value(json_decoder(transcodings), payload.compression)
            return self._plain(name, read, as_text=self._types.get(name) in _JSON_TYPES)
        if type_ == "bytes":
            return self._plain(name, bytes_value(payload.compression))
        return self._plain(name, text_value, as_text=True)

    def _column(self, what: str, column: object, *, native: bool = False) -> Read | None:
        if column is None:
            return None
        column = Column(column=column) if isinstance(column, str) else column
        if not isinstance(column, Column):
            raise InvalidTableMap(f"{what} must be a column")
        convert, as_text = self._conversion(what, column, native=native)
        field = column.field
        if field is None:
            return self._plain(str(column.column), convert, as_text=as_text)

        def from_data(_row: Row, fields: dict[str, Any] | None) -> Any:
            value = None if fields is None else fields.pop(field, None)
            return _converted(_name_of(column), convert, value)

        return from_data

    def _conversion(  # noqa: PLR0911  # one line a type
        self, what: str, column: Column, *, native: bool
    ) -> tuple[Convert, bool]:
        """Return the conversion of a column, and whether it is of the value as text."""
        timezone, declared = zone(column.timezone), self._types.get(column.column or "", "")
        type_ = column.type
        if type_ is None and not native:
            type_ = _USUAL_TYPES[what]
        if type_ is None:
            type_ = "json" if declared in _JSON_TYPES else None
        match type_:
            case None:
                return native_value(timezone), False
            case "json":
                as_text = declared in _JSON_TYPES
                if what == "tags":
                    return _tags_value, as_text
                return json_value(json_decoder(), column.compression), as_text
            case "bytes":
                return bytes_value(column.compression), False
            case "text":
                return text_value, True
            case "unix-seconds" | "unix-milliseconds":
                return time_value(None, type_), False
            case "time":
                return time_value(timezone), False
            case _:
                return _CONVERSIONS[type_], False


_OF_ORIGINATOR: Final = "{aggregate}-{originator_id}"
_USUAL_TYPES: Final[Mapping[str, Any]] = {
    "time": "time",
    "event_id": "uuid",
    "tags": "json",
    "schema_version": "integer",
}
_CONVERSIONS: Final[Mapping[str, Convert]] = {
    "integer": integer_value,
    "decimal": decimal_value,
    "boolean": boolean_value,
    "date": date_value,
    "uuid": uuid_value,
}


def key_value(value: Any) -> int | str:
    """Return a value of an order column as metadata has it: an integer, or text."""
    return value if type(value) is int else str(metadata_value(value))


def order_of_key(key: Key) -> Order:
    """Return a key as metadata has it: a number alone, or a list."""
    first = key[0]
    return first if len(key) == 1 and isinstance(first, int) else list(key)


class _ColumnRefusedError(Exception):
    def __init__(self, column: str, problem: str) -> None:
        self.column = column
        self.problem = problem
        super().__init__(problem)


def _converted(column: str, convert: Convert, value: Any) -> Any:
    try:
        return convert(value)
    except NotConvertibleError as error:
        raise _ColumnRefusedError(column, str(error)) from None


def _name_of(column: str | Column | None) -> str:
    if isinstance(column, Column):
        return f"data.{column.field}" if column.column is None else column.column
    return str(column)


def _id_reader(name: str) -> Convert:
    return _originator_id if name == "originator_id" else id_text


def _same(value: Any) -> Any:
    return value


def _nothing(_row: Row, _fields: dict[str, Any] | None) -> None:
    return None


def _tags_value(value: Any) -> Any:
    if isinstance(value, str):
        value = json_value(json_decoder())(value)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise NotConvertibleError("it is no list of tags")
    return value


def _aggregate_of(topic: object) -> str:
    """Return the category for a topic such as `shop.orders:PurchaseOrder.Placed`: `purchase_order`."""
    _, _, path = topic.partition(":") if isinstance(topic, str) else ("", "", "")
    class_, _, event = path.rpartition(".")
    if not class_ or event == "Snapshot":
        problem = "it is a snapshot" if event == "Snapshot" else "it has no class of an aggregate"
        raise NotConvertibleError(f'{problem}; say what streams are called, such as stream = "order-{{originator_id}}"')
    return _WORD.sub("_", class_.rpartition(".")[2]).lower()


def _originator_id(value: Any) -> str:
    """Return the id as text: SQLite has UUIDs as 32 hexadecimal digits."""
    return str(UUID(value)) if isinstance(value, str) and _HEX.fullmatch(value) else id_text(value)
