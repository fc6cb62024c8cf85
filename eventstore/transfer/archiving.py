"""Archives: another store, which takes the events of a stream before they are deleted here."""

from collections.abc import Mapping
from typing import Any

from eventstore.backends import same_database
from eventstore.backends.protocol import Run
from eventstore.common.validation import check_reason
from eventstore.core.core import Core
from eventstore.core.deletion import StreamDeleter, remove_events, tombstone_append
from eventstore.core.schema_version import REQUIRED_BY_HISTORY_CHANGES, SchemaGate
from eventstore.errors import InvalidInput
from eventstore.events import STREAM_ARCHIVED_EVENT, AppendResult
from eventstore.rows.mapper import VERSION, StoredEvent
from eventstore.statements.deletion import mark_archived
from eventstore.statements.reading import read_forwards
from eventstore.store import EventStore
from eventstore.streams import ExpectedVersion
from eventstore.transfer.loading import EventLoader


def archive_stream(
    store: EventStore,
    stream_id: str,
    *,
    into: EventStore,
    expected_version: ExpectedVersion,
    reason: str,
    metadata: Mapping[str, Any] | None = None,
) -> AppendResult:
    """Move the events of a stream into another store, the archive, and leave one event that says so.

    The archive is a store like any other: a SQLite file, another database, another schema of this one. There the stream
    is read as before, with its versions, ids, times and positions. Here, the event of type `$stream-archived` is the
    last of the stream, with the data `{"reason": …, "reusable": False}`; projections receive it. Whoever reads all
    events from now on, to rebuild a projection say, does not find those of the archive.

    The archive commits first, then this store. Interrupted between the two, or refused by a handler of an inline
    projection, the events are in both; repeat the call. One archive takes the streams of one store, because it keeps
    positions. Nobody should subscribe to it: streams come into it with positions that a reader may have passed.

    Args:
        store: The store.
        stream_id: The stream.
        into: The archive, with its tables in place; not joined to a transaction.
        expected_version: The version that the stream must have; or `STREAM_EXISTS`.
        reason: Why, for those who come later.
        metadata: Who, in which request: as for `append`.

    Returns:
        The version and position of the last event.

    Raises:
        ConcurrencyConflict: The stream has another version, or does not exist.
        StreamClosed: It was deleted or archived already: on a repetition, all is well.
        ImportConflict: The archive has something else at the same place.
        InvalidInput: An argument is not valid, or the archive is the store itself.
        SchemaOutdated: The tables of one of them are older than `es_0006`.
    """
    if not isinstance(into, EventStore) or into.core.execution.is_joined:
        msg = "into is an EventStore, not joined to a transaction: the archive"
        raise InvalidInput(msg)
    same_schema = into.tables.metadata.schema == store.tables.metadata.schema
    if same_database(into.engine, store.engine) and (same_schema or store.engine.dialect.name == "sqlite"):
        msg = "the archive is this store itself; give it another database, or another PostgreSQL schema"
        raise InvalidInput(msg)
    reason = check_reason(reason)
    data = {"reason": reason, "reusable": False}
    tombstone = tombstone_append(stream_id, STREAM_ARCHIVED_EVENT, data, expected_version, metadata)
    with StreamDeleter(store.core).appending(tombstone) as (run, core, result):
        _copy(core, run, result.stream_id, into.core, up_to_version=result.version - 1)
        remove_events(
            core.dialect,
            run,
            result.stream_id,
            before_version=result.version,
            note=f"the stream was archived: {reason}",
        )
        run(mark_archived, stream_id=result.stream_id)
    return result


def _copy(core: Core, run: Run, stream_id: str, archive: Core, *, up_to_version: int) -> None:
    """Copy page by page, in one transaction of the archive."""
    to_uuid, to_time = core.dialect.to_uuid, core.dialect.to_time
    with archive.begin() as inside, inside.execution.statement() as into:
        SchemaGate(REQUIRED_BY_HISTORY_CHANGES)(into)
        loader = EventLoader(inside, positions=True, in_order=False)
        version = 0
        while True:
            rows = run(
                read_forwards,
                stream_id=stream_id,
                after_version=version,
                up_to_version=up_to_version,
                page_size=core.page_size,
            )
            if not rows:
                return
            loader.load(into, [StoredEvent.of(row, to_uuid, to_time) for row in rows])
            version = rows[-1][VERSION]
