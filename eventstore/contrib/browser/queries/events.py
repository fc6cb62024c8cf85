"""What belongs to an event: what has caused it, what it has caused, and what has its correlation id."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from eventstore.backends.maintenance import Lookup
from eventstore.backends.protocol import Row, Run, Statement
from eventstore.contrib.browser.queries.pages import lookups
from eventstore.correlation import CAUSATION_ID, CORRELATION_ID
from eventstore.events import RecordedEvent
from eventstore.statements.browsing import PAGE, some_by_event_id, some_by_metadata
from eventstore.statements.detached import part_after
from eventstore.store import EventStore

_CAUSES: Final = 20
"""How many causes are followed, each by a query."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event in a list, without its data.

    Attributes:
        position: Its position.
        stream_id: Its stream.
        version: Its version in the stream.
        event_id: Its id.
        event_type: Its stored type.
        recorded_at: When it was stored, in UTC.
        causation_id: The causation id in its metadata, as text; None if it has none.
    """

    position: int
    stream_id: str
    version: int
    event_id: UUID
    event_type: str
    recorded_at: datetime
    causation_id: str | None


@dataclass(frozen=True, slots=True)
class EventLines:
    """Some events, in order of position.

    Attributes:
        events: The events, at most 200.
        is_complete: False if there are more than these.
    """

    events: tuple[EventLine, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class RelatedEvents:
    """The events that belong to an event. Each is None if it can't be looked up, because an index is missing.

    Attributes:
        causes: The event that has caused it, the event that has caused that one, and so on, at most 20.
        effects: The events that it has caused directly.
        correlated: The events with its correlation id, including itself; empty if it has none.
        missing: What no index leads to. docs/how-to/indexes.md has one for each.
        has_detached: Whether parts of the log were detached. Events in these are not found.
    """

    causes: tuple[EventLine, ...] | None
    effects: EventLines | None
    correlated: EventLines | None
    missing: tuple[Lookup, ...]
    has_detached: bool

    @property
    def has_more_causes(self) -> bool:
        """Whether the last of the causes names one that was not followed."""
        return self.causes is not None and len(self.causes) == _CAUSES and self.causes[-1].causation_id is not None


def related_events(store: EventStore, event: RecordedEvent) -> RelatedEvents:
    """Return the causes and the effects of an event, and the events with the same correlation id.

    Each lookup needs an index that an application adds if it wants it. Without it nothing is read, because the database
    would read the whole log. On PostgreSQL, row level security prevents the use of the two indexes of metadata.

    Args:
        store: The store.
        event: The event, as it was read.
    """
    with store.core.execution.statement() as run:
        known = lookups(store, run)
        reader = _Reader(store, run)
        causes = reader.causes(event) if Lookup.EVENT_ID in known else None
        effects = correlated = None
        if Lookup.CAUSATION_ID in known:
            effects = reader.lines(some_by_metadata(CAUSATION_ID), str(event.event_id))
        if Lookup.CORRELATION_ID in known:
            correlation_id = _text_of(event, CORRELATION_ID)
            correlated = (
                EventLines((), is_complete=True)
                if correlation_id is None
                else reader.lines(some_by_metadata(CORRELATION_ID), correlation_id)
            )
        has_detached = bool(run(part_after, after_position=0))
    wanted = (Lookup.EVENT_ID, Lookup.CAUSATION_ID, Lookup.CORRELATION_ID)
    missing = tuple(each for each in wanted if each not in known)
    return RelatedEvents(causes, effects, correlated, missing, has_detached=has_detached)


def events_with_id(store: EventStore, event_id: UUID) -> EventLines | None:
    """Return the events with an id; None if no index leads to them. An append at any version can store one again."""
    with store.core.execution.statement() as run:
        if Lookup.EVENT_ID not in lookups(store, run):
            return None
        return _Reader(store, run).lines(some_by_event_id, store.core.dialect.from_uuid(event_id))


def _text_of(event: RecordedEvent, key: str) -> str | None:
    """Return an id in the metadata as the database has it as text; None if it is missing, or is no string."""
    value = event.metadata.get(key)
    return value if isinstance(value, str) and "\0" not in value else None


class _Reader:
    def __init__(self, store: EventStore, run: Run) -> None:
        self._dialect = store.core.dialect
        self._run = run

    def lines(self, statement: Statement, value: object) -> EventLines:
        rows = self._run(statement, value=value)
        found = sorted((self._line(row) for row in rows[:PAGE]), key=lambda line: line.position)
        return EventLines(tuple(found), is_complete=len(rows) <= PAGE)

    def causes(self, event: RecordedEvent) -> tuple[EventLine, ...]:
        found: list[EventLine] = []
        seen, following = {event.event_id}, _uuid(_text_of(event, CAUSATION_ID))
        while following is not None and following not in seen and len(found) < _CAUSES:
            seen.add(following)
            rows = self._run(some_by_event_id, value=self._dialect.from_uuid(following))
            if not rows:
                break
            found.append(min((self._line(row) for row in rows), key=lambda line: line.position))
            following = _uuid(found[-1].causation_id)
        return tuple(found)

    def _line(self, row: Row) -> EventLine:
        position, stream_id, version, event_id, event_type, recorded_at, causation_id = row
        dialect = self._dialect
        return EventLine(
            position,
            stream_id,
            version,
            dialect.to_uuid(event_id),
            event_type,
            dialect.to_time(recorded_at),
            causation_id,
        )


def _uuid(text: str | None) -> UUID | None:
    try:
        return None if text is None else UUID(text)
    except ValueError:
        return None
