"""Archiving: the events of a stream are copied into another store, the archive, and then deleted here."""

from collections.abc import Mapping
from typing import Any

from eventstore.backends.protocol import Run
from eventstore.common.validation import check_reason
from eventstore.core.core import Core
from eventstore.core.deletion import StreamDeleter, remove_events, tombstone_append
from eventstore.core.detached import check_page
from eventstore.core.loading import EventLoader
from eventstore.core.schema_version import REQUIRED_BY_HISTORY_CHANGES, SchemaGate
from eventstore.events import STREAM_ARCHIVED_EVENT, AppendResult
from eventstore.rows.mapper import VERSION, StoredEvent
from eventstore.statements.deletion import mark_archived
from eventstore.statements.reading import read_page_forwards
from eventstore.streams import ExpectedVersion


def archive(
    core: Core,
    stream_id: str,
    *,
    into: Core,
    expected_version: ExpectedVersion,
    reason: str,
    metadata: Mapping[str, Any] | None,
) -> AppendResult:
    """Copy the events of a stream into another store, then delete them, and leave a tombstone."""
    reason = check_reason(reason)
    data = {"reason": reason, "reusable": False}
    tombstone = tombstone_append(stream_id, STREAM_ARCHIVED_EVENT, data, expected_version, metadata)
    with StreamDeleter(core).appending(tombstone) as (run, inside, result):
        _copy(inside, run, result.stream_id, into, up_to_version=result.version - 1)
        remove_events(
            inside.dialect,
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
        SchemaGate(REQUIRED_BY_HISTORY_CHANGES, suit=inside.dialect.suit)(into)
        loader = EventLoader(inside, positions=True, in_order=False)
        version = 0
        while True:
            of_page = {"after_version": version, "up_to_version": up_to_version}
            rows, part = core.dialect.read_stream_page(
                run, read_page_forwards, stream_id=stream_id, page_size=core.page_size, **of_page
            )
            if part is not None:
                check_page(stream_id, rows, part, **of_page)
            if not rows:
                return
            loader.load(into, [StoredEvent.of(row, to_uuid, to_time) for row in rows])
            version = rows[-1][VERSION]
