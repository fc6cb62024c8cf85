"""Statements that write heads: the rows of es_streams, one for each stream, at its version.

Each returns the new version; no row on a conflict, nor if the stream has ended: a check refuses that as well, but it
would abort a transaction of the caller's.
"""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, bindparam, literal_column, true, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate, Update

from eventstore.streams import Expectation
from eventstore.tables import ENDS, Tables, now

HeadStatement = Callable[[Tables], ReturningInsert[Any] | ReturningUpdate[Any]]


def write_head(expectation: Expectation) -> HeadStatement:
    """Return the statement that moves a stream on by `count` events, and creates it if need be."""
    return _STATEMENTS[expectation]


def _create_head(tables: Tables) -> ReturningInsert[Any]:
    """Expect no stream. Waits for an unfinished writer who creates the same one; locks nothing where it exists."""
    return _new_head(tables).on_conflict_do_nothing(index_elements=["stream_id"]).returning(tables.streams.c.version)


def _advance_head(tables: Tables) -> ReturningUpdate[Any]:
    """Expect a version. Waits for an unfinished writer of the stream, then looks again."""
    return (
        _advanced_head(tables)
        .where(tables.streams.c.version == bindparam("expected"))
        .returning(tables.streams.c.version)
    )


def _advance_existing_head(tables: Tables) -> ReturningUpdate[Any]:
    """Expect that the stream exists."""
    return (
        _advanced_head(tables).where(tables.streams.c.version > literal_column("0")).returning(tables.streams.c.version)
    )


def _create_or_advance_head(tables: Tables) -> ReturningInsert[Any]:
    """Expect nothing."""
    version = tables.streams.c.version
    return (
        _new_head(tables)
        .on_conflict_do_update(
            index_elements=["stream_id"],
            set_={"version": version + bindparam("count"), "updated_at": now()},
            where=_has_not_ended(tables),
        )
        .returning(version)
    )


def _new_head(tables: Tables) -> Insert:
    return insert(tables.streams).values(stream_id=bindparam("stream_id"), version=bindparam("count"))


def _advanced_head(tables: Tables) -> Update:
    streams = tables.streams
    return (
        update(streams)
        .where(streams.c.stream_id == bindparam("stream_id"), _has_not_ended(tables))
        .values(version=streams.c.version + bindparam("count"), updated_at=now())
    )


def _has_not_ended(tables: Tables) -> ColumnElement[bool]:
    ends = ENDS if tables.streams_can_end else ()
    return and_(true(), *(tables.streams.c[name].is_(None) for name in ends))


# --- append to one stream, on PostgreSQL: head and events in one statement, returning one row (version, position of the
# last event)


# --- append to several streams


_STATEMENTS: Final[dict[Expectation, HeadStatement]] = {
    Expectation.NEW: _create_head,
    Expectation.VERSION: _advance_head,
    Expectation.EXISTING: _advance_existing_head,
    Expectation.NOTHING: _create_or_advance_head,
}
