"""Many events in little time: COPY straight into the tables.

The rows are those that the store itself would write. They are put together from bytes made once, and the foreign key is
not checked: it is the size of the tables that is wanted, not the work of appending.

`load` stores streams of 100, one after the other, with ids that ascend. `load_short` stores streams of 3 with ids in no
order, whose events are apart, as those of orders are: so it leaves the indexes as years of appends do.
"""

import struct
import time
from collections.abc import Sequence
from hashlib import md5
from typing import Final

import msgpack
import psycopg

from benchmarks import raw
from benchmarks.servers import Database

STREAM: Final = 100
SHORT: Final = 3
PAID_EVERY: Final = 20
"""Each so many-th event is of another type, which can be filtered by."""

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = struct.pack(">h", -1)
_STREAM_ID: Final = b"basket-##########"
_EVENT_ID: Final = b"<stream>"
_STREAMS_A_COPY: Final = 10_000
_HEADS: Final = """
INSERT INTO es_streams (stream_id, version)
SELECT 'basket-' || lpad(number::text, 10, '0'), %s FROM generate_series(%s::bigint, %s::bigint - 1) AS number
"""
_SHORT_ID: Final = b"basket-" + b"#" * 32
_SHORT_HEADS: Final = """
INSERT INTO es_streams (stream_id, version)
SELECT 'basket-' || md5(number::text), %s FROM generate_series(%s::bigint, %s::bigint - 1) AS number
"""


def stream_id(number: int) -> str:
    """Return the id of the stream of a number, from 0."""
    return f"basket-{number:010d}"


def short_stream_id(number: int) -> str:
    """Return the id of the short stream of a number, from 0."""
    return f"basket-{md5(str(number).encode(), usedforsecurity=False).hexdigest()}"


def load(database: Database, count: int, *, first: int = 0, vacuum: bool = True, one_type: bool = False) -> float:
    """Store so many events, and return the seconds without the vacuum.

    Args:
        database: Where to.
        count: How many events, a multiple of 100.
        first: How many have been stored so before.
        vacuum: Whether to vacuum the tables.
        one_type: Whether all events are of the same type.
    """
    streams = range(first // STREAM, (first + count) // STREAM)
    with database.raw() as connection:
        connection.execute("SET session_replication_role = replica")  # foreign keys are not checked
        begun = time.perf_counter()
        for start in range(streams.start, streams.stop, _STREAMS_A_COPY):
            _copy(connection, range(start, min(start + _STREAMS_A_COPY, streams.stop)), one_type=one_type)
        seconds = time.perf_counter() - begun
        if vacuum:
            connection.execute("VACUUM (ANALYZE) es_events, es_streams")
            connection.execute("CHECKPOINT")  # or it comes while something is measured
    return seconds


def load_short(database: Database, count: int, *, together: int = 10_000) -> float:
    """Store so many events in streams of 3, rounded down, and return the seconds without the vacuum.

    Args:
        database: Where to.
        count: How many events.
        together: How many streams get their first events before any of them gets its second.
    """
    streams = count // SHORT
    with database.raw() as connection:
        connection.execute("SET session_replication_role = replica")  # foreign keys are not checked
        begun = time.perf_counter()
        for start in range(0, streams, together):
            _copy_short(connection, range(start, min(start + together, streams)))
        seconds = time.perf_counter() - begun
        connection.execute("VACUUM (ANALYZE) es_events, es_streams")
        connection.execute("CHECKPOINT")  # or it comes while something is measured
    return seconds


def _copy_short(connection: psycopg.Connection, numbers: range) -> None:
    ids = [short_stream_id(number).encode() for number in numbers]
    with connection.transaction():
        connection.execute(_SHORT_HEADS, [SHORT, numbers.start, numbers.stop])
        with connection.cursor() as cursor, cursor.copy(raw.COPY) as stream:
            stream.write(_HEADER)
            for place in range(SHORT):
                stream.write(_short_rows(ids, numbers, place))
            stream.write(_TRAILER)


def _short_rows(ids: Sequence[bytes], numbers: range, place: int) -> bytes:
    usual, paid = (_tuple(place, _SHORT_ID, is_paid=is_paid) for is_paid in (False, True))
    return b"".join(
        (usual if number % PAID_EVERY else paid)
        .replace(_SHORT_ID, stream_id)
        .replace(_EVENT_ID, struct.pack(">q", number))
        for number, stream_id in zip(numbers, ids, strict=True)
    )


def _copy(connection: psycopg.Connection, numbers: range, *, one_type: bool) -> None:
    template = b"".join(
        _tuple(place, _STREAM_ID, is_paid=place % PAID_EVERY == 0 and not one_type) for place in range(STREAM)
    )
    with connection.transaction():
        connection.execute(_HEADS, [STREAM, numbers.start, numbers.stop])
        with connection.cursor() as cursor, cursor.copy(raw.COPY) as stream:
            stream.write(_HEADER)
            for number in numbers:
                stream.write(
                    template.replace(_STREAM_ID, stream_id(number).encode()).replace(
                        _EVENT_ID, struct.pack(">q", number)
                    )
                )
            stream.write(_TRAILER)


def _tuple(place: int, stream_id: bytes, *, is_paid: bool) -> bytes:
    row = raw.rows("", 1, after=place)[0]
    event_type, data = row[3], row[6]
    if is_paid:
        event_type, data = "basket-paid", msgpack.packb({"amount": place})
    fields = (
        stream_id,
        struct.pack(">q", place + 1),
        _EVENT_ID + struct.pack(">q", place),
        event_type.encode(),
        struct.pack(">i", 1),
        struct.pack(">h", 1),
        data,
        b"\x01" + raw.METADATA_TEXT.encode(),  # the version of JSONB's binary form
    )
    return struct.pack(">h", len(fields)) + b"".join(struct.pack(">i", len(field)) + field for field in fields)
