"""Statements that write heads: the rows of es_streams, one for each stream, with its version.

Each returns the new version, or no row on a conflict, or if the stream was deleted or archived. A check constraint
refuses the latter, too, but would abort the caller's transaction.
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
    """Return the statement that advances a head by `count` events, and creates it if that is expected."""
    return _STATEMENTS[expectation]


def _create_head(tables: Tables) -> ReturningInsert[Any]:
    """Expect no stream. Waits for a concurrent writer who creates the same one; locks nothing if it exists."""
    return _new_head(tables).on_conflict_do_nothing(index_elements=["stream_id"]).returning(tables.streams.c.version)


def _advance_head(tables: Tables) -> ReturningUpdate[Any]:
    """Expect a version. Waits for a concurrent writer of the stream, then compares again."""
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
    version, new = tables.streams.c.version, _new_head(tables)
    return new.on_conflict_do_update(
        index_elements=["stream_id"],
        set_={"version": version + bindparam("count"), "updated_at": new.excluded.updated_at},
        where=_has_not_ended(tables),
    ).returning(version)


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
    ends = ENDS if tables.layout.streams_can_end else ()
    return and_(true(), *(tables.streams.c[name].is_(None) for name in ends))


_STATEMENTS: Final[dict[Expectation, HeadStatement]] = {
    Expectation.NEW: _create_head,
    Expectation.VERSION: _advance_head,
    Expectation.EXISTING: _advance_existing_head,
    Expectation.NOTHING: _create_or_advance_head,
}
