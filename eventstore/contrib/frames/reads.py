"""Reads of the store as frames."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from eventstore.backends.protocol import Row
from eventstore.common.validation import check_number
from eventstore.contrib.frames.frame import Fields, Frame, Source
from eventstore.core.global_order import GlobalOrder
from eventstore.core.period import Period
from eventstore.core.reading import Reader, checked_types
from eventstore.filters import EventFilter, combine
from eventstore.store import EventStore
from eventstore.tokens import PositionToken


def read_stream(
    store: EventStore,
    stream_id: str,
    *,
    after_version: int = 0,
    up_to_version: int | None = None,
    limit: int | None = None,
    backwards: bool = False,
    event_types: Iterable[str] | None = None,
    upcast: bool = True,
    fields: Fields = None,
    as_json: bool = False,
    sample_size: int | None = 10_000,
    batch_size: int = 10_000,
) -> Frame:
    """Return the events of a stream as a frame, with the payload as JSON text in the column `data`.

    Args:
        store: The store; a joined one reads in its transaction.
        stream_id: As for `EventStore.read_stream`.
        after_version: As for `EventStore.read_stream`.
        up_to_version: As for `EventStore.read_stream`.
        limit: As for `EventStore.read_stream`.
        backwards: As for `EventStore.read_stream`.
        event_types: As for `EventStore.read_stream`. With one, its fields are columns, as for `read_all`.
        upcast: As for `EventStore.read_stream`.
        fields: As for `read_all`.
        as_json: As for `read_all`.
        sample_size: As for `read_all`.
        batch_size: As for `read_all`.

    Raises:
        InvalidInput: An argument is not valid.
    """
    names = None if event_types is None else frozenset(checked_types(event_types))

    def pages(at_most: int | None, page_size: int) -> Iterator[Sequence[Row]]:
        return Reader(store.core).pages(
            stream_id,
            after_version=after_version,
            up_to_version=up_to_version,
            limit=_smaller(limit, at_most),
            backwards=backwards,
            page_size=page_size,
            event_types=names,
        )

    pages(None, batch_size)  # checks the arguments, and reads nothing
    return Frame(
        store,
        Source(f"stream {stream_id}", pages, names, newest_first=backwards),
        upcast=upcast,
        fields=fields,
        as_json=as_json,
        sample_size=sample_size,
        batch_size=batch_size,
    )


def read_all(
    store: EventStore,
    *filters: EventFilter,
    after_position: int | PositionToken = 0,
    up_to_position: int | None = None,
    recorded_since: datetime | None = None,
    recorded_before: datetime | None = None,
    limit: int | None = None,
    wait_seconds: float = 1.0,
    upcast: bool = True,
    fields: Fields = None,
    as_json: bool = False,
    sample_size: int | None = 10_000,
    batch_size: int = 10_000,
) -> Frame:
    """Return the events of all streams in the global order, as a frame.

    If the filters name one event type, each field of its payload is a column. Otherwise the payload is in the column
    `data` as JSON text, which `JSONCodec().decode` decodes to the same value.

    A field's column has the type that fits its values and the annotations of a registered class. The first events are
    read to find it. A field whose values fit no common type is JSON text, too. No value is ever rounded or cut to fit a
    column: if a later event does not fit, `Frame.table`, `Frame.pandas` and `Frame.polars` choose the types from all
    events and read them again, and the stream of `Frame.reader` ends with a `FieldMismatch`.

    Args:
        store: The store; a joined one reads in its transaction.
        filters: As for `EventStore.read_all`.
        after_position: As for `EventStore.read_all`.
        up_to_position: As for `EventStore.read_all`.
        recorded_since: As for `EventStore.read_all`.
        recorded_before: As for `EventStore.read_all`.
        limit: As for `EventStore.read_all`.
        wait_seconds: As for `EventStore.read_all`.
        upcast: As for `EventStore.read_all`.
        fields: The fields that are columns, for any event types: names, or names with Arrow types. Missing fields are
            null. An empty list leaves the payloads out. Defaults to None: as above.
        as_json: Whether the whole payload is in the column `data`, instead of columns of its fields, or in addition to
            those that `fields` names.
        sample_size: How many events to read for the types of columns. None reads all of them, and so reads them twice.
        batch_size: How many stored events a batch, and a query, has at most.

    Returns:
        A frame that reads when it is used.

    Raises:
        InvalidInput: An argument is not valid.

    Example:
        ```python
        placed = frames.read_all(store, EventFilter(event_types=["order-placed"]))
        placed.polars().group_by("customer").sum()
        ```
    """
    combined, period = combine(filters), Period.of(recorded_since, recorded_before)

    def pages(at_most: int | None, page_size: int) -> Iterator[Sequence[Row]]:
        global_pages = GlobalOrder(store.core).pages(
            combined,
            after_position=after_position,
            limit=_smaller(limit, at_most),
            wait_seconds=wait_seconds,
            page_size=page_size,
            up_to_position=up_to_position,
            period=period,
        )
        return (page.rows for page in global_pages)

    pages(None, batch_size)  # checks the arguments, and reads nothing
    return Frame(
        store,
        Source(_name_of(combined), pages, _types_of(combined), newest_first=False),
        upcast=upcast,
        fields=fields,
        as_json=as_json,
        sample_size=sample_size,
        batch_size=batch_size,
    )


def _smaller(limit: int | None, at_most: int | None) -> int | None:
    if limit is None or at_most is None:
        return at_most if limit is None else limit
    return min(check_number("limit", limit), at_most)


def _types_of(filters: Sequence[EventFilter]) -> frozenset[str] | None:
    named = [filter_.named.get("event_types") for filter_ in filters]
    if not named or None in named:
        return None
    return frozenset(name for names in named if names for name in names)


def _name_of(filters: Sequence[EventFilter]) -> str:
    named = [
        ", ".join(f"{field.replace('_', ' ')} {', '.join(values)}" for field, values in filter_.named.items())
        for filter_ in filters
    ]
    return " or ".join(named) if all(named) and named else "all streams"
