"""Events as parameters of PostgreSQL's statements: one, many as arrays, very many as rows for COPY."""

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, Final

from eventstore.backends.protocol import Row
from eventstore.rows import PendingAppend

COPIED_TYPES: Final = ("text", "int8", "uuid", "text", "int4", "int2", "bytea", "text")
"""The last one is jsonb, which in binary is text after a byte that says so: `JSONB`."""
JSONB: Final = "\x01"


def single_event(pending: PendingAppend) -> dict[str, Any]:
    """Return the parameters of one event."""
    return {
        "event_id": pending.event_ids[0],
        "event_type": pending.event_types[0],
        "schema_version": pending.schema_versions[0],
        "codec": pending.codecs[0],
        "data": pending.data[0],
        "metadata": pending.metadata[0],
    }


def rows_to_copy(pending: PendingAppend, version: int) -> Iterator[Row]:
    """Yield rows of `statements.COPIED_COLUMNS`."""
    return zip(
        repeat(pending.stream_id, len(pending)),
        range(version + 1, version + len(pending) + 1),
        pending.event_ids,
        pending.event_types,
        pending.schema_versions,
        pending.codecs,
        pending.data,
        [None if text is None else JSONB + text for text in pending.metadata],
        strict=True,
    )


def event_arrays(appends: Sequence[PendingAppend]) -> dict[str, Any]:
    """Return an array for each column, of all events."""
    columns = ("event_ids", "event_types", "schema_versions", "codecs", "data", "metadata")
    return {name: [value for pending in appends for value in getattr(pending, name)] for name in columns}
