"""Statements of snapshots."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, LargeBinary, SmallInteger, Text, bindparam, select
from sqlalchemy import delete as delete_from
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.dml import Delete

from eventstore.tables import Tables


def save_snapshot(tables: Tables) -> ClauseElement:
    """Save a state at a version that the stream has reached; return the version.

    No row, and nothing is saved, if there is a snapshot of this version or newer, or if the event of that version does
    not exist, so that no state of a deleted stream is kept.
    """
    snapshots, streams, events = tables.snapshots, tables.streams, tables.events
    names = ["stream_id", "schema_version", "version", "codec", "state"]
    types = {
        "stream_id": Text,
        "schema_version": Integer,
        "version": BigInteger,
        "codec": SmallInteger,
        "state": LargeBinary,
    }
    values: list[ColumnElement[Any]] = [bindparam(name, type_=types[name]).label(name) for name in names]
    has_reached = (streams.c.stream_id == bindparam("stream_id")) & (streams.c.version >= bindparam("version"))
    its_event = (events.c.stream_id == streams.c.stream_id) & (events.c.version == bindparam("version"))
    row = select(*values).select_from(streams.join(events, its_event)).where(has_reached)
    statement = insert(snapshots).from_select(names, row, include_defaults=False)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["stream_id", "schema_version"],
        set_={"version": new.version, "codec": new.codec, "state": new.state, "created_at": new.created_at},
        where=snapshots.c.version < new.version,
    ).returning(snapshots.c.version)


def load_snapshot(tables: Tables) -> ClauseElement:
    """Return (version, codec, state, created_at) of a snapshot that is not beyond the head of its stream."""
    snapshots, streams = tables.snapshots.c, tables.streams.c
    return select(snapshots.version, snapshots.codec, snapshots.state, snapshots.created_at).where(
        snapshots.stream_id == bindparam("stream_id"),
        snapshots.schema_version == bindparam("schema_version"),
        streams.stream_id == snapshots.stream_id,
        snapshots.version <= streams.version,
    )


def delete_snapshots(tables: Tables) -> ClauseElement:
    """Delete the snapshots of a stream, of every schema version; return their versions."""
    return _delete_snapshots(tables).returning(tables.snapshots.c.version)


def delete_snapshot(tables: Tables) -> ClauseElement:
    """Delete the snapshot of a stream and schema version; return its version."""
    of_schema_version = tables.snapshots.c.schema_version == bindparam("schema_version")
    return _delete_snapshots(tables).where(of_schema_version).returning(tables.snapshots.c.version)


def _delete_snapshots(tables: Tables) -> Delete:
    return delete_from(tables.snapshots).where(tables.snapshots.c.stream_id == bindparam("stream_id"))
