"""Statements of the browser of streams. Each reads a bounded number of rows by an index, however large the tables are.

Limits are part of the text, not parameters, so that a plan for any parameters knows them. What belongs to a row of
another table is looked up by a subquery for each row, which no planner turns into a join that reads the whole table. A
page has one row more than `PAGE`, which says where the next page begins.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Subquery,
    Text,
    Uuid,
    bindparam,
    func,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.sql import ClauseElement

from eventstore.statements import Statement
from eventstore.statements.lookups import MetadataText
from eventstore.statements.projections import is_pending, letter_columns
from eventstore.tables import Tables

PAGE: Final = 200
"""How many rows a page has at most."""

WINDOW: Final = 1000
"""How many rows are searched for a page that no index leads to."""

COUNTED: Final = 1000
"""How far rows are counted."""

PROJECTIONS: Final = 50
"""How many projections a page has at most: the lag of each is counted."""

_PAGE: Final[ColumnElement[int]] = literal_column(str(PAGE + 1))
_WINDOW: Final[ColumnElement[int]] = literal_column(str(WINDOW))
_FEW: Final[ColumnElement[int]] = literal_column(str(PROJECTIONS + 1))
_COUNTED: Final[ColumnElement[int]] = literal_column(str(COUNTED + 1))
_ONE: Final[ColumnElement[int]] = literal_column("1")


def _big(name: str) -> ColumnElement[Any]:
    return bindparam(name, type_=BigInteger)


def _text(name: str) -> ColumnElement[Any]:
    return bindparam(name, type_=Text)


# --- streams and snapshots


def streams_from(tables: Tables) -> ClauseElement:
    """Return (stream_id, version, created_at, updated_at) of a page of streams from `from_id` to before `to_id`."""
    heads = tables.streams.c
    return (
        select(heads.stream_id, heads.version, heads.created_at, heads.updated_at)
        .where(heads.stream_id >= _text("from_id"), heads.stream_id < _text("to_id"))
        .order_by(heads.stream_id)
        .limit(_PAGE)
    )


def count_some_streams(tables: Tables) -> ClauseElement:
    """Return how many streams there are, counted up to one more than `at_most`."""
    some = select(_ONE.label("one")).select_from(tables.streams).limit(_big("at_most") + _ONE).subquery("counted")
    return select(func.count().label("streams")).select_from(some)


@cache
def heads_of_recent_events(*, of_category: bool) -> Statement:
    """Return the statement for the newest events before a position, each with the version of its stream's head.

    The columns: position, stream_id, version, event_type, recorded_at, head_version. The parameters: `before_position`,
    and either `category`, or `from_position` as a lower bound, which also holds if a policy hides most rows.
    """

    def heads_of_newest_events(tables: Tables) -> ClauseElement:
        events = tables.events.c
        before = _big("before_position")
        where: tuple[ColumnElement[bool], ...]
        order: tuple[ColumnElement[Any], ...]
        if of_category:
            # compared as a pair, which only the index of categories has in order: a planner that takes the category for
            # a frequent one would search the log backwards for it
            category = _text("category")
            where = (tuple_(events.category, events.position) < tuple_(category, before), events.category >= category)
            order = (events.category.desc(), events.position.desc())
        else:
            where = (events.position < before, events.position >= _big("from_position"))
            order = (events.position.desc(),)
        recent = (
            select(events.position, events.stream_id, events.version, events.event_type, events.recorded_at)
            .where(*where)
            .order_by(*order)
            .limit(_WINDOW)
            .cte("recent")
        )
        columns = (recent.c.position, recent.c.stream_id, recent.c.version, recent.c.event_type, recent.c.recorded_at)
        head_version = _head(tables, "version", recent.c.stream_id).label("head_version")
        return select(*columns, head_version).order_by(recent.c.position.desc())

    return heads_of_newest_events


def position_before(tables: Tables) -> ClauseElement:
    """Return the position of the newest event before a position; no row if there is none."""
    position = tables.events.c.position
    return select(position).where(position < _big("before_position")).order_by(position.desc()).limit(_ONE)


def ends_of_log(tables: Tables) -> ClauseElement:
    """Return the lowest and the highest position, or NULL."""
    position = tables.events.c.position
    lowest, highest = (
        select(position).order_by(order).limit(_ONE).scalar_subquery().label(name)
        for name, order in (("lowest", position), ("highest", position.desc()))
    )
    return select(lowest, highest)


@cache
def largest_streams_of_sample(*, of_category: bool) -> Statement:
    """Return the statement for the largest streams among those of events that are at least `stride` positions apart.

    The columns: stream_id, version, created_at, updated_at. The caller chooses the stride, so that the sample has about
    `WINDOW` events. The other parameter: `category`, if `of_category`.
    """

    def largest_streams(tables: Tables) -> ClauseElement:
        sampled = _sampled_streams(tables)
        version = _head(tables, "version", sampled.c.stream_id).label("version")
        largest = select(sampled.c.stream_id, version).where(sampled.c.stream_id.is_not(None))
        if of_category:
            largest = largest.where(_head(tables, "category", sampled.c.stream_id) == _text("category"))
        page = (
            largest.order_by(version.desc(), sampled.c.stream_id).limit(literal_column(str(PAGE))).subquery("largest")
        )
        times = (_head(tables, name, page.c.stream_id).label(name) for name in ("created_at", "updated_at"))
        return select(page.c.stream_id, page.c.version, *times).order_by(page.c.version.desc(), page.c.stream_id)

    return largest_streams


def _sampled_streams(tables: Tables) -> Subquery:
    """Return the streams of events that are at least `stride` positions apart, by a lookup for each of them."""
    events = tables.events.c
    first = select(events.position).order_by(events.position).limit(_ONE).scalar_subquery()
    sample = select(first.label("position")).cte("sample", recursive=True)
    following = (
        select(events.position)
        .where(events.position >= sample.c.position + _big("stride"))
        .order_by(events.position)
        .limit(_ONE)
        .scalar_subquery()
    )
    sample = sample.union_all(select(following.label("position")).where(sample.c.position.is_not(None)))
    stream_id = select(events.stream_id).where(events.position == sample.c.position).scalar_subquery()
    return select(stream_id.label("stream_id")).where(sample.c.position.is_not(None)).distinct().subquery("sampled")


def _head(tables: Tables, column: str, stream_id: ColumnElement[Any]) -> ColumnElement[Any]:
    heads = tables.streams.alias("head").c
    return select(heads[column]).where(heads.stream_id == stream_id).scalar_subquery()


def snapshots_from(tables: Tables) -> ClauseElement:
    """Return a page of snapshots from (`from_id`, `from_schema_version`) to before the stream `to_id`.

    The columns are those of `list_snapshots`.
    """
    snapshots = tables.snapshots.c
    key = tuple_(snapshots.stream_id, snapshots.schema_version)
    start = tuple_(_text("from_id"), bindparam("from_schema_version", type_=Integer))
    return (
        select(
            snapshots.stream_id,
            snapshots.schema_version,
            snapshots.version,
            snapshots.codec,
            func.length(snapshots.state).label("bytes"),
            snapshots.created_at,
            _head(tables, "version", snapshots.stream_id).label("stream_version"),
        )
        .where(key >= start, snapshots.stream_id < _text("to_id"))
        .order_by(snapshots.stream_id, snapshots.schema_version)
        .limit(_PAGE)
    )


# --- events that belong together


@cache
def some_by_metadata(key: str) -> Statement:
    """Return the statement for a page of events with a text under a key of their metadata, in the order of its index.

    The columns are those of `_line`. Two comparisons, and the order, keep a planner from reading the log instead if it
    takes the text for a frequent one.
    """

    def some_with_metadata(tables: Tables) -> ClauseElement:
        text, value = MetadataText(key), _text("value")
        return select(*_line(tables)).where(text >= value, text <= value).order_by(text).limit(_PAGE)

    return some_with_metadata


def some_by_event_id(tables: Tables) -> ClauseElement:
    """Return a page of events with an id, of which there should be one; with the columns of `_line`."""
    event_id, value = tables.events.c.event_id, bindparam("value", type_=Uuid)
    return select(*_line(tables)).where(event_id >= value, event_id <= value).order_by(event_id).limit(_PAGE)


def _line(tables: Tables) -> list[ColumnElement[Any]]:
    """Return what a line about an event shows: the columns without data and metadata."""
    events = tables.events.c
    return [
        events.position,
        events.stream_id,
        events.version,
        events.event_id,
        events.event_type,
        events.recorded_at,
        MetadataText("causation_id").label("causation_id"),
    ]


# --- tags


def tags_from(tables: Tables) -> ClauseElement:
    """Return (tag, how many events have it, counted up to one more than `COUNTED`, the newest position) of a page.

    The tags from `from_tag` to before `to_tag`. It skips from each to the next one, without reading its events.
    """
    tag, first, following = (tables.tags.alias(name).c for name in ("tag", "first_tag", "next_tag"))
    found = select(
        select(first.tag)
        .where(first.tag >= _text("from_tag"), first.tag < _text("to_tag"))
        .order_by(first.tag)
        .limit(_ONE)
        .scalar_subquery()
        .label("tag"),
        _ONE.label("number"),
    ).cte("found", recursive=True)
    after = (
        select(following.tag)
        .where(following.tag > found.c.tag, following.tag < _text("to_tag"))
        .order_by(following.tag)
        .limit(_ONE)
        .scalar_subquery()
    )
    found = found.union_all(
        select(after.label("tag"), (found.c.number + _ONE).label("number")).where(
            found.c.tag.is_not(None), found.c.number < _PAGE
        )
    )
    some = _some_of_tag(tag, found.c.tag).correlate(found).subquery("counted")
    newest = select(tag.position).where(tag.tag == found.c.tag).order_by(tag.position.desc()).limit(_ONE)
    return (
        select(
            found.c.tag,
            select(func.count().label("number")).select_from(some).scalar_subquery().label("events"),
            newest.correlate(found).scalar_subquery().label("newest"),
        )
        .where(found.c.tag.is_not(None))
        .order_by(found.c.number)
    )


def count_tag(tables: Tables) -> ClauseElement:
    """Return how many events have a tag, counted up to one more than `COUNTED`."""
    some = _some_of_tag(tables.tags.c, _text("tag")).subquery("counted")
    return select(func.count().label("events")).select_from(some)


def _some_of_tag(tags: Any, tag: ColumnElement[Any]) -> Select[Any]:
    """Return rows of a tag, as far as they are counted; in order, or a frequent tag would be searched in the table."""
    return select(_ONE.label("one")).where(tags.tag == tag).order_by(tags.position).limit(_COUNTED)


@cache
def events_of_tags(others: int) -> Statement:
    """Return the statement for a page of the events of `tag` before a position that have other tags as well.

    The columns: position, event_type, stream_id, version, recorded_at, the last three NULL if the event was detached;
    newest first. With other tags, `tags_0` and so on, it looks at `WINDOW` events of `tag`.
    """

    def events_of_all_tags(tables: Tables) -> ClauseElement:
        events, own = tables.events.c, tables.tags.alias("own").c
        size = _WINDOW if others else _PAGE
        window = (
            select(own.position, own.event_type)
            .where(own.tag == _text("tag"), own.position < _big("before_position"))
            .order_by(own.position.desc())
            .limit(size)
            .subquery("window_of_tag")
        )
        of_event = (
            select(events[name]).where(events.position == window.c.position).scalar_subquery().label(name)
            for name in ("stream_id", "version", "recorded_at")
        )
        return (
            select(window.c.position, window.c.event_type, *of_event)
            .where(*(_has_tag(tables, number, window.c.position) for number in range(others)))
            .order_by(window.c.position.desc())
            .limit(_PAGE)
        )

    return events_of_all_tags


def _has_tag(tables: Tables, number: int, position: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return whether an event has another tag, by a lookup for each event instead of a join."""
    other = tables.tags.alias(f"tags_{number}").c
    found = select(_ONE.label("one")).where(other.tag == _text(f"tags_{number}"), other.position == position)
    return found.scalar_subquery() == _ONE


def end_of_window(tables: Tables) -> ClauseElement:
    """Return the position of the last event that `events_of_tags` looks at; no row if there are fewer than `WINDOW`."""
    own = tables.tags.c
    return (
        select(own.position)
        .where(own.tag == _text("tag"), own.position < _big("before_position"))
        .order_by(own.position.desc())
        .limit(_ONE)
        .offset(literal_column(str(WINDOW - 1)))
    )


def tags_of_recent_events(tables: Tables) -> ClauseElement:
    """Return (tags in the metadata as a JSON array, or NULL) of the newest events from a position on."""
    events = tables.events.c
    return (
        select(MetadataText("$tags").label("tags"))
        .select_from(tables.events)
        .where(events.position >= _big("from_position"))
        .order_by(events.position.desc())
        .limit(_WINDOW)
    )


# --- projections and dead letters


def projections_from(tables: Tables) -> ClauseElement:
    """Return the names of a page of projections from `from_name` on."""
    checkpoints = tables.checkpoints.c
    return (
        select(checkpoints.name)
        .where(checkpoints.partition_of.is_(None), checkpoints.name >= _text("from_name"))
        .order_by(checkpoints.name)
        .limit(_FEW)
    )


def pending_dead_letters_from(tables: Tables) -> ClauseElement:
    """Return a page of a projection's pending dead letters from (`from_id`, `from_position`), in order of these."""
    letters = tables.dead_letters.c
    start = tuple_(_text("from_id"), _big("from_position"))
    return (
        _letters(tables)
        .where(is_pending(tables), tuple_(letters.stream_id, letters.position) >= start)
        .order_by(letters.stream_id, letters.position)
        .limit(_PAGE)
    )


def dead_letters_before(tables: Tables) -> ClauseElement:
    """Return a page of a projection's dead letters of any status before a position, the newest first."""
    letters = tables.dead_letters.c
    return (
        _letters(tables)
        .where(letters.projection == _text("projection"), letters.position < _big("before_position"))
        .order_by(letters.position.desc())
        .limit(_PAGE)
    )


def find_dead_letter(tables: Tables) -> ClauseElement:
    """Return the dead letter of a projection at a position; no row if there is none."""
    letters = tables.dead_letters.c
    return _letters(tables).where(letters.projection == _text("projection"), letters.position == _big("at_position"))


def _letters(tables: Tables) -> Select[Any]:
    columns: Sequence[ColumnElement[Any]] = letter_columns(tables)
    return select(*columns)
