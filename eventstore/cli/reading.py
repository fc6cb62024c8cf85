"""Commands that read: streams, show, tail."""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any, Final

import click

from eventstore.cli.completion import complete_streams
from eventstore.cli.database import store_options
from eventstore.cli.events import EventPrinter, StoredPrinter
from eventstore.cli.output import Column, Limited, note, print_rows
from eventstore.cli.signals import ended_by_ctrl_c
from eventstore.core.reading import Reader
from eventstore.errors import DecodingError, EventStoreError
from eventstore.event_types import EventTypes
from eventstore.events import RecordedEvent
from eventstore.filters import EventFilter
from eventstore.store import EventStore
from eventstore.streams import StreamOrder
from eventstore.tokens import PositionToken

POSITIVE: Final = click.IntRange(min=1)
NOT_NEGATIVE: Final = click.IntRange(min=0)


def _time(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    """Return the time of an option, in UTC unless it has an offset."""
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        msg = f"{value!r} is not a time such as 2026-10-25 or 2026-10-25T14:30+02:00"
        raise click.BadParameter(msg) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


_STREAMS: Final = (
    Column("stream_id", "stream", "cyan"),
    Column("version", "version"),
    Column("updated_at", "last event (UTC)"),
    Column("created_at", "first event (UTC)", is_optional=True),
)


@click.command()
@click.option("--category", help="Only streams of this category, which is the id before the first hyphen.")
@click.option(
    "--by", "order", type=click.Choice([order.value for order in StreamOrder]), default="id", show_default=True,
    help="By stream id, by version (highest first), or by last append (newest first).",
)  # fmt: skip
@click.option("--after", metavar="STREAM", shell_complete=complete_streams, help="Continue after this stream.")
@click.option("-n", "--limit", type=POSITIVE, default=100, show_default=True, help="The maximum number.")
@click.option("--all", "without_limit", is_flag=True, help="All of them, without a limit.")
@store_options
def streams(
    *, store: EventStore, as_json: bool, category: str | None, order: str, after: str | None, limit: int,
    without_limit: bool,
) -> None:  # fmt: skip
    """List the streams with their versions; a version is the number of events ever appended to the stream.

    With --by size or --by recent, the database reads every stream.

    In a pipe, the lines have: stream id, version, time of the last event, time of the first event.
    """
    at_most = None if without_limit else limit
    matching = store.list_streams(
        category=category,
        order=StreamOrder(order),
        after_stream_id=after,
        limit=None if at_most is None else at_most + 1,
    )
    page = Limited(matching, at_most)
    rows = (
        {
            "stream_id": stream.stream_id,
            "category": stream.category,
            "version": stream.version,
            "created_at": stream.created_at,
            "updated_at": stream.updated_at,
        }
        for stream in page
    )
    print_rows(_STREAMS, rows, as_json=as_json, empty="there are no streams")
    if page.has_more and page.last is not None:
        note(f"there are more: continue with --after {page.last.stream_id}, or use --all")


@click.command()
@click.argument("stream_id", metavar="STREAM", shell_complete=complete_streams)
@click.option("--after", type=NOT_NEGATIVE, default=0, metavar="VERSION", help="Only events of higher versions.")
@click.option("--up-to", type=NOT_NEGATIVE, metavar="VERSION", help="Only events up to this version.")
@click.option("-n", "--limit", type=POSITIVE, help="The maximum number.")
@click.option("--backwards", is_flag=True, help="Newest first.")
@click.option("-t", "--type", "types", multiple=True, help="Only this event type; may be repeated.")
@click.option("--raw", is_flag=True, help="The stored bytes of the data, even if they can't be decoded.")
@store_options
def show(
    *, store: EventStore, as_json: bool, stream_id: str, after: int, up_to: int | None, limit: int | None,
    backwards: bool, types: tuple[str, ...], raw: bool,
) -> None:  # fmt: skip
    """Print the events of STREAM as they are stored: plain data, not upcast.

    In a pipe, the lines have: position, stream id, version, event type, schema version, time, event id, and data,
    metadata and tags as JSON; with --raw, the codec number, the bytes in base 64, and the metadata as it is stored, in
    which "$tags" has the tags.
    """
    selection: dict[str, Any] = {
        "after_version": after,
        "up_to_version": up_to,
        "limit": limit,
        "backwards": backwards,
        "event_types": types or None,
    }
    is_empty = True
    if raw:
        print_row = StoredPrinter(store.core.dialect, as_json=as_json)
        for rows in Reader(store.core).pages(stream_id, **selection):
            for row in rows:
                is_empty = False
                print_row(row)
    else:
        print_event = EventPrinter(as_json=as_json, in_blocks=True)
        try:
            for event in store.read_stream(stream_id, upcast=False, **selection):
                is_empty = False
                print_event(event)
        except DecodingError:
            note("--raw prints the stored bytes, even if they can't be decoded")
            raise
    if is_empty and not store.stream_version(stream_id):
        msg = f"there is no stream {stream_id!r}; `eventstore streams` lists all streams"
        raise EventStoreError(msg)


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Continue with new events until Ctrl-C.")
@click.option("-n", "--last", type=NOT_NEGATIVE, metavar="N", help="Start with the last N that match.  [default: 10]")
@click.option("--after", type=NOT_NEGATIVE, metavar="POSITION", help="Start after this position instead.")
@click.option("-t", "--type", "types", multiple=True, help="Only this event type; may be repeated.")
@click.option("-c", "--category", "categories", multiple=True, help="Only this category; may be repeated.")
@click.option(
    "-s", "--stream", "stream_ids", multiple=True, shell_complete=complete_streams,
    help="Only this stream; may be repeated.",
)  # fmt: skip
@click.option("--tag", "tags", multiple=True, help="Only events with this tag; if repeated, with all of them.")
@click.option("--since", metavar="TIME", callback=_time, help="Only events recorded at this time or later.")
@click.option("--before", metavar="TIME", callback=_time, help="Only events recorded before this time.")
@click.option("--up-to", type=NOT_NEGATIVE, metavar="POSITION", help="Only events up to this position.")
@click.option("--limit", type=POSITIVE, help="Stop after this many events.")
@store_options
def tail(
    *, store: EventStore, as_json: bool, follow: bool, last: int | None, after: int | None, types: tuple[str, ...],
    categories: tuple[str, ...], stream_ids: tuple[str, ...], tags: tuple[str, ...], since: datetime | None,
    before: datetime | None, up_to: int | None, limit: int | None,
) -> None:  # fmt: skip
    """Print the newest events of all streams in the global order; with -f, also new ones as they are appended.

    An event must match one value of each kind of filter, but all tags. Times are in UTC unless they have an offset:
    2026-10-25, 2026-10-25T14:30, 2026-10-25T14:30+02:00. Lines are cut at the width of the terminal; `show` prints
    whole payloads. In a pipe, the lines are those of `show`.
    """
    if last is not None and after is not None:
        msg = "--last and --after both choose where to begin; pass only one of them"
        raise click.UsageError(msg)
    bounds: dict[str, Any] = {"up_to_position": up_to, "recorded_since": since, "recorded_before": before}
    if follow and any(value is not None for value in bounds.values()):
        msg = "--since, --before and --up-to choose events that are stored; don't pass them with --follow"
        raise click.UsageError(msg)
    filter_ = EventFilter(
        event_types=types or None, categories=categories or None, stream_ids=stream_ids or None, tags=tags or None
    )
    store = store.with_core(store.core.with_event_types(EventTypes()))
    newest: list[RecordedEvent] = []
    begin: int | PositionToken = store.settled_position() if after is None else after
    if after is None:
        newest = list(store.read_all(filter_, backwards=True, limit=10 if last is None else last, **bounds))[::-1]
        begin = newest[-1].token if newest else begin
    print_event = EventPrinter(as_json=as_json, in_blocks=False)
    if not follow:
        older = [] if after is None else store.read_all(filter_, after_position=after, limit=limit, **bounds)
        _print(islice(chain(newest, older), limit), print_event)
        return
    with store.subscribe(filter_, after_position=begin) as subscription, ended_by_ctrl_c(subscription.stop):
        events = chain(newest, subscription)
        _print(events if limit is None else _first(events, limit), print_event)


@click.command()
@click.option("--correlation-id", metavar="ID", help="Events with this correlation id in their metadata.")
@click.option("--causation-id", metavar="ID", help="Events with this causation id in their metadata.")
@click.option("--event-id", type=click.UUID, metavar="ID", help="Events with this id.")
@click.option("--after", type=NOT_NEGATIVE, default=0, metavar="POSITION", help="Begin after this position.")
@store_options
def find(*, store: EventStore, as_json: bool, after: int, **ids: Any) -> None:
    """Print the events with an id, or with a correlation or causation id in their metadata, by position.

    Without an index of yours, the database reads the whole log. The lines are those of `show`.
    """
    print_event = EventPrinter(as_json=as_json, in_blocks=False)
    for event in store.find_events(**ids, after_position=after, upcast=False):
        print_event(event)


def _print(events: Iterable[RecordedEvent], print_event: EventPrinter) -> None:
    for event in events:
        print_event(event)


def _first(events: Iterable[RecordedEvent], limit: int) -> Iterable[RecordedEvent]:
    """Yield the first events up to a limit, without waiting for another one."""
    for count, event in enumerate(events, 1):
        yield event
        if count == limit:
            return
