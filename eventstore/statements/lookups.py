"""Statements that find events by an id of their own, or by one in their metadata. No index of the store helps them."""

from functools import cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, Text, Uuid, bindparam, literal_column, select, union_all
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement

from eventstore.statements import Statement
from eventstore.statements.columns import event_columns
from eventstore.tables import Tables


class MetadataText(ColumnElement[str]):
    """The text of a key of the metadata, as an index on it must have it: without parameters."""

    inherit_cache = False
    type = Text()

    def __init__(self, key: str) -> None:
        self.key_in_metadata = key


@compiles(MetadataText, "postgresql")
def _on_postgresql(element: MetadataText, *_: Any, **__: Any) -> str:
    return f"(metadata ->> '{element.key_in_metadata}')"


@compiles(MetadataText, "sqlite")
def _on_sqlite(element: MetadataText, *_: Any, **__: Any) -> str:
    key = element.key_in_metadata
    path = key if key.isidentifier() else f'"{key}"'
    return f"CAST(json_extract(metadata, '$.{path}') AS TEXT)"


def find_by_event_id(tables: Tables) -> ClauseElement:
    """Return a page of the events with an id, in order of position."""
    return _page(tables).where(tables.events.c.event_id == bindparam("value", type_=Uuid))


@cache
def find_by_metadata(key: str) -> Statement:
    """Return the statement for a page of the events with a text under a key of their metadata, by position."""
    return lambda tables: _page(tables).where(MetadataText(key) == bindparam("value", type_=Text))


def first_and_last(tables: Tables) -> ClauseElement:
    """Return the first and the last event of a stream; the same row twice if it has one, and no row without any."""
    events = tables.events.c
    first, last = (
        select(*event_columns(tables))
        .where(events.stream_id == bindparam("stream_id"))
        .order_by(order)
        .limit(literal_column("1"))
        .subquery(name)
        for name, order in (("first", events.version), ("last", events.version.desc()))
    )
    return union_all(select(first), select(last))


def _page(tables: Tables) -> Select[Any]:
    # hidden in a sum, so that the planner does not read the log in the order of positions until a page is full
    position = tables.events.c.position + literal_column("0")
    return (
        select(*event_columns(tables))
        .where(position > bindparam("after_position", type_=BigInteger))
        .order_by(position)
        .limit(bindparam("page_size", type_=BigInteger))
    )
