"""Statements that append to one stream or to several. Events are arrays, so their number changes no parameters."""

from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy import insert as insert_into
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, aggregate_order_by, insert
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.selectable import TableValuedAlias

from eventstore.statements import Statement
from eventstore.statements.columns import APPENDED_COLUMNS
from eventstore.statements.heads import write_head
from eventstore.streams import Expectation
from eventstore.tables import Tables, now


@cache
def append(expectation: Expectation) -> Statement:
    """Return the statement that appends events to a stream: its head and the events.

    It returns one row (version, array of the positions of the events), or no row on a conflict. Positions are drawn in
    the order of the list, after the head was locked, because the INSERT reads from the head.
    """

    def append_to_stream(tables: Tables) -> ClauseElement:
        head = write_head(expectation)(tables).cte("head")
        event = unnested_events()
        version = head.c.version - bindparam("count", type_=BigInteger) + event.c.ordinal
        stored = insert_events(tables, bindparam("stream_id", type_=Text), version, event, head.join(event, true()))
        columns: list[Any] = [
            func.max(stored.c.version).label("version"),
            func.array_agg(aggregate_order_by(stored.c.position, stored.c.position)).label("positions"),
        ]
        return select(*columns).having(func.count() > literal_column("0"))

    return append_to_stream


def unnested_events(*more: tuple[str, str, Any]) -> TableValuedAlias:
    """Return the arrays of events as rows, numbered by the column `ordinal`, from 1."""
    return unnest(
        "event",
        *more,
        ("event_ids", "event_id", Uuid()),
        ("event_types", "event_type", Text()),
        ("schema_versions", "schema_version", Integer()),
        ("codecs", "codec", SmallInteger()),
        ("data", "data", LargeBinary()),
        ("metadata", "metadata", Text()),
        ordinal="ordinal",
    )


def unnest(name: str, *columns: tuple[str, str, Any], ordinal: str | None = None) -> TableValuedAlias:
    """Return arrays as the rows of an alias.

    Args:
        name: The alias.
        columns: For each array, the name of its parameter, the name of its column, and its type.
        ordinal: The name of a column that numbers the rows, from 1; None for no such column.
    """
    arrays = [bindparam(parameter, type_=ARRAY(type_)) for parameter, _, type_ in columns]
    row = [column(column_name, type_) for _, column_name, type_ in columns]
    return func.unnest(*arrays).table_valued(*row, with_ordinality=ordinal).render_derived(name)


def insert_events(tables: Tables, stream_id: Any, version: Any, event: TableValuedAlias, source: Any) -> Any:
    """Return the INSERT of events, in the order of the list, as a CTE of stream ids, versions and positions."""
    values = (
        select(
            stream_id.label("stream_id"),
            version.label("version"),
            event.c.event_id,
            event.c.event_type,
            event.c.schema_version,
            event.c.codec,
            event.c.data,
            cast(event.c.metadata, JSONB),
        )
        .select_from(source)
        .order_by(event.c.ordinal)
    )
    events = tables.events
    return (
        insert_into(events)
        .from_select(list(APPENDED_COLUMNS), values, include_defaults=False)
        .returning(events.c.stream_id, events.c.version, events.c.position)
        .cte("stored")
    )


def create_heads(tables: Tables) -> ClauseElement:
    """Create the missing heads at version 0, in sorted order, so that they are locked like the others."""
    head = unnest("head", ("stream_ids", "stream_id", Text()))
    rows = select(head.c.stream_id, cast(literal_column("0"), BigInteger).label("version")).order_by(
        head.c.stream_id.collate("C")
    )
    return (
        insert(tables.streams)
        .from_select(["stream_id", "version"], rows, include_defaults=False)
        .on_conflict_do_nothing(index_elements=["stream_id"])
    )


def lock_heads(tables: Tables) -> ClauseElement:
    """Lock heads in sorted order and return (stream_id, version) of those that exist.

    An UPDATE would lock them in an undefined order, in which two of these can deadlock.
    """
    streams = tables.streams
    is_listed = streams.c.stream_id == func.any(bindparam("stream_ids", type_=ARRAY(Text)))
    return (
        select(streams.c.stream_id, streams.c.version)
        .where(is_listed)
        .order_by(streams.c.stream_id)
        .with_for_update(key_share=True)
    )


def append_to_many(tables: Tables) -> ClauseElement:
    """Set locked heads and insert events.

    It returns one row with an array: the positions of the events, in the order of the list.
    """
    streams = tables.streams
    head = unnest("head", ("heads", "stream_id", Text()), ("head_versions", "version", BigInteger()))
    advanced = (
        update(streams)
        .where(streams.c.stream_id == head.c.stream_id)
        .values(version=head.c.version, updated_at=now())
        .returning(streams.c.stream_id)
        .cte("advanced")
    )
    event = unnested_events(("stream_ids", "stream_id", Text()), ("versions", "version", BigInteger()))
    stored = insert_events(tables, event.c.stream_id, event.c.version, event, event)
    positions = func.array_agg(aggregate_order_by(stored.c.position, stored.c.position))
    return select(positions.label("positions")).add_cte(advanced)


def positions_of(tables: Tables) -> ClauseElement:
    """Return an array of the positions of those events of a stream whose versions are in an array, by version."""
    events = tables.events.c
    return select(func.array_agg(aggregate_order_by(events.position, events.version)).label("positions")).where(
        events.stream_id == bindparam("stream_id", type_=Text),
        events.version == func.any(bindparam("versions", type_=ARRAY(BigInteger))),
    )


def positions_between(tables: Tables) -> ClauseElement:
    """Return an array of the positions of a stream's events with after_version < version <= up_to_version."""
    events = tables.events.c
    return select(func.array_agg(aggregate_order_by(events.position, events.version)).label("positions")).where(
        events.stream_id == bindparam("stream_id", type_=Text),
        events.version > bindparam("after_version", type_=BigInteger),
        events.version <= bindparam("up_to_version", type_=BigInteger),
    )
