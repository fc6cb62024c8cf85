"""Statements that export and import rows unchanged, with their times, and with their positions if requested."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Text, bindparam, case, cast, literal_column, select
from sqlalchemy import update as update_table
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement

from eventstore.tables import Tables


def stored_columns(tables: Tables) -> list[ColumnElement[Any]]:
    """Return the columns by which an import decides whether a stored event is the same as the imported one."""
    names = ("stream_id", "version", "event_id", "event_type", "schema_version", "codec", "data", "position")
    return [*(tables.events.c[name] for name in names), cast(tables.events.c.metadata, Text).label("metadata")]


class _SourceName(ColumnElement[str]):
    """The name of the source in the metadata of an event that was imported from a table of another program."""

    inherit_cache = False
    type = Text()


@compiles(_SourceName, "postgresql")
def _on_postgresql(*_: Any, **__: Any) -> str:
    return "(metadata -> '$imported' ->> 'from')"


@compiles(_SourceName, "sqlite")
def _on_sqlite(*_: Any, **__: Any) -> str:
    return """json_extract(metadata, '$."$imported".from')"""


def newest_from_source(tables: Tables) -> ClauseElement:
    """Return the metadata of the newest event that was imported from a source, searching backwards in the log."""
    events = tables.events.c
    return (
        select(cast(events.metadata, Text).label("metadata"))
        .where(_SourceName() == bindparam("source", type_=Text))
        .order_by(events.position.desc())
        .limit(literal_column("1"))
    )


def imported_head(tables: Tables, new: Any) -> dict[str, Any]:
    """Return the columns of a locked head after an import; only at version 0 it gets the time of its creation.

    Args:
        tables: The tables.
        new: The new values, by the names of the columns.
    """
    head = tables.streams.c
    return {
        "version": new.version,
        "created_at": case((head.version == literal_column("0"), new.created_at), else_=head.created_at),
        "updated_at": new.updated_at,
        "deleted_version": new.deleted_version,
        "archived_version": new.archived_version,
    }


def begin_stream_before(tables: Tables) -> ClauseElement:
    """Let the parts of the log from `position` on be searched for a stream (by executemany).

    Events that keep their positions can be below those that were drawn when the head was created.
    """
    head, position = tables.streams.c, bindparam("position", type_=BigInteger)
    return (
        update_table(tables.streams)
        .where(head.stream_id == bindparam("of_stream", type_=Text), head.after_position >= position)
        .values(after_position=position - literal_column("1"))
    )


def set_times_of_stream(tables: Tables) -> ClauseElement:
    """Set when a stream was created and, if it is at `at_version`, when it was last appended to (by executemany)."""
    head = tables.streams.c
    is_the_same = head.version == bindparam("at_version", type_=BigInteger)
    return (
        update_table(tables.streams)
        .where(head.stream_id == bindparam("of_stream", type_=Text))
        .values(
            created_at=bindparam("created_at"),
            updated_at=case((is_the_same, bindparam("updated_at")), else_=head.updated_at),
        )
    )


def page_of_snapshots(tables: Tables) -> ClauseElement:
    """Return a page of snapshots, by stream id and schema version."""
    snapshots = tables.snapshots.c
    after = bindparam("after_stream_id", type_=Text)
    is_later = snapshots.schema_version > bindparam("after_schema_version")
    names = ("stream_id", "schema_version", "version", "codec", "state", "created_at")
    return (
        select(*[snapshots[name] for name in names])
        .where((snapshots.stream_id > after) | ((snapshots.stream_id == after) & is_later))
        .order_by(snapshots.stream_id, snapshots.schema_version)
        .limit(bindparam("page_size", type_=BigInteger))
    )


def insert_snapshot(tables: Tables) -> ClauseElement:
    """Insert a snapshot unchanged, unless there is one of the same version or newer (by executemany)."""
    names = ("stream_id", "schema_version", "version", "codec", "state", "created_at")
    row = insert(tables.snapshots).values({name: bindparam(name) for name in names})
    new = row.excluded
    return row.on_conflict_do_update(
        index_elements=["stream_id", "schema_version"],
        set_={name: new[name] for name in names[2:]},
        where=tables.snapshots.c.version < new.version,
    )
