"""Statements that read the catalog about the tables."""

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Float,
    Text,
    and_,
    case,
    cast,
    column,
    func,
    literal_column,
    null,
    or_,
    select,
    table,
    true,
)
from sqlalchemy.sql import ClauseElement

from eventstore.statements.postgresql.names import identities_of, name_of_events
from eventstore.tables import Tables

_CLASSES = table(
    "pg_class",
    *[column(name) for name in ("oid", "relname", "reltuples", "relpages", "relam")],
    schema="pg_catalog",
)


_METHODS = table("pg_am", column("oid"), column("amname"), schema="pg_catalog")
_INHERITS = table("pg_inherits", column("inhrelid"), column("inhparent"), schema="pg_catalog")
_INDEXES = table(
    "pg_index",
    *[column(name) for name in ("indexrelid", "indrelid", "indisvalid", "indpred")],
    schema="pg_catalog",
)


def estimated_rows(tables: Tables) -> ClauseElement:
    """Return (table, estimated number of rows) of the tables, and of the parts of the log.

    Like the planner, it multiplies the rows on a page, as of the last ANALYZE or VACUUM, by the current number of
    pages. Only for a table that was never analyzed it uses the statistics' counter of live rows, which can be too high:
    ANALYZE sets it to what it has counted, and the sessions that have stored the rows add them again when they report.
    """
    rows_then, pages_then = _CLASSES.c.reltuples, _CLASSES.c.relpages
    pages_now = cast(func.pg_relation_size(_CLASSES.c.oid), Float) / cast(
        func.current_setting(literal_column("'block_size'")), BigInteger
    )
    is_analyzed = and_(rows_then > literal_column("0"), pages_then > literal_column("0"))
    estimate = case(
        (is_analyzed, rows_then / pages_then * pages_now), else_=func.pg_stat_get_live_tuples(_CLASSES.c.oid)
    )
    return select(cast(_CLASSES.c.relname, Text), cast(estimate, BigInteger).label("rows")).where(_is_ours(tables))


def sizes(tables: Tables) -> ClauseElement:
    """Return (table, index or NULL, bytes) of the tables and parts of the log, and of each of their indexes."""
    index = _CLASSES.alias("index_class")
    of_tables = select(
        cast(_CLASSES.c.relname, Text).label("table"),
        cast(null(), Text).label("index"),
        func.pg_table_size(_CLASSES.c.oid).label("bytes"),
    ).where(_is_ours(tables))
    of_indexes = (
        select(
            cast(_CLASSES.c.relname, Text).label("table"),
            cast(index.c.relname, Text).label("index"),
            func.pg_relation_size(index.c.oid).label("bytes"),
        )
        .select_from(_CLASSES.join(_INDEXES, _INDEXES.c.indrelid == _CLASSES.c.oid))
        .join(index, index.c.oid == _INDEXES.c.indexrelid)
        .where(_is_ours(tables))
    )
    return of_tables.union_all(of_indexes)


def indexed_expressions(tables: Tables) -> ClauseElement:
    """Return (first column or expression) of the B-tree indexes of es_events that have all its rows and are valid."""
    first = func.pg_get_indexdef(_INDEXES.c.indexrelid, literal_column("1"), true())
    b_tree = select(_METHODS.c.oid).where(_METHODS.c.amname == literal_column("'btree'"))
    return (
        select(first.label("first"))
        .select_from(_INDEXES.join(_CLASSES, _CLASSES.c.oid == _INDEXES.c.indexrelid))
        .where(
            _INDEXES.c.indrelid == func.to_regclass(name_of_events(tables)),
            _INDEXES.c.indisvalid,
            _INDEXES.c.indpred.is_(None),
            _CLASSES.c.relam == b_tree.scalar_subquery(),
        )
    )


def database_size(_: Tables) -> ClauseElement:
    """Return the size of the whole database, in bytes."""
    return select(func.pg_database_size(func.current_database()).label("bytes"))


def _is_ours(tables: Tables) -> ColumnElement[bool]:
    """Return whether it is one of the tables, or a part of the log."""
    log = func.to_regclass(name_of_events(tables))
    parts = select(_INHERITS.c.inhrelid).where(_INHERITS.c.inhparent == log)
    return or_(_CLASSES.c.oid.in_(identities_of(tables)), _CLASSES.c.oid.in_(parts))
