"""Look for damage: in heads, streams, events, snapshots, projections and the schema."""

from collections.abc import Iterator
from typing import Final

from eventstore import migrations
from eventstore.common.validation import check_flag
from eventstore.errors import InvalidInput, PermissionDenied, SchemaMissing
from eventstore.event_types import EventTypes
from eventstore.event_types.registry import check_registry
from eventstore.findings import Finding, FindingKind
from eventstore.maintenance.damage import not_looked_at
from eventstore.maintenance.event_checks import check_events
from eventstore.maintenance.inspection import Inspection
from eventstore.maintenance.position_checks import check_positions
from eventstore.maintenance.progress import Part, Place, Report
from eventstore.maintenance.projection_checks import check_checkpoints, check_dead_letters
from eventstore.maintenance.snapshot_checks import check_snapshots
from eventstore.maintenance.stream_checks import check_streams
from eventstore.rows.mapper import EventMapper
from eventstore.store import EventStore

_UNREADABLE: Final = (FindingKind.SCHEMA_PENDING, FindingKind.SCHEMA_INCOMPLETE)
"""With these, what is in the tables can't be read."""
_BEGINNING: Final = Place(Part.STREAMS)


def verify(
    store: EventStore,
    *,
    after: Place | None = None,
    event_types: EventTypes | None = None,
    payloads: bool = True,
    batch_size: int = 1000,
    on_progress: Report | None = None,
) -> Iterator[Finding]:
    """Look for damage, and return it as it is found; nothing for a healthy store.

    It reads in batches, each a few statements on a connection of its own, holds no more than a batch in memory, locks
    nothing and writes nothing. Others may append meanwhile: what belongs together is read by one statement, so an
    append under way is no damage. It begins with what takes but a moment (the schema, the sequence of positions,
    checkpoints); if a table or column is missing, it ends there, as the rest can't be read. A part that the user has no
    right to read is a finding, `not-looked-at`, and the others are looked at.

    Args:
        store: The application's store, not joined. Payloads are read by its codecs.
        after: Go on after a place that an earlier run has told by `on_progress`.
        event_types: What events are read with. Defaults to those of the store. Where there are none, payloads are read
            as plain values, and no event type is unknown.
        payloads: False not to read payloads and states, which takes most of the time.
        batch_size: How many streams, events or snapshots a batch has, from 1.
        on_progress: Called with a `Progress` after each batch.

    Raises:
        InvalidInput: An argument is not valid.
        UpcasterMissing: The event types have a hole.
        SchemaMissing: There are no tables at all.
    """
    inspection = Inspection.of(store, batch_size=batch_size, report=on_progress)
    if after is not None and not isinstance(after, Place):
        msg = f"after is a Place, as progress tells it, not {type(after).__name__}; see Place.parse"
        raise InvalidInput(msg)
    if event_types is not None:
        check_registry(event_types).validate()
    check_flag("payloads", payloads)
    mapper = EventMapper(event_types or store.event_types, store.core.mapper.codec)
    return _findings(store, inspection, after or _BEGINNING, mapper, payloads=payloads)


def _findings(
    store: EventStore, inspection: Inspection, after: Place, mapper: EventMapper, *, payloads: bool
) -> Iterator[Finding]:
    of_schema: list[Finding] = []
    try:
        of_schema = migrations.verify(store.engine, schema=store.tables.metadata.schema)
    except PermissionDenied as denied:
        yield not_looked_at("the schema", denied)
    missing = [found.name for found in of_schema if found.kind in _UNREADABLE]
    if missing.count(None) == len(store.tables.metadata.tables):
        raise SchemaMissing(inspection.dialect.place)
    yield from of_schema
    if missing:
        return
    inspection.estimate_totals()
    yield from _looked_at("positions", check_positions(inspection))
    yield from _looked_at("checkpoints", check_checkpoints(inspection))
    parts = list(Part)
    for part in parts[parts.index(after.part) :]:
        start = after if part is after.part else Place(part)
        inspection.tell(start, 0)
        if part is Part.STREAMS:
            yield from _looked_at(part.value, check_streams(inspection, start))
        elif part is Part.EVENTS and payloads:
            yield from _looked_at(part.value, check_events(inspection, start, mapper))
        elif part is Part.SNAPSHOTS:
            codec = mapper.codec if payloads else None
            yield from _looked_at(part.value, check_snapshots(inspection, start, codec))
        elif part is Part.DEAD_LETTERS:
            yield from _looked_at(part.value, check_dead_letters(inspection, start))


def _looked_at(what: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield what is found; if the user has no right to look, say so, and let the other parts be looked at."""
    try:
        yield from findings
    except PermissionDenied as denied:
        yield not_looked_at(what, denied)
