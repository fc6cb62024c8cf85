"""The payloads of rows, as `read_all` returns them or as JSON text, without an event made of each row."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from operator import itemgetter
from typing import Any, Final

from eventstore.backends.protocol import Row
from eventstore.codecs import MessagePackCodec
from eventstore.codecs.refusals import NotStorableError
from eventstore.contrib.frames.kinds import json_text
from eventstore.errors import DecodingError
from eventstore.event_types.upcasting import Shape
from eventstore.rows.mapper import EVENT_TYPE, SCHEMA_VERSION, STREAM_ID, VERSION, EventMapper

_CODEC, _DATA = 6, 7
_UPCAST: Final = -1
"""In the place of the codec's number: the data is plain data already, that an upcaster has made."""


class Payloads:
    """Reads payloads by one store's event types and codecs.

    Args:
        mapper: The store's.
        upcast: False for what is stored.
    """

    def __init__(self, mapper: EventMapper, *, upcast: bool) -> None:
        self._decode = mapper.codec.decode
        self._event_types = mapper.event_types
        self._upcast = upcast
        self._steps = mapper.event_types.steps if upcast else {}
        self._readers = mapper.event_types.readers if upcast else {}
        self._known: set[Shape] = set()

    def expand(self, rows: Sequence[Row], *, newest_first: bool = False) -> Sequence[Row]:
        """Return rows with those in the place of older ones that the upcasters make of them: one, several or none.

        Raises:
            DecodingError: The data of one can't be read or upcast.
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
            made = [(*row[:EVENT_TYPE], *event[:2], _UPCAST, event.data, *row[_DATA + 1 :]) for event in events]
            expanded.extend(reversed(made) if newest_first else made)
        return expanded

    def values(self, rows: Sequence[Row]) -> list[Any]:
        """Return the data of each row, as objects of registered classes where there are any.

        Raises:
            DecodingError: The data of one can't be read, or does not fit its class.
        """
        shapes = {(row[EVENT_TYPE], row[SCHEMA_VERSION], row[_CODEC]) for row in rows}
        if len(shapes) == 1:
            with suppress(Exception):  # one by one, it turns out which, and what is wrong
                return list(map(self._reader(*shapes.pop()), map(itemgetter(_DATA), rows)))
        return self._one_by_one(rows)

    def _reader(self, event_type: str, schema_version: int, codec: int) -> Callable[[Any], Any]:
        """Return what makes values of the data of events of one shape."""
        read = self._readers.get((event_type, schema_version)) if codec == MessagePackCodec.number else None
        if read is not None:
            return read
        decode: Callable[[Any], Any] = _as_it_is if codec == _UPCAST else partial(self._decode, codec)
        if not self._upcast:
            return decode
        build = partial(self._event_types.from_plain, event_type, schema_version)
        if (event_type, schema_version) in self._event_types.classes:
            return lambda data: build(decode(data))
        build(None)  # refuses what is too new; all else comes back as it is
        return decode

    def _one_by_one(self, rows: Sequence[Row]) -> list[Any]:
        readers, messagepack = self._readers, MessagePackCodec.number
        values: list[Any] = []
        for row in rows:
            if row[_CODEC] == messagepack and (read := readers.get((row[EVENT_TYPE], row[SCHEMA_VERSION]))) is not None:
                try:
                    values.append(read(row[_DATA]))
                except Exception:  # noqa: BLE001, S110  # the other way is taken, and says what is wrong, if it is
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

    def texts(self, rows: Sequence[Row]) -> list[str]:
        """Return the data of each row as JSON text: plain data, after the upcasters and before any class.

        Raises:
            DecodingError: The data of one can't be read, or is of a schema version that can't be.
        """
        texts: list[str] = []
        known = self._known
        for row in rows:
            try:
                if (row[EVENT_TYPE], row[SCHEMA_VERSION]) not in known:
                    self._check_shape(row[EVENT_TYPE], row[SCHEMA_VERSION])
                texts.append(json_text(self._plain(row)))
            except DecodingError as error:
                raise _at(error, row) from None
            except NotStorableError as error:  # MessagePack goes deeper
                raise _at(DecodingError(f"the data can't be JSON text: {error}"), row) from None
        return texts

    def _plain(self, row: Row) -> Any:
        return row[_DATA] if row[_CODEC] == _UPCAST else self._decode(row[_CODEC], row[_DATA])

    def _check_shape(self, event_type: str, schema_version: int) -> None:
        """Refuse what `read_all` refuses: a schema version without a way to the newest, or beyond it."""
        if self._upcast and (event_type, schema_version) not in self._event_types.classes:
            self._event_types.from_plain(event_type, schema_version, None)
        self._known.add((event_type, schema_version))


def _as_it_is(data: Any) -> Any:
    return data


def _at(error: DecodingError, row: Row) -> DecodingError:
    return error.at(row[STREAM_ID], row[VERSION], row[EVENT_TYPE])
