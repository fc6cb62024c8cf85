"""Many events in little time: COPY straight into the tables.

The rows are those that the store itself would write, in streams of 100. They are put together from the bytes of one
stream, and the foreign key is not checked: it is the size of the tables that is wanted, not the work of appending.
"""

import struct
import time
from typing import Final

import msgpack
import psycopg

from benchmarks import raw
from benchmarks.servers import Database

STREAM: Final = 100
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


def stream_id(number: int) -> str:
    """Return the id of the stream of a number, from 0."""
    return f"basket-{number:010d}"


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


def _copy(connection: psycopg.Connection, numbers: range, *, one_type: bool) -> None:
    template = b"".join(_tuple(place, one_type=one_type) for place in range(STREAM))
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


def _tuple(place: int, *, one_type: bool) -> bytes:
    row = raw.rows("", 1, after=place)[0]
    event_type, data = row[3], row[6]
    if place % PAID_EVERY == 0 and not one_type:
        event_type, data = "basket-paid", msgpack.packb({"amount": place})
    fields = (
        _STREAM_ID,
        struct.pack(">q", place + 1),
        _EVENT_ID + struct.pack(">q", place),
        event_type.encode(),
        struct.pack(">i", 1),
        struct.pack(">h", 1),
        data,
        b"\x01" + raw.METADATA_TEXT.encode(),  # the version of JSONB's binary form
    )
    return struct.pack(">h", len(fields)) + b"".join(struct.pack(">i", len(field)) + field for field in fields)
