"""Tags: which there are, and the events of a boundary."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from eventstore.common.validation import check_number, check_tags
from eventstore.contrib.browser.queries.pages import LAST_POSITION, Page, end_of_prefix, page_of
from eventstore.errors import InvalidInput
from eventstore.statements.browsing import (
    PAGE,
    WINDOW,
    count_tag,
    end_of_window,
    ends_of_log,
    events_of_tags,
    tags_from,
    tags_of_recent_events,
)
from eventstore.store import EventStore

_FIRST_TAG = "\x01"
"""Less than any tag. Rows of the empty tag are not tags of events."""


@dataclass(frozen=True, slots=True)
class TagInfo:
    """A tag.

    Attributes:
        tag: The tag.
        events: How many events have it, counted up to 1,001.
        newest: The position of the newest of these.
    """

    tag: str
    events: int
    newest: int


@dataclass(frozen=True, slots=True)
class TaggedEvent:
    """An event that has a tag.

    Attributes:
        position: Its position.
        event_type: Its stored type.
        stream_id: Its stream; None if the event was detached.
        version: Its version in the stream; None if it was detached.
        recorded_at: When it was stored, in UTC; None if it was detached.
    """

    position: int
    event_type: str
    stream_id: str | None
    version: int | None
    recorded_at: datetime | None


@dataclass(frozen=True, slots=True)
class TaggedEvents:
    """A page of the events that have all of some tags: those that a boundary of these tags is about, newest first.

    Attributes:
        events: At most 200.
        next: What to pass as `start` to look further back; None if there are no more.
        searched: The tag whose newest 1,000 events before the page were searched for those with the other tags, so that
            the page may have few or none; None if there is one tag.
    """

    events: tuple[TaggedEvent, ...]
    next: int | None
    searched: str | None


def tags_by_name(store: EventStore, *, prefix: str = "", start: str | None = None) -> Page[TagInfo, str]:
    """Return a page of the tags that begin with a prefix, in order.

    Args:
        store: The store.
        prefix: The beginning of the tags; any if it is empty.
        start: Inclusive; the tag that the page begins with. Defaults to None: the first one.

    Raises:
        InvalidInput: An argument is not valid.
        SchemaOutdated: The tables are older than `es_0009`.
    """
    for text in (prefix, start):
        if text:
            check_tags([text], InvalidInput)
    from_tag = max(prefix or _FIRST_TAG, start or "")
    with store.core.execution.statement() as run:
        store.core.tags_gate(run)
        rows = run(tags_from, from_tag=from_tag, to_tag=end_of_prefix(prefix))
    return page_of(rows, lambda row: TagInfo(row[0], int(row[1]), int(row[2])), lambda row: str(row[0]))


def frequent_tags(store: EventStore) -> tuple[tuple[str, int], ...]:
    """Return the most frequent tags of the newest 1,000 events, with how many of these have them, at most 200.

    Appends of events with a frequent tag wait for each other.
    """
    with store.core.execution.statement() as run:
        ((_, highest),) = run(ends_of_log)
        rows = run(tags_of_recent_events, from_position=0 if highest is None else max(highest - 10 * WINDOW, 0))
    counter: Counter[str] = Counter()
    for (text,) in rows:
        found = None if text is None else json.loads(text)
        if isinstance(found, list):
            counter.update({tag for tag in found if isinstance(tag, str)})
    return tuple(sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:PAGE])


def tagged_events(store: EventStore, tags: Iterable[str], *, start: int | None = None) -> TaggedEvents:
    """Return a page of the events that have all of these tags.

    With several tags, it searches the newest 1,000 events of the rarest one for those that have the others.

    Args:
        store: The store.
        tags: 1 to 32 tags.
        start: Exclusive; return events before this position. Defaults to None: from the end of the log.

    Raises:
        InvalidInput: An argument is not valid.
        SchemaOutdated: The tables are older than `es_0009`.
    """
    checked = sorted(check_tags(tags, InvalidInput))
    if not checked:
        raise InvalidInput("name at least one tag")
    before = LAST_POSITION if start is None else check_number("start", start)
    with store.core.execution.statement() as run:
        store.core.tags_gate(run)
        tag = checked[0] if len(checked) == 1 else min(checked, key=lambda each: int(run(count_tag, tag=each)[0][0]))
        others = {f"tags_{number}": each for number, each in enumerate(each for each in checked if each != tag)}
        rows = run(events_of_tags(len(others)), tag=tag, before_position=before, **others)
        end = run(end_of_window, tag=tag, before_position=before) if others else ()
    to_time = store.core.dialect.to_time
    events = tuple(
        TaggedEvent(position, event_type, stream_id, version, None if time is None else to_time(time))
        for position, event_type, stream_id, version, time in rows[:PAGE]
    )
    following = events[-1].position if len(rows) > PAGE else int(end[0][0]) if end else None
    return TaggedEvents(events, following, tag if others else None)
