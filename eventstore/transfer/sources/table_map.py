"""The map of a table to events, as it is written in TOML, and the maps of tables that are known."""

import tomllib
from collections.abc import Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from string import Formatter
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Struct

from eventstore.common.validation import check_event_type, check_text
from eventstore.errors import EventStoreError, InvalidTableMap
from eventstore.transfer.sources.map_parts import check_parts

Reader = Literal["table", "eventsourcing", "message-db"]
ValueType = Literal[
    "json",
    "text",
    "bytes",
    "integer",
    "decimal",
    "boolean",
    "time",
    "date",
    "uuid",
    "unix-seconds",
    "unix-milliseconds",
]


class Column(Struct, forbid_unknown_fields=True, frozen=True):
    """A column, or a field of the payload, and how its values are read.

    Attributes:
        column: The name of the column.
        field: The name of a field of the payload instead, which is taken out of it.
        type: What its values are; None: what the database says, and JSON for `data` and `metadata`.
        timezone: The time zone of times without one, such as `UTC` or `Europe/Berlin`; None: refuse them.
        compression: How bytes are compressed; None: they are not.
    """

    column: str | None = None
    field: str | None = None
    type: ValueType | None = None
    timezone: str | None = None
    compression: Literal["zlib"] | None = None


class Constant(Struct, forbid_unknown_fields=True, frozen=True):
    """A value that is the same for all rows.

    Attributes:
        value: The value.
    """

    value: str | int


class Payload(Struct, forbid_unknown_fields=True, frozen=True):
    """How the data of an event, or its metadata, is read: from one column, or from several that become its fields.

    Attributes:
        column: The column that has all of it.
        type: As for a column.
        compression: As for a column.
        fields: The columns that become fields, by name of the field.
        leave_out: Fields to leave out.
        transcoder: How JSON has values that JSON lacks; `eventsourcing` for that library's `JSONTranscoder`.
        transcodings: What the application's own transcodings become, by name: the plain value, a tuple or a set.
    """

    column: str | None = None
    type: Literal["json", "text", "bytes"] | None = None
    compression: Literal["zlib"] | None = None
    fields: dict[str, str | Column] | None = None
    leave_out: list[str] = []
    transcoder: Literal["eventsourcing"] | None = None
    transcodings: dict[str, Literal["value", "tuple", "set"]] = {}


class TypeName(Struct, forbid_unknown_fields=True, frozen=True):
    """What an event type is called in the store.

    Attributes:
        type: The event type.
        schema_version: The schema version; None: that of the map.
    """

    type: str
    schema_version: int | None = None


class TableMap(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How the rows of a table become events; see "The map" in the how-to "Move to this store".

    Make one by `TableMap.of` or `TableMap.from_toml`.

    Attributes:
        table: The name of the table, with its schema if needed: `message_store.messages`.
        stream: The column of the stream id, a template such as `order-{order_id}`, or a constant.
        type: The column of the event type, or a constant.
        data: The payload. Defaults to the column `data`.
        source: A name for the source. Defaults to the name of the table.
        order: The column, or columns, by whose values rows are read; unique. Defaults to the columns of `stream` and
            `version`.
        version: The column of the version in the stream. Defaults to the column of `order`.
        time: When the event was recorded. Defaults to None: at the import.
        event_id: The column of the event id. Defaults to None: made of source, stream and version.
        metadata: The metadata. Defaults to None: none.
        schema_version: The schema version, or its column or field.
        tags: The column of the tags, an array or JSON. Defaults to None: none but those of the registered classes.
        where: Read only rows with these values, by column.
        types: What event types are called in the store, by their names in the table; False leaves their rows out.
        gaps: Whether versions of a stream may have gaps. If not, a gap is an error.
        order_is_drawn_by_insert: Whether the INSERT itself draws `order` from a sequence, although the catalog does not
            say so.
    """

    table: str
    stream: str | Constant
    type: str | Constant
    data: str | Payload = "data"
    source: str | None = None
    order: str | list[str] | None = None
    version: str | None = None
    time: str | Column | None = None
    event_id: str | Column | None = None
    metadata: str | Payload | None = None
    schema_version: int | str | Column = 1
    tags: str | Column | None = None
    where: dict[str, str | int | bool] = {}
    types: dict[str, str | TypeName | bool] = {}
    gaps: bool = True
    order_is_drawn_by_insert: bool = False

    @classmethod
    def of(cls, mapping: Mapping[str, Any], *, reader: Reader = "table") -> "TableMap":
        """Return the map from its parts, as they are in TOML.

        Args:
            mapping: The parts.
            reader: Whose tables they are: what the mapping does not say is as usual there.

        Raises:
            InvalidTableMap: A part is missing, unknown or not valid.
        """
        if reader not in _KNOWN:
            msg = f"reader must be one of {', '.join(_KNOWN)}, not {reader!r}"
            raise InvalidTableMap(msg)
        if not isinstance(mapping, Mapping):
            msg = f"a map must be a mapping, not {type(mapping).__name__}"
            raise InvalidTableMap(msg)
        try:
            check_parts("", mapping, cls)
            found = msgspec.convert({**_KNOWN[reader], **mapping, **_data(reader, mapping)}, cls)
            found.check()
        except (msgspec.ValidationError, EventStoreError) as error:
            raise InvalidTableMap(f"the map is not valid: {error}") from None
        return found

    @classmethod
    def from_toml(cls, path: str | Path | None, *, reader: Reader = "table", **more: Any) -> "TableMap":
        """Return the map from a file of TOML.

        Args:
            path: The file; None: all is as usual for the reader.
            reader: As for `of`.
            more: Parts that override those of the file.

        Raises:
            InvalidTableMap: The file is not TOML, or its map is not valid.
            OSError: The file can't be read.
        """
        parts: dict[str, Any] = {}
        if path is not None:
            try:
                parts = tomllib.loads(Path(path).read_text("utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise InvalidTableMap(f"{str(path)!r} is not TOML: {error}") from None
        try:
            return cls.of({**parts, **more}, reader=reader)
        except InvalidTableMap as error:
            raise InvalidTableMap(f"{error} (in {str(path)!r})" if path is not None else str(error)) from None

    @property
    def source_name(self) -> str:
        """The name of the source."""
        return self.source or self.table

    @property
    def order_columns(self) -> list[str]:
        """The columns by whose values rows are read."""
        if self.order is None:
            return list(dict.fromkeys([*self.stream_columns, *([self.version] if self.version else [])]))
        return [self.order] if isinstance(self.order, str) else list(dict.fromkeys(self.order))

    @property
    def version_column(self) -> str:
        """The column of the version in the stream."""
        return self.version or self.order_columns[0]

    @property
    def stream_columns(self) -> list[str]:
        """The columns that the stream id is made of."""
        if isinstance(self.stream, Constant):
            return []
        return (
            [name for name in placeholders(self.stream) if name != AGGREGATE] if "{" in self.stream else [self.stream]
        )

    @property
    def leaves_rows_out(self) -> bool:
        """Whether rows of the table are left out, so that a gap in the versions of a stream proves nothing."""
        return bool(self.where) or any(name is False for name in self.types.values())

    def check(self) -> None:
        """Check what the types of the attributes don't say.

        Raises:
            InvalidTableMap: It is not valid.
        """
        check_text("source", self.source_name, 255, InvalidTableMap)
        if self.version is None and (self.order is None or not isinstance(self.order, str)):
            raise InvalidTableMap('name the column of the version, or of the order if there is none: order = "id"')
        if isinstance(self.stream, str):
            placeholders(self.stream)
        if not self.order_columns:
            raise InvalidTableMap("order must name at least one column")
        for name, kind in (("data", self.data), ("metadata", self.metadata)):
            if isinstance(kind, Payload):
                _check_payload(name, kind)
        for name in ("time", "event_id", "tags", "schema_version"):
            column = getattr(self, name)
            if isinstance(column, Column):
                if (column.column is None) is (column.field is None):
                    raise InvalidTableMap(f"{name} must have either a column or a field")
                _check_column(name, column)
        self._check_types()

    def _check_types(self) -> None:
        for type_ in self.types.values():
            if type_ is True:
                raise InvalidTableMap("an event type is a name, or false to leave its rows out, not true")
            if type_ is not False:
                check_event_type(type_ if isinstance(type_, str) else type_.type)


def _data(reader: Reader, mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return `data` as usual for the reader, with what the mapping adds to it, if it names no other column there."""
    usual, given = _KNOWN[reader].get("data"), mapping.get("data")
    if not isinstance(usual, Mapping) or not isinstance(given, Mapping) or {"column", "fields"} & set(given):
        return {}
    return {"data": {**usual, **given}}


def _check_payload(name: str, payload: Payload) -> None:
    if (payload.column is None) is (payload.fields is None):
        raise InvalidTableMap(f"{name} must have either a column or fields")
    if payload.fields is None:
        _check_compression(name, payload.type or "json", payload.compression)
        return
    for option in ("type", "compression", "transcoder"):
        if getattr(payload, option) is not None:
            raise InvalidTableMap(f"{name} has fields, so it has no {option} of its own")
    for field, column in payload.fields.items():
        if isinstance(column, Column):
            if column.column is None or column.field is not None:
                raise InvalidTableMap(f"{name}.fields.{field} must name a column, and no field")
            _check_column(f"{name}.fields.{field}", column)


def _check_column(name: str, column: Column) -> None:
    zone(column.timezone)
    _check_compression(name, column.type, column.compression)


def _check_compression(name: str, type_: str | None, compression: str | None) -> None:
    if compression is not None and type_ not in ("json", "bytes"):
        raise InvalidTableMap(f'{name} has a compression, so its type must be "json" or "bytes"')


AGGREGATE: Final = "aggregate"
"""A placeholder that is no column: the class in a topic of `eventsourcing`."""


def placeholders(template: str) -> list[str]:
    """Return the names in braces of a template.

    Raises:
        InvalidTableMap: It is not such a template.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise InvalidTableMap(f'stream is not a template such as "order-{{order_id}}": {error}') from None
    if any(name == "" or spec or conversion for _, name, spec, conversion in parts):
        raise InvalidTableMap('stream must be a column, or a template such as "order-{order_id}" with names only')
    return [name for _, name, _, _ in parts if name is not None]


def zone(name: str | None) -> tzinfo | None:
    """Return a time zone by its name.

    Raises:
        InvalidTableMap: There is none of that name.
    """
    if name is None:
        return None
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise InvalidTableMap(f"there is no time zone {name!r}; use names such as UTC or Europe/Berlin") from None


_KNOWN: Final[Mapping[str, Mapping[str, Any]]] = {
    "table": {},
    "eventsourcing": {
        "table": "stored_events",
        "order": "notification_id",
        "stream": "{aggregate}-{originator_id}",
        "version": "originator_version",
        "type": "topic",
        "data": {"column": "state", "type": "json", "transcoder": "eventsourcing"},
        "time": {"field": "timestamp"},
        "schema_version": {"field": "class_version"},
        "gaps": False,
    },
    "message-db": {
        "table": "message_store.messages",
        "order": "global_position",
        "stream": "stream_name",
        "version": "position",
        "type": "type",
        "data": "data",
        "metadata": "metadata",
        "time": {"column": "time", "timezone": "UTC"},
        "event_id": "id",
        "gaps": False,
    },
}
