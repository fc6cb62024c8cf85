"""How the boundaries of decisions are read."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from eventstore.backends.protocol import Condition, Run
from eventstore.boundaries import Boundary, BoundaryItem, check_queries
from eventstore.common.validation import check_flag
from eventstore.core.core import Core
from eventstore.core.detached import check_history, check_tags
from eventstore.core.settling import Horizon
from eventstore.errors import UnsuitableTransaction
from eventstore.filters import EventFilter
from eventstore.rows.mapper import EVENT_ID, POSITION, SCHEMA_VERSION, STREAM_ID, VERSION

_NONE: Final = -1
"""The generation of no log: boundaries of several can't all be of this one."""


def read_boundary(core: Core, filters: Iterable[EventFilter], *, lock_all_appends: bool) -> Boundary:
    """Read the events that match at least one filter, and how far the log was read, in one snapshot.

    Raises:
        InvalidFilter: They are no queries that a boundary can have.
        HistoryDetached: An event that matches is in a part of the log that was detached.
        SchemaOutdated: There is no table of tags.
    """
    queries = check_queries(filters, lock_all_appends=check_flag("lock_all_appends", lock_all_appends))
    if lock_all_appends:
        return _read_boundary_without_tags(core, queries)
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


def _read_boundary_without_tags(core: Core, queries: Sequence[EventFilter]) -> Boundary:
    """Find out how far the order is settled, then read the events, with the positions of those after that."""
    with core.observer.operation("read") as observed, core.execution.statement() as run:
        core.tags_gate(run)
        horizon = _horizon(core, run)
        asked = _as_json([_query(query) | {"categories": query.categories} for query in queries])
        header, rows = core.dialect.read_boundary_without_tags(run, asked, None if horizon is None else horizon.event)
        if horizon is not None and header.server != horizon.server:  # which may not have what is settled on the other
            header, rows = core.dialect.read_boundary_without_tags(run, asked, None)
        core.dialect.look_again(run)
        check_history(run, 0)  # any event that was detached may match
        observed.note(events=len(rows))
    ids = {row[POSITION]: core.dialect.to_uuid(row[EVENT_ID]) for row in rows}
    items = [
        BoundaryItem(
            tags=tuple(query.tags or ()),
            event_types=None if query.event_types is None else tuple(query.event_types),
            pivot=None,
            position=header.position,
            event_id=header.event_id,
            categories=None if query.categories is None else tuple(query.categories),
            seen=tuple((each, ids[each]) for each in sorted(seen)),
        )
        for query, seen in zip(queries, header.seen, strict=True)
    ]
    events = core.mapper.recorded(rows, core.dialect.to_uuid, core.dialect.to_time)
    return Boundary(tuple(items), header.generation, tuple(events), locks_all_appends=True)


def _horizon(core: Core, run: Run) -> Horizon | None:
    """Return how far the order is settled, so that a later statement on that server sees all events up to there."""
    joined = core.execution.is_joined
    try:
        return core.settling.horizon(run, joined=joined, shares=not joined and core.execution.shares_reads)
    except UnsuitableTransaction:  # such as one that has appended: then the positions of all events are kept
        return None


def condition_of(boundaries: Sequence[Boundary], from_uuid: Callable[[UUID], Any]) -> Condition | None:
    """Return boundaries as a parameter; None if there are none."""
    if not boundaries:
        return None
    locks_all_appends = any(boundary.locks_all_appends for boundary in boundaries)
    items = [
        {
            "tags": item.tags,
            "types": item.event_types,
            "pivot": item.pivot,
            "position": item.position,
            "event_id": None if item.event_id is None else str(from_uuid(item.event_id)),
        }
        | (_of_all(item, from_uuid) if locks_all_appends else {})
        for boundary in boundaries
        for item in boundary.items
    ]
    generations = {boundary.generation for boundary in boundaries}
    return Condition(_as_json(items), generations.pop() if len(generations) == 1 else _NONE, locks_all_appends)


def _of_all(item: BoundaryItem, from_uuid: Callable[[UUID], Any]) -> dict[str, Any]:
    return {
        "tags": item.tags or None,
        "categories": item.categories,
        "seen": [position for position, _ in item.seen],
        "seen_ids": [str(from_uuid(event_id)) for _, event_id in item.seen],
    }


def _query(query: EventFilter) -> dict[str, Any]:
    return {"tags": query.tags, "types": query.event_types}


def _as_json(items: list[dict[str, Any]]) -> str:
    return json.dumps([{"number": number, **item} for number, item in enumerate(items)])
