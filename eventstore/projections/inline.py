"""Inline projections: handlers run in the append's transaction, for read models that must never lag."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from eventstore.codecs.metadata import tags_of
from eventstore.core.core import Appended, AppendHook, Core
from eventstore.core.reading import Reader
from eventstore.errors import InvalidInput
from eventstore.events import RecordedEvent
from eventstore.projections.definition import Projection
from eventstore.projections.targets import target_of, write_out
from eventstore.rows.mapper import EVENT_TYPE, METADATA, EventMapper
from eventstore.store import EventStore


def inline(store: EventStore, *projections: Projection) -> EventStore:
    """Return a store whose appends call the handlers of projections, in the transaction of the append.

    An append and what its handlers write are committed together, or not at all. A handler that fails undoes the append,
    and its error is raised unchanged. In a joined transaction a savepoint is rolled back, so the rest stays usable. A
    duplicate append (`duplicate=True`) calls no handlers, nor does one that `append_many` skips.

    `delete_stream` and `archive_stream` call handlers with the tombstone, after the other events are gone;
    `import_events` calls them after each batch. `inline(inline(store, a), b)` calls the handlers of `a`, then those of
    `b`.

    A handler can append by `store.join(connection)`, in the same transaction. If that store is an inline one, its
    handlers are called at once, before the remaining events are handled. A `ConcurrencyConflict` from a handler counts
    as the append's: `append_many` raises it even if it is not atomic, and a `Repository` retries its command.

    Each append becomes a transaction of several statements, and writers of different streams wait for each other if
    their handlers write to the same rows. There is no checkpoint, and appends by other stores are not noticed. To fill
    a new read model from old events, run the same projection with a `Worker` first.

    Args:
        store: The application's store, or a joined one.
        projections: The projections whose handlers are called, in this order. Their filters apply; where they start,
            and their partitions, do not matter.

    Example:
        ```python
        store = inline(EventStore(engine), stock)
        store.append("order-42", events, expected_version=1)  # the stock is right as soon as this returns
        ```

    Raises:
        InvalidInput: There are no projections, one is not a Projection, or one has handlers with outside effects.
        UnregisteredEventType: A handler is for a class that is not registered with the store.
    """
    if not projections or not all(isinstance(projection, Projection) for projection in projections):
        msg = "inline needs a store and at least one Projection"
        raise InvalidInput(msg)
    for projection in projections:
        projection.check_event_types(store.event_types)
        if not projection.outside_handlers.is_empty:
            msg = (
                f"projection {projection.name!r} has handlers with outside effects, which inline would call before "
                "the append is committed; run it with a Worker"
            )
            raise InvalidInput(msg)
    core = store.core
    hook = AppendHook(partial(_call_handlers, projections, core.mapper), in_transaction=True)
    return store.with_core(replace(core, after_append=(*core.after_append, hook)))


def _call_handlers(
    projections: Sequence[Projection], mapper: EventMapper, core: Core, appended: Sequence[Appended]
) -> None:
    """Call the handlers of each projection in the transaction of the append, in the order of the appended events.

    The mapper is that of the inline store, because an append may be made with other event types.
    """
    core = replace(core, mapper=mapper)
    for projection in projections:
        with target_of(projection, core.execution.connection) as target:
            for append in appended:
                for event in _events_of(projection, core, append):
                    handler = projection.handlers.find(event)
                    if handler is not None:
                        handler(event, target)
            write_out(target)


def _events_of(projection: Projection, core: Core, append: Appended) -> Iterator[RecordedEvent]:
    """Read the appended events that the filters match. Filters match stored event types."""
    filters = [each for each in projection.filters if each.matches_stream(append.stream_id)]
    if projection.filters and not filters:
        return
    pages = Reader(core).pages(
        append.stream_id,
        after_version=append.after_version,
        up_to_version=append.version,
        limit=None,
        backwards=False,
    )
    for rows in pages:
        matching = [
            row
            for row in rows
            if not filters
            or any(
                each.matches_stored(append.stream_id, row[EVENT_TYPE], tags_of(row[METADATA]) if each.tags else ())
                for each in filters
            )
        ]
        yield from core.mapper.recorded(matching, core.dialect.to_uuid, core.dialect.to_time)
