"""The columns of a table that an import reads, and how their values become values of Python, as the map says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from eventstore.errors import InvalidTableMap
from eventstore.transfer.sources.table_map import Column, Payload, zone
from eventstore.transfer.sources.values import (
    Convert,
    NotConvertibleError,
    boolean_value,
    bytes_value,
    date_value,
    decimal_value,
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
Read = Callable[[Row, dict[str, Any] | None], Any]
"""Reads a value of a row, or takes it out of the fields of its payload."""

JSON_TYPES: Final = frozenset({"json", "jsonb"})


@dataclass(frozen=True, slots=True)
class Selected:
    """A column that is read.

    Attributes:
        name: Its name.
        as_text: Whether the database shall return it as text.
    """

    name: str
    as_text: bool


class ColumnRefusedError(Exception):
    """A value of a column that can't be stored; `problem` says why, without the value."""

    def __init__(self, column: str, problem: str) -> None:
        self.column = column
        self.problem = problem
        super().__init__(problem)


class Columns:
    """The columns of one table that are read.

    Args:
        table: The name of the table, for errors.
        types: The columns that it has, with their types as the database calls them.
    """

    def __init__(self, table: str, types: Mapping[str, str]) -> None:
        self._table = table
        self._indexes: dict[tuple[str, bool], int] = {}
        self.types = types
        self.selected: list[Selected] = []
        """The columns to read, in the order in which a row has them."""

    def index(self, name: str, *, as_text: bool = False) -> int:
        """Select a column; return its index in a row.

        Raises:
            InvalidTableMap: The table has no such column.
        """
        if name not in self.types:
            found = ", ".join(sorted(self.types))
            hint = "; a table of snapshots is not imported" if name == "notification_id" else ""
            raise InvalidTableMap(f"table {self._table!r} has no column {name!r}; it has {found}{hint}")
        key = (name, as_text)
        if key not in self._indexes:
            self._indexes[key] = len(self.selected)
            self.selected.append(Selected(name, as_text))
        return self._indexes[key]

    def plain(self, name: str, convert: Convert, *, as_text: bool = False) -> Read:
        """Return what reads a column by a conversion."""
        index = self.index(name, as_text=as_text)

        def read(row: Row, _: dict[str, Any] | None) -> Any:
            try:
                return convert(row[index])
            except NotConvertibleError as error:
                raise ColumnRefusedError(name, str(error)) from None

        return read

    def payload(self, what: str, payload: str | Payload) -> Read:
        """Return what reads `data` or `metadata`."""
        if isinstance(payload, str):
            payload = Payload(column=payload)
        if payload.fields is not None:
            convert = metadata_value if what == "metadata" else _same
            fields = {
                name: self.column(name, column, native=True) or _nothing for name, column in payload.fields.items()
            }
            return lambda row, _: {name: convert(read(row, None)) for name, read in fields.items()}
        name = str(payload.column)
        type_ = payload.type or "json"
        if type_ == "json":
            transcodings = payload.transcodings if payload.transcoder else None
            read = json_value(json_decoder(transcodings), payload.compression)
            return self.plain(name, read, as_text=self.types.get(name) in JSON_TYPES)
        if type_ == "bytes":
            return self.plain(name, bytes_value(payload.compression))
        return self.plain(name, text_value, as_text=True)

    def column(self, what: str, column: object, *, native: bool = False) -> Read | None:
        """Return what reads a column, or a field of the payload; None if the map names neither.

        Args:
            what: The key of the map.
            column: What it says there.
            native: Whether values stay as the driver returns them, if the map does not say their type.
        """
        if column is None:
            return None
        column = Column(column=column) if isinstance(column, str) else column
        if not isinstance(column, Column):
            raise InvalidTableMap(f"{what} must be a column")
        convert, as_text = self._conversion(what, column, native=native)
        field = column.field
        if field is None:
            return self.plain(str(column.column), convert, as_text=as_text)

        def from_data(_row: Row, fields: dict[str, Any] | None) -> Any:
            try:
                return convert(None if fields is None else fields.pop(field, None))
            except NotConvertibleError as error:
                raise ColumnRefusedError(name_of(column), str(error)) from None

        return from_data

    def _conversion(  # noqa: PLR0911  # one line a type
        self, what: str, column: Column, *, native: bool
    ) -> tuple[Convert, bool]:
        """Return the conversion of a column, and whether it is of the value as text."""
        timezone, declared = zone(column.timezone), self.types.get(column.column or "", "")
        type_ = column.type
        if type_ is None and not native:
            type_ = _USUAL_TYPES[what]
        if type_ is None:
            type_ = "json" if declared in JSON_TYPES else None
        match type_:
            case None:
                return native_value(timezone), False
            case "json":
                as_text = declared in JSON_TYPES
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


def name_of(column: str | Column | None) -> str:
    """Return what a column of the map, or a field, is called in errors."""
    if isinstance(column, Column):
        return f"data.{column.field}" if column.column is None else column.column
    return str(column)


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
