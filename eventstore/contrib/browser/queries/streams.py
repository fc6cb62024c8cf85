"""Lists of streams and of snapshots: by id, by category, the most recent and the largest."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from eventstore.backends.maintenance import Lookup
from eventstore.backends.protocol import Row, Run
from eventstore.common.validation import check_category, check_number, check_stream_id
from eventstore.contrib.browser.queries.pages import LAST_POSITION, Page, end_of_prefix, lookups, page_of
from eventstore.errors import InvalidInput
from eventstore.snapshots import SnapshotInfo
from eventstore.statements.browsing import (
    PAGE,
    WINDOW,
    count_some_streams,
    ends_of_log,
    heads_of_recent_events,
    largest_streams_of_sample,
    position_before,
    snapshots_from,
    streams_from,
)
from eventstore.statements.detached import part_after
from eventstore.statements.listing import find_stream
from eventstore.store import EventStore
from eventstore.streams import StreamInfo, StreamOrder, category_of

FEW_STREAMS: Final = 10_000
"""A store with at most so many streams sorts all of them by size."""

_POSITIONS: Final = 10 * WINDOW
"""How many positions are searched for recent streams if no index leads to their category."""


@dataclass(frozen=True, slots=True)
class RecentStream:
    """A stream, as its newest event shows it.

    Attributes:
        stream_id: The stream.
        version: The version of its newest event.
        event_type: The stored type of that event.
        position: The position of that event.
        recorded_at: When that event was stored, in UTC.
    """

    stream_id: str
    version: int
    event_type: str
    position: int
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class RecentStreams:
    """The streams whose newest events are among some events of the log, the latest first.

    Attributes:
        streams: At most 200.
        events: How many events were looked at.
        down_to: The lowest position that was looked at; 0 if there are no events before it.
        next: What to pass as `start` to look further back; None at the beginning of the log.
        has_detached: Whether parts of the log were detached, so that streams whose newest event is in one are missing.
            Only known at the beginning of the log.
    """

    streams: tuple[RecentStream, ...]
    events: int
    down_to: int
    next: int | None
    has_detached: bool


@dataclass(frozen=True, slots=True)
class LargestStreams:
    """The largest streams.

    Attributes:
        streams: At most 200, the largest first.
        sampled: None if they are the largest of all streams. Otherwise they are the largest of those that this many
            events, evenly spread over the log, belong to. That finds a stream with a hundredth of all events almost
            certainly, and one with a thousandth in two cases of three.
    """

    streams: tuple[StreamInfo, ...]
    sampled: int | None


def streams_by_id(
    store: EventStore, *, prefix: str = "", category: str | None = None, start: str | None = None
) -> Page[StreamInfo, str]:
    """Return a page of the streams whose ids begin with a prefix, in order of their ids.

    Args:
        store: The store.
        prefix: The beginning of the ids; of any stream if it is empty.
        category: Only streams of this category; without a prefix that does not begin with it.
        start: Inclusive; where the page begins. Defaults to None: at the first stream.

    Raises:
        InvalidInput: An argument is not valid.
    """
    ranges = _ranges(prefix, category)
    if start is not None:
        check_stream_id(start)
    with store.core.execution.statement() as run:
        rows: list[Row] = []
        for from_id, to_id in ranges:
            begin = from_id if start is None else max(start, from_id)
            if begin >= to_id:
                continue
            rows += run(streams_from, from_id=begin, to_id=to_id)
            if len(rows) > PAGE:
                break
    return page_of(rows, lambda row: _info(store, row), lambda row: str(row[0]))


def _ranges(prefix: str, category: str | None) -> list[tuple[str, str]]:
    """Return the ranges of ids that begin with a prefix and are of a category.

    Raises:
        InvalidInput: An argument is not valid, or no id can be in both.
    """
    if prefix:
        check_stream_id(prefix)
    if category is None:
        return [(prefix, end_of_prefix(prefix))]
    beginning = f"{check_category(category)}-"
    if prefix.startswith(beginning):
        return [(prefix, end_of_prefix(prefix))]
    if not beginning.startswith(prefix):
        msg = f"no stream of the category {category!r} has an id that begins with {prefix!r}"
        raise InvalidInput(msg)
    # The stream that has the category as its id, and those with a `-` after it; others come between.
    return [(category, f"{category}\x01"), (beginning, end_of_prefix(beginning))]


def _info(store: EventStore, row: Row) -> StreamInfo:
    stream_id, version, created_at, updated_at = row
    to_time = store.core.dialect.to_time
    return StreamInfo(stream_id, version, to_time(created_at), to_time(updated_at))


def stream_info(store: EventStore, stream_id: str) -> StreamInfo | None:
    """Return what the store knows of a stream without its events; None if it does not exist.

    Raises:
        InvalidStreamId: The stream id is not valid.
    """
    check_stream_id(stream_id)
    with store.core.execution.statement() as run:
        rows = run(find_stream, stream_id=stream_id)
    return _info(store, rows[0]) if rows else None


def recent_streams(store: EventStore, *, category: str | None = None, start: int | None = None) -> RecentStreams:
    """Return the streams that were appended to last, from the end of the log.

    Nothing is in order of the times of streams. So it looks at the newest 1,000 events, and returns those streams whose
    newest event is among them. There may be none, and still be some further back.

    Args:
        store: The store.
        category: Only streams of this category.
        start: Exclusive; look at events before this position. Defaults to None: from the end of the log.

    Raises:
        InvalidInput: An argument is not valid.
    """
    before = LAST_POSITION if start is None else check_number("start", start)
    if category is not None:
        check_category(category)
    with store.core.execution.statement() as run:
        if category is not None and Lookup.CATEGORY in lookups(store, run):
            rows = run(heads_of_recent_events(of_category=True), before_position=before, category=category)
            down_to = int(rows[-1][0]) if len(rows) == WINDOW else 0
        else:
            rows, down_to = _newest(run, before)
        has_detached = down_to == 0 and bool(run(part_after, after_position=0))
    streams = [
        RecentStream(stream_id, version, event_type, position, store.core.dialect.to_time(recorded_at))
        for position, stream_id, version, event_type, recorded_at, head_version in rows
        if version == head_version and (category is None or category_of(stream_id) == category)
    ]
    if len(streams) > PAGE:
        streams = streams[:PAGE]
        down_to, has_detached = streams[-1].position, False
    following = down_to if down_to > 1 else None
    return RecentStreams(tuple(streams), len(rows), down_to, following, has_detached=has_detached)


def _newest(run: Run, before: int) -> tuple[Sequence[Row], int]:
    """Return the newest events before a position, and the lowest position that was looked at; 0 if there are no more.

    It searches a range of positions, so that it ends soon even if a policy hides nearly all events from the role.
    """
    newest = run(position_before, before_position=before)
    if not newest:
        return [], 0
    highest = int(newest[0][0])
    lowest = max(highest - _POSITIONS + 1, 0)
    rows = run(heads_of_recent_events(of_category=False), before_position=highest + 1, from_position=lowest)
    return rows, int(rows[-1][0]) if len(rows) == WINDOW else lowest


def largest_streams(store: EventStore, *, category: str | None = None) -> LargestStreams:
    """Return the streams with the highest versions.

    No index has this order, and one would make every append slower. So if there are more than 10,000 streams, it looks
    at those of about 1,000 events that are evenly spread over the log.

    Args:
        store: The store.
        category: Only streams of this category.

    Raises:
        InvalidInput: The category is not valid.
    """
    of_category: dict[str, Any] = {} if category is None else {"category": check_category(category)}
    with store.core.execution.statement() as run:
        ((number,),) = run(count_some_streams, at_most=FEW_STREAMS)
        if number > FEW_STREAMS:
            ((lowest, highest),) = run(ends_of_log)
            stride = 1 if lowest is None else max(1, -(-(highest - lowest) // WINDOW))
            rows = run(largest_streams_of_sample(of_category=category is not None), stride=stride, **of_category)
            return LargestStreams(tuple(_info(store, row) for row in rows), WINDOW)
    return LargestStreams(tuple(store.list_streams(**of_category, order=StreamOrder.SIZE, limit=PAGE)), None)


def snapshots_by_id(
    store: EventStore, *, prefix: str = "", start: tuple[str, int] | None = None
) -> Page[SnapshotInfo, tuple[str, int]]:
    """Return a page of the snapshots of streams whose ids begin with a prefix, in order of id and schema version.

    Args:
        store: The store.
        prefix: The beginning of the ids; of any stream if it is empty.
        start: Inclusive; the stream id and schema version where the page begins. Defaults to None: at the first one.

    Raises:
        InvalidInput: An argument is not valid.
    """
    if prefix:
        check_stream_id(prefix)
    from_id, from_schema_version = (prefix, 0) if start is None else start
    if start is not None:
        check_stream_id(from_id)
        check_number("the schema version of start", from_schema_version)
    return _snapshots(store, max(from_id, prefix), from_schema_version, end_of_prefix(prefix))


def snapshots_of(store: EventStore, stream_id: str) -> tuple[SnapshotInfo, ...]:
    """Return the snapshots of a stream, one for each schema version, at most 200.

    Raises:
        InvalidStreamId: The stream id is not valid.
    """
    check_stream_id(stream_id)
    return _snapshots(store, stream_id, 0, f"{stream_id}\x01").items


def _snapshots(store: EventStore, from_id: str, from_version: int, to_id: str) -> Page[SnapshotInfo, tuple[str, int]]:
    with store.core.execution.statement() as run:
        rows = run(snapshots_from, from_id=from_id, from_schema_version=from_version, to_id=to_id)

    def info(row: Row) -> SnapshotInfo:
        stream_id, schema_version, version, codec, size, created_at, stream_version = row
        created_at = store.core.dialect.to_time(created_at)
        return SnapshotInfo(stream_id, schema_version, version, stream_version or 0, size, codec, created_at)

    return page_of(rows, info, lambda row: (str(row[0]), int(row[1])))
