"""What the statements that append to several streams have in common: their parameters, their first and last step."""

from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, Integer, LargeBinary, SmallInteger, Text, Uuid

TYPES: Final[dict[str, Any]] = {
    "stream_ids": ARRAY(Text),
    "counts": ARRAY(BigInteger),
    "lowest": ARRAY(BigInteger),
    "highest": ARRAY(BigInteger),
    "event_streams": ARRAY(Text),
    "numbers": ARRAY(Integer),
    "offsets": ARRAY(BigInteger),
    "event_ids": ARRAY(Uuid),
    "event_types": ARRAY(Text),
    "schema_versions": ARRAY(Integer),
    "codecs": ARRAY(SmallInteger),
    "data": ARRAY(LargeBinary),
    "metadata": ARRAY(Text),
}
"""The parameters: arrays of streams, with how many events to append and the versions to expect; and arrays of events,
each with the number of its stream and its offset among the new events of the stream."""

KNOWN_STREAMS: Final = """SELECT
            target.number,
            target.stream_id COLLATE "C" AS stream_id,
            target.count,
            target.lowest,
            target.highest,
            head.version
        FROM unnest(:stream_ids, :counts, :lowest, :highest) WITH ORDINALITY
            AS target(stream_id, count, lowest, highest, number)
        LEFT JOIN {streams} AS head ON head.stream_id = (target.stream_id COLLATE "C")"""
"""Reads the versions of the streams, without a lock."""


def insert_events(*, verdict: str, condition: str, returning: str) -> str:
    """Return the SQL that stores the events in the order of the list.

    Args:
        verdict: The name of the row with an array `versions`, by the number of the stream: its version before.
        condition: Whether an event is stored.
        returning: The columns to return.
    """
    return f"""INSERT INTO {{events}} (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
        SELECT
            event.stream_id,
            {verdict}.versions[event.number] + event.offset_in_stream AS version,
            event.event_id,
            event.event_type,
            event.schema_version,
            event.codec,
            event.data,
            CAST(event.metadata AS JSONB) AS metadata
        FROM unnest(
            :event_streams, :numbers, :offsets, :event_ids, :event_types, :schema_versions, :codecs, :data, :metadata
        ) WITH ORDINALITY AS event(
            stream_id, number, offset_in_stream, event_id, event_type, schema_version, codec, data, metadata, ordinal
        )
        JOIN {verdict} ON {condition}
        ORDER BY event.ordinal
        RETURNING {returning}"""
