"""Statements that import events; the events are stored by `copy`."""

from sqlalchemy import BigInteger, Text, and_, bindparam, column, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import ClauseElement

from eventstore.statements.transfer import stored_columns
from eventstore.tables import Tables


def find_stored(tables: Tables) -> ClauseElement:
    """Return `stored_columns` of the events with some (stream id, version), in two arrays, that exist."""
    arrays = [bindparam("stream_ids", type_=ARRAY(Text)), bindparam("versions", type_=ARRAY(BigInteger))]
    columns = (column("stream_id", Text), column("version", BigInteger))
    key = func.unnest(*arrays).table_valued(*columns).render_derived("key")
    events = tables.events.c
    same = and_(events.stream_id == key.c.stream_id.collate("C"), events.version == key.c.version)
    return select(*stored_columns(tables)).select_from(tables.events.join(key, same))
