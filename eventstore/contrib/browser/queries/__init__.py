"""What the pages of the browser read. Each function reads a bounded number of rows, by an index."""

from eventstore.contrib.browser.queries.events import EventLine, EventLines, RelatedEvents, related_events
from eventstore.contrib.browser.queries.health import ReadersHeldUp, health, newest_event, readers_held_up
from eventstore.contrib.browser.queries.pages import Page
from eventstore.contrib.browser.queries.projections import (
    all_dead_letters,
    dead_letter,
    pending_dead_letters,
    projection,
    projections,
)
from eventstore.contrib.browser.queries.streams import (
    LargestStreams,
    RecentStream,
    RecentStreams,
    largest_streams,
    recent_streams,
    snapshots_by_id,
    snapshots_of,
    stream_info,
    streams_by_id,
)
from eventstore.contrib.browser.queries.tags import (
    TaggedEvent,
    TaggedEvents,
    TagInfo,
    frequent_tags,
    tagged_events,
    tags_by_name,
)

__all__ = [
    "EventLine",
    "EventLines",
    "LargestStreams",
    "Page",
    "ReadersHeldUp",
    "RecentStream",
    "RecentStreams",
    "RelatedEvents",
    "TagInfo",
    "TaggedEvent",
    "TaggedEvents",
    "all_dead_letters",
    "dead_letter",
    "frequent_tags",
    "health",
    "largest_streams",
    "newest_event",
    "pending_dead_letters",
    "projection",
    "projections",
    "readers_held_up",
    "recent_streams",
    "related_events",
    "snapshots_by_id",
    "snapshots_of",
    "stream_info",
    "streams_by_id",
    "tagged_events",
    "tags_by_name",
]
