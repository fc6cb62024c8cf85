"""The statement that appends to several streams at once on PostgreSQL: to all of them, or it changes nothing."""

from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Text,
    case,
    cast,
    func,
    literal,
    select,
    true,
    update,
)
from sqlalchemy import insert as insert_into
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by
from sqlalchemy.sql import ClauseElement

from eventstore.statements.postgresql.append import insert_events, notification, unnest, unnested_events
from eventstore.tables import Tables, now

OVERTAKEN: Final = frozenset({"22012", "23505", "40001"})
"""How it fails where another writer came between: a division by zero, a stream that is there; a serialization failure,
where the database's default is not READ COMMITTED."""


def append_to_all(tables: Tables) -> Select[Any]:
    """Append to several streams, each of which must be at a version between two bounds.

    Returns one row: the versions that the streams had before, and the positions of the events at the places `ends`, as
    arrays. No row where a stream is at another version; then nothing is changed. It fails with one of `OVERTAKEN` where
    another writer came between.

    In this order, each step reading from the one before:

    1. Look, without a lock, whether all is as expected.
    2. Create the missing heads, in sorted order.
    3. Lock the others, in sorted order, waiting for their writers.
    4. Look again: they may have changed meanwhile. What was created can't be taken back but by a failure.
    5. Advance the heads that were there, and store the events in the order of the list: all positions are drawn when
       all heads are locked.

    Two of these never deadlock, for the reason that `PostgreSQL.lock_heads` gives: it creates and locks in this order.

    A plan that was made for few streams is used for many. So lists are joined to `es_streams` only, which has an index;
    what is known of the streams comes to the events as an array.
    """
    known = _known(tables)
    is_plausible = select(func.bool_and(_is_expected(func.coalesce(known.c.version, 0), known))).select_from(known)
    plausible = is_plausible.scalar_subquery()
    created = _create(tables, known, plausible)
    number_created = select(func.count()).select_from(created).scalar_subquery()
    locked = _lock(tables, known, plausible & (number_created >= 0))  # always so, but known only when all are created
    verdict = _verdict(known, locked, number_created)
    streams = tables.streams
    advanced = (
        update(streams)
        .where(streams.c.stream_id == locked.c.stream_id, verdict.c.is_accepted)
        .values(version=locked.c.version + locked.c.count, updated_at=now())
        .returning(streams.c.stream_id)
        .cte("advanced")
    )
    event = unnested_events(
        ("event_streams", "stream_id", Text()), ("numbers", "number", Integer()), ("places", "version", BigInteger())
    )
    version = verdict.c.versions[event.c.number] + event.c.version
    stored = insert_events(tables, event.c.stream_id, version, event, event.join(verdict, verdict.c.is_accepted))

    positions = select(_array(stored.c.position, stored.c.position).label("all")).cte("positions")
    end = unnest(("ends", "place", BigInteger()), place="number")
    of_ends = select(_array(positions.c.all[end.c.place], end.c.number)).select_from(end.join(positions, true()))
    return select(verdict.c.versions, of_ends.scalar_subquery()).where(verdict.c.is_accepted).add_cte(advanced)


def append_to_all_and_notify(tables: Tables) -> ClauseElement:
    """Do the same, and tell those who listen."""
    return append_to_all(tables).add_columns(notification(tables))


def _known(tables: Tables) -> CTE:
    """The streams, numbered in sorted order: how many events they get, what is expected of them, and where they are."""
    wanted = unnest(
        ("stream_ids", "stream_id", Text()),
        ("counts", "count", BigInteger()),
        ("lowest", "lowest", BigInteger()),
        ("highest", "highest", BigInteger()),
        place="number",
    )
    streams = tables.streams
    stream_id = wanted.c.stream_id.collate("C")
    return (
        select(
            wanted.c.number,
            stream_id.label("stream_id"),
            wanted.c.count,
            wanted.c.lowest,
            wanted.c.highest,
            streams.c.version,
        )
        .select_from(wanted.outerjoin(streams, streams.c.stream_id == stream_id))
        .cte("known")
    )


def _is_expected(version: ColumnElement[Any], of: CTE) -> ColumnElement[bool]:
    return version.between(of.c.lowest, of.c.highest)


def _create(tables: Tables, known: CTE, plausible: ColumnElement[Any]) -> CTE:
    """Create missing heads. One that somebody else has created meanwhile is an error: it can't be skipped."""
    rows = select(known.c.stream_id, known.c.count).where(plausible, known.c.version.is_(None)).order_by(known.c.number)
    return (
        insert_into(tables.streams)
        .from_select(["stream_id", "version"], rows, include_defaults=False)
        .returning(tables.streams.c.stream_id)
        .cte("created")
    )


def _lock(tables: Tables, known: CTE, condition: ColumnElement[bool]) -> CTE:
    streams = tables.streams
    return (
        select(
            known.c.number,
            streams.c.stream_id,
            known.c.count,
            streams.c.version,
            _is_expected(streams.c.version, known).label("is_expected"),
        )
        .select_from(known.join(streams, streams.c.stream_id == known.c.stream_id))
        .where(condition)
        .order_by(known.c.number)
        .with_for_update(key_share=True, of=streams)
        .cte("locked")
    )


def _verdict(known: CTE, locked: CTE, number_created: ColumnElement[Any]) -> CTE:
    """Whether each stream was created, or is locked and as expected; and the versions of all, by their numbers.

    Where not, and some were created, it fails.
    """
    new = select(known.c.number, cast(0, BigInteger).label("version"), true().label("is_expected")).where(
        known.c.version.is_(None)
    )
    heads = new.union_all(select(locked.c.number, locked.c.version, locked.c.is_expected)).subquery("heads")
    number_known = select(func.count()).select_from(known).scalar_subquery()
    number_locked = select(func.count()).select_from(locked).scalar_subquery()
    are_expected = func.bool_and(heads.c.is_expected) & (number_created + number_locked == number_known)
    zero = number_created - number_created  # a constant would be divided by when the statement is planned
    return select(
        case((are_expected, true()), (number_created == 0, ~true()), else_=literal(1) / zero == 1).label("is_accepted"),
        _array(heads.c.version, heads.c.number).label("versions"),
    ).cte("verdict")


def _array(values: ColumnElement[Any], order: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.array_agg(aggregate_order_by(values, order), type_=ARRAY(BigInteger))
