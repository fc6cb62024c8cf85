"""Whether this code can read the stored events, judging by a sample of every event type."""

from typing import Final

from eventstore.backends.protocol import Dialect, Row
from eventstore.common.validation import check_number
from eventstore.core.core import Core
from eventstore.errors import DecodingError
from eventstore.event_types import EventTypeFinding
from eventstore.event_types.upcasting import Shape
from eventstore.rows.mapper import SCHEMA_VERSION, EventMapper
from eventstore.statements.event_types import event_type_spans, sample_events

_MAX_FAILURES: Final = 10


def check_event_types(core: Core, *, sample_size: int) -> list[EventTypeFinding]:
    """Read a sample of each event type; see `EventStore.check_event_types`."""
    check_number("sample_size", sample_size, minimum=1)
    with core.execution.statement() as run:
        spans = run(event_type_spans)
    findings: list[EventTypeFinding] = []
    for event_type, first, last in spans:
        stride = max(1, -((first - last) // sample_size))
        with core.execution.statement() as run:
            rows = run(sample_events, event_type=event_type, first=first, last=last, stride=stride)
        by_version: dict[int, list[Row]] = {}
        for row in rows:
            by_version.setdefault(row[SCHEMA_VERSION], []).append(row)
        findings.extend(_finding(event_type, *each, core.dialect, core.mapper) for each in sorted(by_version.items()))
    return findings


def _finding(
    event_type: str, schema_version: int, rows: list[Row], dialect: Dialect, mapper: EventMapper
) -> EventTypeFinding:
    failures: list[DecodingError] = []
    read_as: set[Shape] = set()
    for row in rows:
        try:
            events = list(mapper.recorded([row], dialect.to_uuid, dialect.to_time))
        except DecodingError as error:
            failures.append(error)
        else:
            read_as.update((event.event_type, event.schema_version) for event in events)
    return EventTypeFinding(
        event_type, schema_version, len(rows), len(failures), tuple(failures[:_MAX_FAILURES]), tuple(sorted(read_as))
    )
