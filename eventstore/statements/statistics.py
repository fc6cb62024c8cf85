"""Statements that count, and that estimate where counting would take long."""

from collections.abc import Callable
from functools import cache

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Float,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    func,
    literal_column,
    select,
    table,
)
from sqlalchemy.sql import ClauseElement

from eventstore.statements.names import identities_of
from eventstore.tables import Tables, now

_CLASSES = table(
    "pg_class",
    *[column(name) for name in ("oid", "relname", "reltuples", "relpages")],
    schema="pg_catalog",
)
_INDEXES = table("pg_index", column("indexrelid"), column("indrelid"), schema="pg_catalog")
_PAGES_OF_SQLITE = table("dbstat", column("name"), column("pgsize"), column("aggregate"))
_OBJECTS_OF_SQLITE = table("sqlite_master", column("type"), column("name"), column("tbl_name"))


@cache
def count_rows(table_name: str) -> Callable[[Tables], ClauseElement]:
    """Return the statement that counts the rows of a table, named as an attribute of `Tables`."""

    def count_rows_of_table(tables: Tables) -> ClauseElement:
        return select(func.count()).select_from(getattr(tables, table_name))

    return count_rows_of_table


def streams_by_category(tables: Tables) -> ClauseElement:
    """Return (category, how many streams)."""
    category = tables.streams.c.category
    return select(category, func.count()).group_by(category)


def events_by_category_and_type(tables: Tables) -> ClauseElement:
    """Return (category, event type, how many events)."""
    kind = (tables.events.c.category, tables.events.c.event_type)
    return select(*kind, func.count()).group_by(*kind)


def sample_categories_and_types(tables: Tables) -> ClauseElement:
    """Return (category, event type, how many events) of a sample: of those that are `stride` positions apart."""
    events = tables.events.c
    stride = bindparam("stride", type_=BigInteger)
    sample = select(func.min(events.position).label("position")).cte("sample", recursive=True)
    following = select(func.min(events.position)).where(events.position >= sample.c.position + stride).scalar_subquery()
    sample = sample.union_all(select(following).where(sample.c.position.is_not(None)))
    kind = (events.category, events.event_type)
    return (
        select(*kind, func.count())
        .where(events.position.in_(select(sample.c.position).where(sample.c.position.is_not(None))))
        .group_by(*kind)
    )


def count_events_since(tables: Tables) -> ClauseElement:
    """Return how many events were recorded since a time, counting up to a limit."""
    counted = (
        select(literal_column("1"))
        .select_from(tables.events)
        .where(tables.events.c.recorded_at >= bindparam("since"))
        .limit(bindparam("at_most", type_=BigInteger))
        .subquery("counted")
    )
    return select(func.count()).select_from(counted)


def time_now(_: Tables) -> ClauseElement:
    """Return the time, by the database's clock."""
    return select(now())


# --- PostgreSQL


def estimated_rows(tables: Tables) -> ClauseElement:
    """Return (table, about how many rows) of the tables (PostgreSQL).

    As the planner does: the rows on a page when somebody last looked, times the pages that there are. The counters of
    live rows take part only where nobody has looked yet. They count twice: ANALYZE sets them to what it has found, and
    the sessions that stored the rows add them once more when they next report.
    """
    analyzed, pages = _CLASSES.c.reltuples, _CLASSES.c.relpages
    pages_now = cast(func.pg_relation_size(_CLASSES.c.oid), Float) / cast(
        func.current_setting(literal_column("'block_size'")), BigInteger
    )
    estimated = case(
        (and_(analyzed > literal_column("0"), pages > literal_column("0")), analyzed / pages * pages_now),
        else_=func.pg_stat_get_live_tuples(_CLASSES.c.oid),
    )
    return select(cast(_CLASSES.c.relname, Text), cast(estimated, BigInteger)).where(_is_ours(tables))


def sizes(tables: Tables) -> ClauseElement:
    """Return (table, index or NULL, bytes) of the tables, and of each of their indexes (PostgreSQL)."""
    index = _CLASSES.alias("index_class")
    of_tables = select(cast(_CLASSES.c.relname, Text), cast(None, Text), func.pg_table_size(_CLASSES.c.oid)).where(
        _is_ours(tables)
    )
    of_indexes = (
        select(cast(_CLASSES.c.relname, Text), cast(index.c.relname, Text), func.pg_relation_size(index.c.oid))
        .select_from(_CLASSES.join(_INDEXES, _INDEXES.c.indrelid == _CLASSES.c.oid))
        .join(index, index.c.oid == _INDEXES.c.indexrelid)
        .where(_is_ours(tables))
    )
    return of_tables.union_all(of_indexes)


def database_size(_: Tables) -> ClauseElement:
    """Return the bytes of the whole database (PostgreSQL)."""
    return select(func.pg_database_size(func.current_database()))


def _is_ours(tables: Tables) -> ColumnElement[bool]:
    return _CLASSES.c.oid.in_(identities_of(tables))


# --- SQLite


def sizes_on_sqlite(tables: Tables) -> ClauseElement:
    """Return (table, index or NULL, bytes), where SQLite was built with `dbstat`; it reads every page (SQLite)."""
    objects, pages = _OBJECTS_OF_SQLITE.c, _PAGES_OF_SQLITE.c
    names: list[ColumnElement[str]] = [literal_column(f"'{each.name}'") for each in tables.metadata.sorted_tables]
    is_index = objects.type == literal_column("'index'")
    return select(objects.tbl_name, func.iif(is_index, objects.name, None), pages.pgsize).where(
        pages.name == objects.name, pages.aggregate == literal_column("1"), objects.tbl_name.in_(names)
    )


def database_size_on_sqlite(_: Tables) -> ClauseElement:
    """Return the bytes of the file, without what is in the write-ahead log (SQLite)."""
    pages = func.pragma_page_count().table_valued("page_count")
    size = func.pragma_page_size().table_valued("page_size")
    return select(cast(pages.c.page_count * size.c.page_size, Integer))
