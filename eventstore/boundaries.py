"""Consistency boundaries: what a decision has read, and which events would change it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from eventstore.errors import InvalidFilter, InvalidInput
from eventstore.events import RecordedEvent
from eventstore.filters import MAX_FILTERS, EventFilter


@dataclass(frozen=True, slots=True)
class BoundaryItem:
    """One of the queries of a boundary, and how far it was read.

    Attributes:
        tags: The tags that an event must all have to match. Empty only if the boundary locks all appends.
        event_types: The event types, as they are stored, one of which it must have; None for all.
        pivot: One of the tags. Whoever adds an event that matches adds one with this tag. None if the boundary locks
            all appends.
        position: The position of the last event with that tag, matching or not, in the snapshot of the read; 0 if there
            was none. If the boundary locks all appends, a settled position: no event can appear at or before it.
        event_id: The id of the event at that position.
        categories: The categories, of one of which its stream must be; None for all.
        seen: Position and id of each event that was read after that position, if the boundary locks all appends.
    """

    tags: tuple[str, ...]
    event_types: tuple[str, ...] | None
    pivot: str | None
    position: int
    event_id: UUID | None
    categories: tuple[str, ...] | None = None
    seen: tuple[tuple[int, UUID], ...] = ()


@dataclass(frozen=True, slots=True)
class Boundary:
    """The events that a decision is based on, and the condition that there are no more of them.

    It is iterable. Pass it as the `condition` of an append, which is then refused if an event has come between that one
    of its queries matches. It is a value: it pickles, and can be used in another process and transaction. It is refused
    if the log is not the one that it was read from: if the last event of a tag, as it was read, is gone, because it was
    rolled back, its stream was deleted, or the log went back; or if tags were added to old events. It is not refused if
    the stream of an earlier event was deleted.

    Attributes:
        items: Its queries, and how far each was read.
        generation: How often tags were added to old events before it was read.
        events: The events, in order of position.
        locks_all_appends: Whether an append on this condition locks out all other appends, because its queries may have
            no tags.
    """

    items: tuple[BoundaryItem, ...] = field(repr=False)
    generation: int
    events: tuple[RecordedEvent, ...] = field(repr=False)
    locks_all_appends: bool = False

    def __iter__(self) -> Iterator[RecordedEvent]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)


def check_queries(filters: Iterable[EventFilter], *, lock_all_appends: bool) -> tuple[EventFilter, ...]:
    """Return the queries of a boundary, each once.

    Args:
        filters: The queries.
        lock_all_appends: Whether they may be without tags, and have categories.

    Raises:
        InvalidFilter: There are none, or more than 100, or one has no tags, or fields that boundaries can't have.
    """
    given = tuple(filters)
    for query in given:
        if not isinstance(query, EventFilter):
            hint = "; pass queries one by one: read_boundary(one, another)" if isinstance(query, list | tuple) else ""
            msg = f"a query of a boundary must be an EventFilter, not {type(query).__name__}{hint}"
            raise InvalidFilter(msg)
    queries = tuple(dict.fromkeys(given))
    for query in queries:
        if query.stream_ids is not None:
            msg = (
                "a query of a boundary has no stream ids; for a decision about one stream, pass its version as "
                "expected_version"
            )
            raise InvalidFilter(msg)
        if not lock_all_appends and (query.tags is None or query.categories is not None):
            msg = (
                "a query of a boundary must name a tag, and no categories: EventFilter(tags=[…]); or pass "
                "lock_all_appends=True, so that the append keeps out all other appends, to any stream"
            )
            raise InvalidFilter(msg)
    if not queries:
        raise InvalidFilter("a boundary needs at least one query, such as EventFilter(tags=[…])")
    if len(queries) > MAX_FILTERS:
        msg = f"{len(queries)} queries are more than the {MAX_FILTERS} that a boundary may have"
        raise InvalidFilter(msg)
    return queries


def check_condition(condition: object) -> tuple[Boundary, ...]:
    """Return the boundaries of a condition.

    Raises:
        InvalidInput: It is neither a `Boundary`, nor a list of at least one of these, nor None; or they have more than
            100 queries.
    """
    if condition is None:
        return ()
    boundaries = (condition,) if isinstance(condition, Boundary) else condition
    if isinstance(boundaries, str | bytes) or not isinstance(boundaries, Iterable):
        msg = f"condition must be a Boundary, from read_boundary, or a list of these, not {type(condition).__name__}"
        raise InvalidInput(msg)
    checked = tuple(boundaries)
    if not checked:
        raise InvalidInput("condition has no Boundary; an append without a condition has condition=None")
    for boundary in checked:
        if not isinstance(boundary, Boundary):
            msg = f"condition must have boundaries, from EventStore.read_boundary, not {type(boundary).__name__}"
            raise InvalidInput(msg)
    number = sum(len(boundary.items) for boundary in checked)
    if number > MAX_FILTERS:
        msg = f"the condition has {number} queries, more than the {MAX_FILTERS} allowed"
        raise InvalidInput(msg)
    return checked
