"""What to read from the global order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from eventstore.common.validation import check_category, check_event_type, check_stream_id, check_tags
from eventstore.errors import InvalidFilter, InvalidInput
from eventstore.events import RecordedEvent
from eventstore.streams import category_of

MAX_FILTERS: Final = 100
"""How many filters one read may have, after `combine` has merged those that differ in one list only."""

TAGS: Final = "tags"
"""The field whose values an event must all have. They are in another table, es_event_tags."""

FIELDS: Final = {"stream_ids": "stream_id", "event_types": "event_type", "categories": "category"}
"""The fields of a filter, with the column of es_events that the values of each restrict.

The order matters: if a filter has several fields, statements look up the first and compare the others.
"""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to read: those that match all of its fields.

    If there are several filters, an event has to match at least one of them, and is read once.

    Attributes:
        event_types: Names of event types. Defaults to None: all.
        categories: Categories, which are the parts of stream ids before the first `-`. Defaults to None: all.
        stream_ids: Ids of streams. Defaults to None: all.
        tags: Tags that an event must all have, 1 to 32. Defaults to None: any, or none.

    Raises:
        InvalidFilter: A list is empty, so that nothing could ever match, or is not a list of valid names.

    Example:
        ```python
        EventFilter(event_types=["order-placed", "order-paid"], categories=["order"])
        ```
    """

    event_types: Iterable[str] | None = None
    categories: Iterable[str] | None = None
    stream_ids: Iterable[str] | None = None
    tags: Iterable[str] | None = None

    def __post_init__(self) -> None:
        checks = {"event_types": check_event_type, "categories": check_category, "stream_ids": check_stream_id}
        for name, check in checks.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _names(name, value, check))
        if self.tags is not None:
            object.__setattr__(self, TAGS, tuple(sorted(check_tags(self.tags, InvalidFilter))))
            if not self.tags:
                raise InvalidFilter("tags is empty; leave it out to match events with any tags, or none")

    @property
    def named(self) -> dict[str, tuple[str, ...]]:
        """The fields that list values, with these."""
        return {name: tuple(getattr(self, name)) for name in (TAGS, *FIELDS) if getattr(self, name) is not None}

    def matches(self, event: RecordedEvent) -> bool:
        """Return whether an event matches. Its type is compared as it is after upcasting."""
        return self.matches_stored(event.stream_id, event.event_type, event.tags)

    def matches_stored(self, stream_id: str, event_type: str, tags: Iterable[str] = ()) -> bool:
        """Return whether an event matches, by its stored type."""
        names = {"stream_ids": stream_id, "categories": category_of(stream_id), "event_types": event_type}
        return set(self.tags or ()) <= set(tags) and all(
            names[field] in values for field, values in self.named.items() if field in names
        )

    def matches_stream(self, stream_id: str) -> bool:
        """Return whether events of a stream can match, judging by its id and category."""
        names = {"stream_ids": stream_id, "categories": category_of(stream_id)}
        return all(names[field] in values for field, values in self.named.items() if field in names)


def _names(field: str, value: Any, check: Any) -> tuple[str, ...]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        msg = f"{field} must be a list of strings, not {type(value).__name__}"
        raise InvalidFilter(msg)
    names = list(value)
    if not names:
        msg = f"{field} is empty, so no event could match; leave it out to match all"
        raise InvalidFilter(msg)
    for index, name in enumerate(names):
        try:
            names[index] = check(name)
        except InvalidInput as error:
            raise InvalidFilter(f"{field}[{index}]: {error}") from None
    return tuple(sorted(set(names)))


def combine(filters: Iterable[EventFilter]) -> tuple[EventFilter, ...]:
    """Check filters, and merge them into as few as match the same events; into none if they match all events.

    Raises:
        InvalidFilter: One is not an EventFilter, or there are too many.
    """
    combined: dict[Any, EventFilter] = {}
    for one in filters:
        if not isinstance(one, EventFilter):
            hint = "; pass filters one by one: read_all(one, another)" if isinstance(one, list | tuple) else ""
            msg = f"a filter must be an EventFilter, not {type(one).__name__}{hint}"
            raise InvalidFilter(msg)
        fields = tuple(one.named)
        is_list = len(fields) == 1 and fields[0] in FIELDS  # of which an event matches any value
        key: Any = fields if is_list else one
        combined[key] = _union(fields[0], one, combined[key]) if is_list and key in combined else one
    if EventFilter() in combined:
        return ()
    if len(combined) > MAX_FILTERS:
        msg = f"{len(combined)} filters are more than the {MAX_FILTERS} allowed; list more values in fewer filters"
        raise InvalidFilter(msg)
    return tuple(combined.values())


def _union(field: str, one: EventFilter, other: EventFilter) -> EventFilter:
    lists: dict[str, Any] = {field: one.named[field] + other.named[field]}
    return EventFilter(**lists)
