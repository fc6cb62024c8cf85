"""Checks of events: unreadable payloads, unknown event types, duplicate positions."""

from collections.abc import Iterator, Sequence
from typing import Final

from eventstore.backends.protocol import Row
from eventstore.errors import DecodingError
from eventstore.event_types import EventTypes
from eventstore.event_types.upcasting import Shape
from eventstore.events import TOMBSTONE_ERRORS
from eventstore.findings import Finding, FindingKind
from eventstore.maintenance.damage import damage
from eventstore.maintenance.inspection import Inspection
from eventstore.maintenance.progress import Part, Place
from eventstore.rows.mapper import EVENT_TYPE, POSITION, SCHEMA_VERSION, STREAM_ID, VERSION, EventMapper
from eventstore.statements.global_order import newest_position, page_of_events
from eventstore.statements.verification import doubled_positions

_UNREADABLE: Final = (
    "if only this process lacks its codec or its class, verify with them (--event-types, a store with also_reads); "
    "otherwise restore the event from a backup"
)


def check_events(inspection: Inspection, start: Place, mapper: EventMapper) -> Iterator[Finding]:
    """Yield what is wrong with the events after a position, up to the newest event at the start of the check."""
    check = _PayloadCheck(inspection, mapper)
    after, done = start.number, 0
    with inspection.execution.statement() as run:
        ((newest,),) = run(newest_position)
    while after < newest:
        with inspection.execution.statement() as run:
            rows = run(
                page_of_events,
                after_position=after,
                up_to_position=newest,
                page_size=inspection.batch_size,
            )
            if not rows:
                return
            last = rows[-1][POSITION]
            doubled = run(doubled_positions, after_position=after, up_to_position=last)
        for position, count in doubled:
            yield damage(
                FindingKind.POSITION_DOUBLED,
                position=position,
                found=f"{count} events",
                expected="one event",
                remedy="decide which event is right, delete the others, and restore the unique key on position",
            )
        yield from check.findings(rows)
        after, done = last, done + len(rows)
        inspection.report_progress(Place(Part.EVENTS, number=after), done)


class _PayloadCheck:
    """Reads events with these event types as a store would, or as plain data if there are none."""

    def __init__(self, inspection: Inspection, mapper: EventMapper) -> None:
        self._backend = inspection.dialect
        self._mapper = mapper
        self._plain = EventMapper(EventTypes(), mapper.codec)
        self._newest = mapper.event_types.newest
        self._reported_shapes: set[Shape] = set()

    def findings(self, rows: Sequence[Row]) -> Iterator[Finding]:
        unknown = {shape for shape in {_shape(row) for row in rows} if self._is_unknown(shape)}
        known = [row for row in rows if _shape(row) not in unknown] if unknown else rows
        yield from self._unreadable(self._mapper, known)
        if not unknown:
            return
        others = [row for row in rows if _shape(row) in unknown]
        for row in others:
            if _shape(row) not in self._reported_shapes:  # one finding for each shape: it may have millions of events
                self._reported_shapes.add(_shape(row))
                yield self._unknown(row)
        yield from self._unreadable(self._plain, others)

    def _is_unknown(self, shape: Shape) -> bool:
        if not self._newest or shape in self._mapper.event_types.steps or shape[0] in TOMBSTONE_ERRORS:
            return False
        return self._newest.get(shape[0]) != shape[1]

    def _unknown(self, row: Row) -> Finding:
        event_type, schema_version = _shape(row)
        newest = self._newest.get(event_type)
        is_type = newest is None
        return damage(
            FindingKind.EVENT_TYPE_UNKNOWN if is_type else FindingKind.SCHEMA_VERSION_UNKNOWN,
            name=event_type,
            schema_version=schema_version,
            stream_id=row[STREAM_ID],
            version=row[VERSION],
            position=row[POSITION],
            found="events of it; this is the first one",
            expected="a registered event type" if is_type else f"{newest}, or one with an upcaster to it",
            remedy=(
                "register the event type, or drop it by EventTypes.drop"
                if is_type
                else "add an upcaster, or deploy the code that knows this schema version"
            ),
        )

    def _unreadable(self, mapper: EventMapper, rows: Sequence[Row]) -> Iterator[Finding]:
        if self._problem(mapper, rows) is None:  # the usual case, and faster than one by one
            return
        for row in rows:
            problem = self._problem(mapper, [row])
            if problem is not None:
                yield damage(
                    FindingKind.EVENT_UNREADABLE,
                    name=row[EVENT_TYPE],
                    schema_version=row[SCHEMA_VERSION],
                    stream_id=row[STREAM_ID],
                    version=row[VERSION],
                    position=row[POSITION],
                    found=problem,
                    expected="an event that can be read",
                    remedy=_UNREADABLE,
                )

    def _problem(self, mapper: EventMapper, rows: Sequence[Row]) -> str | None:
        try:
            for _ in mapper.recorded(rows, self._backend.to_uuid, self._backend.to_time):
                pass
        except DecodingError as error:
            return error.problem
        except (ValueError, TypeError, AttributeError) as error:  # SQLite's text of an id or a time
            return f"an event_id or recorded_at that is not a UUID or a time ({type(error).__name__})"
        return None


def _shape(row: Row) -> Shape:
    return row[EVENT_TYPE], row[SCHEMA_VERSION]
