"""Events as parameters of PostgreSQL's statements: one as values, many as arrays, very many as rows for COPY."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final

from eventstore.backends.protocol import Condition, Row, TagLocks
from eventstore.common.validation import MAX_VERSION
from eventstore.rows.mapper import PendingAppend
from eventstore.statements.postgresql.tag_locks import ALL_TAGS, MAX_LOCKED_TAGS

COPIED_TYPES: Final = ("text", "int8", "uuid", "text", "int4", "int2", "bytea", "text")
"""The types of the copied columns. The last one is jsonb, sent in binary as text after the byte `JSONB`."""
JSONB: Final = "\x01"


def one_event(pending: PendingAppend) -> dict[str, Any]:
    """Return the parameters of an append of one event."""
    return {
        "stream_id": pending.stream_id,
        "count": 1,
        "expected": pending.expected,
        "event_id": pending.event_ids[0],
        "event_type": pending.event_types[0],
        "schema_version": pending.schema_versions[0],
        "codec": pending.codecs[0],
        "data": pending.data[0],
        "metadata": pending.metadata[0],
    }


def rows_to_copy(pending: PendingAppend, version: int) -> Iterator[Row]:
    """Yield rows with the columns of `statements.columns.APPENDED_COLUMNS`."""
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
    """Return an array for each column, with the values of all events."""
    columns = ("event_ids", "event_types", "schema_versions", "codecs", "data", "metadata")
    return {name: [value for pending in appends for value in getattr(pending, name)] for name in columns}


def tagged_events(pending: PendingAppend) -> dict[str, Any]:
    """Return the events of an append as arrays, and arrays of their tags, each with the number of its event."""
    tags = [
        (number, tag, event_type)
        for number, (of_event, event_type) in enumerate(
            zip(pending.tags or [()] * len(pending), pending.event_types, strict=True), 1
        )
        for tag in of_event
    ]
    return {
        **event_arrays([pending]),
        "tag_ordinals": [number for number, _, _ in tags],
        "tags": [tag for _, tag, _ in tags],
        "tag_types": [event_type for _, _, event_type in tags],
    }


def lock_parameters(locks: TagLocks | None) -> dict[str, Any]:
    """Return the parameters of the statement that locks tags; None for all tags."""
    if locks is None or len(locks.written) + len(locks.read) > MAX_LOCKED_TAGS:
        return {"number": -1, "tags": [ALL_TAGS], "are_shared": [False]}
    tags = [*locks.written, *locks.read]
    are_shared = [True, *(tag in locks.read for tag in tags)]
    return {"number": max(len(tags), 1), "tags": [ALL_TAGS, *tags], "are_shared": are_shared}


def condition_parameters(condition: Condition | None) -> dict[str, Any]:
    """Return the parameters by which boundaries are compared."""
    if condition is None:
        return {"items": "[]", "generation": None}
    return {"items": condition.items, "generation": condition.generation}


@dataclass(frozen=True, slots=True)
class ManyAppends:
    """Several appends as parameters of the statement `append_to_all`.

    Attributes:
        parameters: The parameters.
        ends: For each append, the index of its stream, from 0, and how many events this call has appended to that
            stream when the append ends.
    """

    parameters: dict[str, Any]
    ends: list[tuple[int, int]]


def many_appends(appends: Sequence[PendingAppend]) -> ManyAppends:
    """Return the parameters of appends to several streams, which are numbered in sorted order.

    The expected versions of several appends to one stream become one range for its version before the first of them.
    """
    stream_ids = sorted({pending.stream_id for pending in appends})
    indexes = {stream_id: index for index, stream_id in enumerate(stream_ids)}
    counts, lowest, highest = [0] * len(indexes), [0] * len(indexes), [MAX_VERSION] * len(indexes)
    event_streams: list[str] = []
    numbers: list[int] = []
    offsets: list[int] = []
    ends: list[tuple[int, int]] = []
    for pending in appends:
        index, size = indexes[pending.stream_id], len(pending)
        before = counts[index]
        counts[index] = before + size
        low, high = pending.bounds
        lowest[index] = max(lowest[index], low - before)
        highest[index] = min(highest[index], high - before)
        event_streams.extend(repeat(pending.stream_id, size))
        numbers.extend(repeat(index + 1, size))
        offsets.extend(range(before + 1, before + size + 1))
        ends.append((index, before + size))
    parameters = {
        **event_arrays(appends),
        "stream_ids": stream_ids,
        "counts": counts,
        "lowest": lowest,
        "highest": highest,
        "event_streams": event_streams,
        "numbers": numbers,
        "offsets": offsets,
    }
    return ManyAppends(parameters, ends)
