"""Statements that take in events as they were stored elsewhere; they are stored by `copy`."""

from sqlalchemy import BigInteger, Text, and_, bindparam, column, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import ClauseElement

from eventstore.statements.transfer import stored_columns
from eventstore.tables import Tables


def find_stored(tables: Tables) -> ClauseElement:
    """Return `stored_columns` of those of some places that are taken."""
    arrays = [bindparam("stream_ids", type_=ARRAY(Text)), bindparam("versions", type_=ARRAY(BigInteger))]
    named = (column("stream_id", Text), column("version", BigInteger))
    wanted = func.unnest(*arrays).table_valued(*named).render_derived("wanted")
    events = tables.events.c
    same = and_(events.stream_id == wanted.c.stream_id.collate("C"), events.version == wanted.c.version)
    return select(*stored_columns(tables)).select_from(tables.events.join(wanted, same))
