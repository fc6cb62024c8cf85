"""Statements that import events; the events are stored by `copy`."""

from sqlalchemy import BigInteger, DateTime, Text, and_, bindparam, column, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import ClauseElement

from eventstore.statements.postgresql.append import unnest
from eventstore.statements.transfer import imported_head, stored_columns
from eventstore.tables import Tables


def find_stored(tables: Tables) -> ClauseElement:
    """Return `stored_columns` of the events with some (stream id, version), in two arrays, that exist."""
    arrays = [bindparam("stream_ids", type_=ARRAY(Text)), bindparam("versions", type_=ARRAY(BigInteger))]
    columns = (column("stream_id", Text), column("version", BigInteger))
    key = func.unnest(*arrays).table_valued(*columns).render_derived("key")
    events = tables.events.c
    same = and_(events.stream_id == key.c.stream_id.collate("C"), events.version == key.c.version)
    return select(*stored_columns(tables)).select_from(tables.events.join(key, same))


def set_imported_heads(tables: Tables) -> ClauseElement:
    """Set locked heads, which exist, by arrays."""
    time = DateTime(timezone=True)
    new = unnest(
        "new",
        ("stream_ids", "stream_id", Text()),
        ("versions", "version", BigInteger()),
        ("created", "created_at", time),
        ("updated", "updated_at", time),
        ("deleted", "deleted_version", BigInteger()),
        ("archived", "archived_version", BigInteger()),
    )
    heads = tables.streams
    return update(heads).where(heads.c.stream_id == new.c.stream_id.collate("C")).values(imported_head(tables, new.c))
