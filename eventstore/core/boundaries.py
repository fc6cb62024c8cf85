"""How the boundaries of decisions are read."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from eventstore.backends.protocol import Condition
from eventstore.boundaries import Boundary, BoundaryItem, check_queries
from eventstore.core.core import Core
from eventstore.core.detached import check_tags
from eventstore.filters import EventFilter
from eventstore.rows.mapper import SCHEMA_VERSION, STREAM_ID, VERSION


def read_boundary(core: Core, filters: Iterable[EventFilter]) -> Boundary:
    """Read the events that match at least one filter, and how far the log was read, in one snapshot.

    Raises:
        InvalidFilter: They are no queries that a boundary can have.
        HistoryDetached: An event that matches is in a part of the log that was detached.
        SchemaOutdated: There is no table of tags.
    """
    queries = check_queries(filters)
    with core.observer.operation("read") as observed, core.execution.statement() as run:
        core.tags_gate(run)
        header, *rows = core.dialect.read_boundary(run, _as_json([_query(query) for query in queries]))
        ends = json.loads(header[STREAM_ID])
        is_last_gone = any(position is not None and event_id is None for _, position, event_id in ends)
        if is_last_gone or header[SCHEMA_VERSION] not in {None, len(rows)}:
            core.dialect.look_again(run)
            check_tags(run, [pivot for pivot, _, _ in ends])
        observed.note(events=len(rows))
    items = [
        BoundaryItem(
            tuple(query.tags or ()),
            None if query.event_types is None else tuple(query.event_types),
            pivot,
            position or 0,
            None if event_id is None else UUID(event_id),
        )
        for query, (pivot, position, event_id) in zip(queries, ends, strict=True)
    ]
    events = core.mapper.recorded(rows, core.dialect.to_uuid, core.dialect.to_time)
    return Boundary(tuple(items), header[VERSION], tuple(events))


def condition_of(boundaries: Sequence[Boundary], from_uuid: Callable[[UUID], Any]) -> Condition | None:
    """Return boundaries as a parameter; None if there are none."""
    if not boundaries:
        return None
    items = [
        {
            "tags": item.tags,
            "types": item.event_types,
            "pivot": item.pivot,
            "position": item.position,
            "event_id": None if item.event_id is None else str(from_uuid(item.event_id)),
        }
        for boundary in boundaries
        for item in boundary.items
    ]
    # of boundaries of several generations, none is older than the lowest, and so that one is not the log's
    return Condition(_as_json(items), min(boundary.generation for boundary in boundaries))


def _query(query: EventFilter) -> dict[str, Any]:
    return {"tags": query.tags, "types": query.event_types}


def _as_json(items: list[dict[str, Any]]) -> str:
    return json.dumps([{"number": number, **item} for number, item in enumerate(items)])
