"""Giving tags to stored events that were appended without them, and filling the table of tags from metadata."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from eventstore.backends.maintenance import TagChange
from eventstore.backends.protocol import Row
from eventstore.common.validation import check_flag, check_function, check_tags
from eventstore.core.deletion import history_changes
from eventstore.core.global_order import GlobalOrder
from eventstore.errors import InvalidEvent
from eventstore.events import TOMBSTONE_ERRORS, RecordedEvent
from eventstore.maintenance.inspection import Inspection
from eventstore.rows.mapper import EVENT_ID, POSITION, STREAM_ID
from eventstore.statements.global_order import newest_position
from eventstore.store import EventStore
from eventstore.tokens import PositionToken

_WAIT_SECONDS: Final = 60.0
"""How long to wait, in all, for appends under way."""

TagsOf = Callable[[RecordedEvent], Iterable[str]]


@dataclass(frozen=True, slots=True)
class FilledTags:
    """How far tags were filled.

    Attributes:
        position: Up to which position.
        end: The position of the newest event when it began. If it is higher than `position` in the end, an append was
            still under way there.
        events: How many events were read.
        tagged: How many of them have got tags that they did not have.
        restored: How many others had tags in their metadata that were missing in es_event_tags.
    """

    position: int
    end: int
    events: int = 0
    tagged: int = 0
    restored: int = 0


def fill_tags(
    store: EventStore,
    *,
    tags_of: TagsOf | None = None,
    after_position: int | PositionToken = 0,
    batch_size: int = 1000,
    dry_run: bool = False,
    on_progress: Callable[[FilledTags], object] | None = None,
) -> FilledTags:
    """Give stored events the tags that they would get if they were appended now.

    These are the tags that the registered classes make of them, after upcasting; those that `tags_of` returns; and
    those that they have already, which no event loses. Tags are written to the metadata of the events, so they are read
    and exported with them, and to es_event_tags.

    Deploy the code that gives new events their tags first, everywhere, and then fill: events that code without tags
    appends meanwhile are missed. Events that are appended meanwhile are not read.

    Each batch with something to write is a transaction that may change history. It locks all tags and the streams of
    its events, so appends of events with tags, and to these streams, wait for it; and it refuses the boundaries that
    were read before, so decisions are repeated. A run that was interrupted can be repeated.

    Args:
        store: The application's store with its event types, not joined.
        tags_of: Returns more tags of an event, which is given after upcasting; for events without a class. It is not
            called for tombstones.
        after_position: Exclusive; continue after this position. Defaults to 0: from the first event.
        batch_size: How many events to read at a time, at least 1.
        dry_run: Only count.
        on_progress: Called after each batch.

    Returns:
        How many events got tags.

    Raises:
        InvalidInput: The store is joined to a transaction, or an argument is not valid.
        InvalidEvent: An event would get a tag that is not valid, or too many. The batches before are stored.
        DecodingError: An event can't be read. The batches before are stored.
        SchemaOutdated: The tables are older than `es_0009`.
        PermissionDenied: The database user may not update es_events.
    """
    inspection = Inspection.of(store, batch_size=batch_size)
    if tags_of is not None:
        check_function("tags_of", tags_of)
    check_flag("dry_run", dry_run)
    pages = GlobalOrder(store.core).pages(
        (), after_position=after_position, limit=None, wait_seconds=_WAIT_SECONDS, page_size=batch_size
    )
    with store.core.execution.statement() as run:
        store.core.tags_gate(run)
        ((newest,),) = run(newest_position)
    start = after_position if isinstance(after_position, int) else after_position.position
    done = FilledTags(start, newest)
    for number, page in enumerate(pages):
        end = done.end if number else page.newest
        changes = _changes(store, page.rows, tags_of)
        with inspection.execution.statement() as run:
            missing = inspection.maintenance.missing_tags(
                run, after_position=done.position, up_to_position=page.position
            )
        incomplete = {row[0]: row[1] for row in missing}
        tagged, restored = len(changes), len(incomplete.keys() - {change.position for change in changes})
        if (changes or incomplete) and not dry_run:
            streams = {row[POSITION]: row[STREAM_ID] for row in page.rows}
            tagged = _write(
                inspection, changes, {**incomplete, **{each.position: streams[each.position] for each in changes}}
            )
        done = FilledTags(
            page.position, end, done.events + len(page.rows), done.tagged + tagged, done.restored + restored
        )
        if on_progress is not None:
            on_progress(done)
    return done


def restore_tags(inspection: Inspection) -> None:
    """Store the tags in the metadata of events that es_event_tags lacks, up to the newest event at the start."""
    with inspection.execution.statement() as run:
        ((newest,),) = run(newest_position)
    for after in range(0, newest, inspection.batch_size):
        with inspection.execution.statement() as run:
            missing = inspection.maintenance.missing_tags(
                run, after_position=after, up_to_position=min(after + inspection.batch_size, newest)
            )
        if missing:
            _write(inspection, (), {row[0]: row[1] for row in missing})


def _write(inspection: Inspection, changes: Sequence[TagChange], streams: dict[int, str]) -> int:
    """Change the tags of events, and store those that are missing of these and others; return how many have changed.

    The heads are locked as well, because a stream that is deleted meanwhile would leave tags without events.

    Args:
        inspection: Of the store.
        changes: The changes.
        streams: The streams of all these events, by position.
    """
    dialect, maintenance = inspection.dialect, inspection.maintenance
    with inspection.execution.transaction() as run:
        dialect.lock_tags(run, None)
        dialect.lock_heads(run, sorted(set(streams.values())), create=())
        changed = 0
        if changes:
            with history_changes(dialect, run):
                changed = len(maintenance.set_tags(run, changes))
        maintenance.restore_tags(run, sorted(streams))
        dialect.raise_generation(run)
    return changed


def _changes(store: EventStore, rows: Sequence[Row], tags_of: TagsOf | None) -> list[TagChange]:
    """Return the changes for the events that lack tags. What a splitter makes of an event gives its tags to it."""
    mapper, dialect = store.core.mapper, store.core.dialect
    if tags_of is None and not mapper.event_types.derives_tags:
        return []
    before: dict[int, tuple[str, ...]] = {}
    tags: dict[int, tuple[str, ...]] = {}
    for event in mapper.recorded(rows, dialect.to_uuid, dialect.to_time):
        if event.event_type in TOMBSTONE_ERRORS:
            continue
        before[event.position] = event.tags
        with _naming(event):
            given = mapper.event_types.tags_of(event)
            if tags_of is not None:
                given += check_tags(tags_of(event))
            tags[event.position] = check_tags(dict.fromkeys((*tags.get(event.position, ()), *given)).keys())
    ids = {row[POSITION]: row[EVENT_ID] for row in rows}
    return [
        TagChange(position, ids[position], before[position], wanted)
        for position, wanted in tags.items()
        if wanted != before[position]
    ]


@contextmanager
def _naming(event: RecordedEvent) -> Iterator[None]:
    try:
        yield
    except InvalidEvent as error:
        place = f"the event at position {event.position}, version {event.version} of stream {event.stream_id!r}"
        raise InvalidEvent(f"{place}: {error}") from None
