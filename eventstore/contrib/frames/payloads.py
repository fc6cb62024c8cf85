"""Decoding the payloads of rows to objects or JSON text, without creating an event for each row."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from operator import itemgetter
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from eventstore.backends.protocol import Row
from eventstore.codecs import MessagePackCodec
from eventstore.codecs.messagepack import read_json_types
from eventstore.codecs.refusals import NotStorableError
from eventstore.contrib.frames.column_types import json_text
from eventstore.errors import DecodingError
from eventstore.rows.mapper import EVENT_TYPE, SCHEMA_VERSION, STREAM_ID, VERSION, EventMapper

_CODEC, _DATA = 6, 7
_SHAPE: Final = itemgetter(EVENT_TYPE, SCHEMA_VERSION, _CODEC)
_JSON_LINES: Final = msgspec.json.Encoder().encode_lines
_TAG: Final = b'{"$'
"""Begins an object that `JSONCodec` could take for a type that JSON does not have."""
_UPCAST: Final = -1
"""Stands for the codec number if the data is plain data that an upcaster has returned."""


class Payloads:
    """Decodes payloads with one store's event types and codecs.

    Args:
        mapper: The store's mapper.
        upcast: Whether to upcast events.
    """

    def __init__(self, mapper: EventMapper, *, upcast: bool) -> None:
        self._decode = mapper.codec.decode
        self._event_types = mapper.event_types
        self._upcast = upcast
        self._steps = mapper.event_types.steps if upcast else {}
        self._readers = mapper.event_types.readers if upcast else {}
        self._known: set[tuple[str, int, int]] = set()

    def expand(self, rows: Sequence[Row], *, newest_first: bool = False) -> Sequence[Row]:
        """Return the rows, with each old one replaced by those that the upcasters return for it: one, several or none.

        Raises:
            DecodingError: The data of a row can't be read or upcast.
        """
        steps = self._steps
        if not steps or not any((row[EVENT_TYPE], row[SCHEMA_VERSION]) in steps for row in rows):
            return rows
        expanded: list[Row] = []
        for row in rows:
            shape = row[EVENT_TYPE], row[SCHEMA_VERSION]
            if shape not in steps:
                expanded.append(row)
                continue
            try:
                events = self._event_types.upcast(*shape, self._decode(row[_CODEC], row[_DATA]))
            except DecodingError as error:
                raise _at(error, row) from None
            upcast = [(*row[:EVENT_TYPE], *event[:2], _UPCAST, event.data, *row[_DATA + 1 :]) for event in events]
            expanded.extend(reversed(upcast) if newest_first else upcast)
        return expanded

    def values(self, rows: Sequence[Row]) -> list[Any]:
        """Return the data of each row, as an object of its registered class if there is one.

        Raises:
            DecodingError: The data of a row can't be read, or does not fit its class.
        """
        shapes = {*map(_SHAPE, rows)}
        if len(shapes) == 1:
            with suppress(Exception):  # decoding one by one then finds the row, and what is wrong with it
                return list(map(self._reader(*shapes.pop()), map(itemgetter(_DATA), rows)))
        return self._one_by_one(rows)

    def _reader(self, event_type: str, schema_version: int, codec: int) -> Callable[[Any], Any]:
        """Return the function that decodes the data of one event type, schema version and codec."""
        read = self._readers.get((event_type, schema_version)) if codec == MessagePackCodec.number else None
        if read is not None:
            return read
        decode: Callable[[Any], Any] = _as_it_is if codec == _UPCAST else partial(self._decode, codec)
        if not self._upcast:
            return decode
        build = partial(self._event_types.from_plain, event_type, schema_version)
        if (event_type, schema_version) in self._event_types.classes:
            return lambda data: build(decode(data))
        build(None)  # refuses a schema version that is too new; other data is returned unchanged
        return decode

    def _one_by_one(self, rows: Sequence[Row]) -> list[Any]:
        readers, messagepack = self._readers, MessagePackCodec.number
        values: list[Any] = []
        for row in rows:
            if row[_CODEC] == messagepack and (read := readers.get((row[EVENT_TYPE], row[SCHEMA_VERSION]))) is not None:
                try:
                    values.append(read(row[_DATA]))
                except Exception:  # noqa: BLE001, S110  # the slower way below then succeeds, or says what is wrong
                    pass
                else:
                    continue
            try:
                value = self._plain(row)
                if self._upcast:
                    value = self._event_types.from_plain(row[EVENT_TYPE], row[SCHEMA_VERSION], value)
            except DecodingError as error:
                raise _at(error, row) from None
            values.append(value)
        return values

    def texts(self, rows: Sequence[Row]) -> pa.Array:
        """Return the data of each row as JSON text of upcast plain data, without event classes.

        Raises:
            DecodingError: The data of a row can't be read, or its schema version is not known.
        """
        with suppress(Exception):  # writing them one by one then succeeds, or finds the row and what is wrong with it
            return self._texts_at_once(rows)
        texts: list[str | bytes] = []
        for row in rows:
            try:
                self._check_shapes({_SHAPE(row)})
                texts.append(self._text(row))
            except DecodingError as error:
                raise _at(error, row) from None
            except NotStorableError as error:  # MessagePack allows deeper nesting
                raise _at(DecodingError(f"the data can't be JSON text: {error}"), row) from None
        return pa.array(texts, pa.string())

    def _texts_at_once(self, rows: Sequence[Row]) -> pa.Array:
        """Return the texts if all data is MessagePack of JSON's types; raise any error if not."""
        shapes = {*map(_SHAPE, rows)}
        self._check_shapes(shapes)
        if {codec for *_, codec in shapes} != {MessagePackCodec.number}:
            raise ValueError
        lines = _JSON_LINES(map(read_json_types, map(itemgetter(_DATA), rows)))
        if _TAG in lines:
            raise ValueError
        return pc.split_pattern(pa.array([lines], pa.string()), "\n").values[:-1]  # a line break in a text is escaped

    def _text(self, row: Row) -> str | bytes:
        if row[_CODEC] == MessagePackCodec.number:
            with suppress(Exception):
                text = msgspec.json.encode(read_json_types(row[_DATA]))
                if _TAG not in text:
                    return text
        return json_text(self._plain(row))

    def _plain(self, row: Row) -> Any:
        return row[_DATA] if row[_CODEC] == _UPCAST else self._decode(row[_CODEC], row[_DATA])

    def _check_shapes(self, shapes: set[tuple[str, int, int]]) -> None:
        """Refuse what `read_all` refuses: a schema version without upcasters to the newest, or beyond it."""
        for event_type, schema_version, _ in shapes - self._known:
            if self._upcast and (event_type, schema_version) not in self._event_types.classes:
                self._event_types.from_plain(event_type, schema_version, None)
        self._known |= shapes


def _as_it_is(data: Any) -> Any:
    return data


def _at(error: DecodingError, row: Row) -> DecodingError:
    return error.at(row[STREAM_ID], row[VERSION], row[EVENT_TYPE])
