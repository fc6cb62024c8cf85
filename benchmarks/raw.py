"""The driver alone on the same tables: the limit. It checks nothing, and has no events but rows made beforehand."""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID, uuid4

import msgpack
import psycopg

from benchmarks.events import METADATA, item

Row = tuple[str, int, UUID, str, int, int, bytes, str]

METADATA_TEXT: Final = json.dumps(METADATA)
INSERT: Final = """
INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
VALUES (%b, %b, %b, %b, %b, %b, %b, %b::jsonb)
"""
_UNNEST: Final = """
INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
SELECT stream_id, version, event_id, event_type, schema_version, codec, data, metadata::jsonb
FROM unnest(%b::text[], %b::bigint[], %b::uuid[], %b::text[], %b::int[], %b::smallint[], %b::bytea[], %b::text[])
AS event (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
"""
COPY: Final = """
COPY es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
FROM STDIN (FORMAT BINARY)
"""
_TYPES: Final = ["text", "int8", "uuid", "text", "int4", "int2", "bytea", "jsonb"]
_COLUMNS: Final = (
    "position, stream_id, version, event_id, event_type, schema_version, codec, data, metadata::text, recorded_at"
)
_STREAM: Final = f"SELECT {_COLUMNS} FROM es_events WHERE stream_id = %b ORDER BY version"
_PAGE: Final = f"SELECT {_COLUMNS} FROM es_events WHERE position > %b ORDER BY position LIMIT %b"
_PAGE_OF_TYPE: Final = _PAGE.replace("WHERE", "WHERE event_type = 'basket-paid' AND")


def rows(stream_id: str, count: int, *, after: int = 0) -> list[Row]:
    """Return the rows of a stream's events, encoded."""
    made = []
    for number in range(after, after + count):
        each = item(number)
        data = {name: getattr(each, name) for name in each.__dataclass_fields__}
        made.append((stream_id, number + 1, uuid4(), "item-added", 1, 1, msgpack.packb(data), METADATA_TEXT))
    return made


def create_heads(connection: psycopg.Connection, stream_ids: Sequence[str], version: int) -> None:
    """Store the rows of streams, which events must have."""
    statement = (
        "INSERT INTO es_streams (stream_id, version) SELECT stream_id, %s FROM unnest(%s::text[]) AS s (stream_id)"
    )
    connection.execute(statement, [version, list(stream_ids)])


def insert_one(connection: psycopg.Connection, count: int) -> Callable[[], float]:
    """Return a contestant that inserts a row at a time, each into a stream of its own."""

    def run() -> float:
        stream_ids = [f"raw-{uuid4()}" for _ in range(count)]
        create_heads(connection, stream_ids, 1)
        made = [rows(stream_id, 1)[0] for stream_id in stream_ids]
        cursor = connection.cursor()
        begun = time.perf_counter()
        for row in made:
            cursor.execute(INSERT, row)
        return (time.perf_counter() - begun) / count

    return run


def insert_unnested(connection: psycopg.Connection, size: int, times: int = 1) -> Callable[[], float]:
    """Return a contestant that inserts many rows as arrays, so many times."""

    def insert(made: list[Row]) -> None:
        connection.execute(_UNNEST, [list(column) for column in zip(*made, strict=True)])

    return lambda: seconds_of(insert, _streams(connection, size, times)) / size


def copy(connection: psycopg.Connection, size: int, times: int = 1) -> Callable[[], float]:
    """Return a contestant that stores many rows by COPY in binary, so many times."""

    def copy_rows(made: list[Row]) -> None:
        with connection.cursor() as cursor, cursor.copy(COPY) as stream:
            stream.set_types(_TYPES)
            for row in made:
                stream.write_row(row)

    return lambda: seconds_of(copy_rows, _streams(connection, size, times)) / size


def _streams(connection: psycopg.Connection, size: int, times: int) -> list[list[Row]]:
    stream_ids = [f"raw-{uuid4()}" for _ in range(times)]
    create_heads(connection, stream_ids, size)
    return [rows(stream_id, size) for stream_id in stream_ids]


def fetch_stream(connection: psycopg.Connection, stream_id: str, size: int, times: int = 1) -> Callable[[], float]:
    """Return a contestant that fetches a stream at once, in binary, and unpacks its data; so many times."""

    def fetch(_: int) -> None:
        with connection.cursor(binary=True) as cursor:
            fetched = cursor.execute(_STREAM, [stream_id]).fetchall()
        values = [msgpack.unpackb(row[7]) for row in fetched]
        assert len(values) == size

    return lambda: seconds_of(fetch, range(times)) / size


def fetch_all(
    connection: psycopg.Connection, count: int, page_size: int, *, unpack: bool, one_type: bool = False
) -> Callable[[], float]:
    """Return a contestant that fetches everything, or one event type, in keyset pages, in binary."""
    statement = _PAGE_OF_TYPE if one_type else _PAGE

    def run() -> float:
        begun, position, seen = time.perf_counter(), 0, 0
        while True:
            with connection.cursor(binary=True) as cursor:
                page = cursor.execute(statement, [position, page_size]).fetchall()
            if unpack:
                for row in page:
                    msgpack.unpackb(row[7])
            seen += len(page)
            if len(page) < page_size:
                break
            position = page[-1][0]
        assert seen == count
        return (time.perf_counter() - begun) / count

    return run


def seconds_of(work: Callable[[Any], object], parts: Sequence[Any]) -> float:
    """Return the seconds of one of several calls."""
    begun = time.perf_counter()
    for part in parts:
        work(part)
    return (time.perf_counter() - begun) / len(parts)
