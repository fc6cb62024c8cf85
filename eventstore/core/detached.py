"""Parts of the log that were detached: a read that needs one of them fails, instead of returning less.

The statements say which part a read may need; see `statements.detached`.
"""

import json
from collections.abc import Sequence

from eventstore.backends.protocol import Row, Run
from eventstore.errors import HistoryDetached
from eventstore.events import TOMBSTONE_ERRORS
from eventstore.rows.mapper import EVENT_TYPE, VERSION
from eventstore.statements.detached import part_after, part_at, part_of_stream, part_of_tags


def history_detached(part: str, stream_id: str | None = None) -> HistoryDetached:
    """Return the error for a part in JSON."""
    first, last, name, location, sha256, *_ = json.loads(part)
    return HistoryDetached(name, first, last, location=location, sha256=sha256, stream_id=stream_id)


def check_page(stream_id: str, rows: Sequence[Row], part: str, *, after_version: int, up_to_version: int) -> None:
    """Check that no event before a page of a stream was detached.

    Args:
        stream_id: The stream.
        rows: The page, in ascending order, without the row of the part.
        part: The part that may have had older events, with the version of the stream.
        after_version: Exclusive; the page is of the versions after it.
        up_to_version: Inclusive; the page is of the versions up to it.

    Raises:
        HistoryDetached: The event that follows `after_version` was detached.
    """
    if after_version >= min(up_to_version, json.loads(part)[5]):
        return
    # a tombstone replaces the events before it
    if not rows or (rows[0][VERSION] != after_version + 1 and rows[0][EVENT_TYPE] not in TOMBSTONE_ERRORS):
        raise history_detached(part, stream_id)


def check_stream(run: Run, stream_id: str) -> None:
    """Check that no event of a stream was detached.

    Raises:
        HistoryDetached: Some may have been.
    """
    for (part,) in run(part_of_stream, stream_id=stream_id):
        raise history_detached(part, stream_id)


def check_tags(run: Run, tags: Sequence[str]) -> None:
    """Check that no event with one of these tags was detached.

    Raises:
        HistoryDetached: One was.
    """
    for (part,) in run(part_of_tags, tags=list(tags)):
        raise history_detached(part)


def check_history(run: Run, after_position: int) -> None:
    """Check that no event after a position was detached.

    Raises:
        HistoryDetached: Some were.
    """
    for (part,) in run(part_after, after_position=after_position):
        raise history_detached(part)


def is_detached(run: Run, position: int) -> bool:
    """Return whether a position is in a part that was detached."""
    return bool(run(part_at, position=position))
