"""Look for damage in heads, streams, events, tags, snapshots, projections and the schema."""

from collections.abc import Iterator
from typing import Final

from eventstore import migrations
from eventstore.common.validation import check_flag
from eventstore.errors import InvalidInput, PermissionDenied, SchemaMissing
from eventstore.event_types import EventTypes
from eventstore.event_types.registry import check_registry
from eventstore.findings import Finding, FindingKind
from eventstore.maintenance.damage import if_permitted, not_looked_at
from eventstore.maintenance.detached_parts import name_detached_parts
from eventstore.maintenance.event_checks import check_events
from eventstore.maintenance.inspection import Inspection
from eventstore.maintenance.position_checks import check_positions
from eventstore.maintenance.progress import OnProgress, Part, Place
from eventstore.maintenance.projection_checks import check_checkpoints, check_dead_letters
from eventstore.maintenance.snapshot_checks import check_snapshots
from eventstore.maintenance.stream_checks import check_streams
from eventstore.maintenance.tag_checks import check_tags
from eventstore.rows.mapper import EventMapper
from eventstore.store import EventStore

_UNREADABLE: Final = (FindingKind.SCHEMA_PENDING, FindingKind.SCHEMA_INCOMPLETE)
"""With one of these findings, the rows can't be read."""
_BEGINNING: Final = Place(Part.STREAMS)


def verify(
    store: EventStore,
    *,
    after: Place | None = None,
    event_types: EventTypes | None = None,
    payloads: bool = True,
    batch_size: int = 1000,
    on_progress: OnProgress | None = None,
) -> Iterator[Finding]:
    """Look for damage, and yield findings as they are made; none for a healthy store, but for what was detached.

    `verify` reads in batches of a few statements, each batch on its own connection. It keeps at most one batch in
    memory, takes no locks and writes nothing. Other processes may append meanwhile: one statement reads everything that
    one check compares, so an append in progress is not reported as damage. The quick checks come first: the schema, the
    sequence of positions, checkpoints. If a table or column is missing, it stops there. If the database user may not
    read a part, that is a finding (`not-looked-at`), and the other parts are checked. For each part of the log that was
    detached there is a finding of `Level.OK`: its events are not looked at, and those that follow are no damage.

    Args:
        store: The application's store, not joined. Its codecs decode payloads.
        after: Continue after a place that an earlier run passed to `on_progress`.
        event_types: The event types that events are read with. Defaults to those of the store. If it has none,
            payloads are read as plain values, and no event type counts as unknown.
        payloads: Whether to decode payloads and states, and to compare the tags of events, which takes most of the
            time.
        batch_size: How many streams, events or snapshots a batch has, at least 1.
        on_progress: Called with a `Progress` after each batch.

    Raises:
        InvalidInput: An argument is not valid.
        UpcasterMissing: The event types lack an upcaster between two schema versions.
        SchemaMissing: There are no tables.
    """
    inspection = Inspection.of(store, batch_size=batch_size, on_progress=on_progress)
    if after is not None and not isinstance(after, Place):
        msg = (
            f"after must be a Place such as Progress.place, not {type(after).__name__}; Place.parse makes one from text"
        )
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
    missing = [finding.name for finding in of_schema if finding.kind in _UNREADABLE]
    if missing.count(None) == len(store.tables.metadata.tables):
        raise SchemaMissing(inspection.dialect.place)
    yield from of_schema
    if missing:
        return
    yield from if_permitted("detached parts", name_detached_parts(inspection))
    inspection.estimate_totals()
    yield from if_permitted("positions", check_positions(inspection))
    yield from if_permitted("checkpoints", check_checkpoints(inspection))
    parts = list(Part)
    for part in parts[parts.index(after.part) :]:
        start = after if part is after.part else Place(part)
        inspection.report_progress(start, 0)
        if part is Part.STREAMS:
            yield from if_permitted(part.value, check_streams(inspection, start))
        elif part is Part.EVENTS and payloads:
            yield from if_permitted(part.value, check_events(inspection, start, mapper))
            yield from if_permitted("tags", check_tags(inspection))
        elif part is Part.SNAPSHOTS:
            codec = mapper.codec if payloads else None
            yield from if_permitted(part.value, check_snapshots(inspection, start, codec))
        elif part is Part.DEAD_LETTERS:
            yield from if_permitted(part.value, check_dead_letters(inspection, start))
