"""Statements that import events."""

from sqlalchemy import Text, and_, bindparam, func, literal_column, select
from sqlalchemy.sql import ClauseElement

from eventstore.statements.transfer import stored_columns
from eventstore.tables import Tables


def find_stored(tables: Tables) -> ClauseElement:
    """Return `stored_columns` of the events with some keys, pairs in a JSON array, that exist."""
    keys = func.json_each(bindparam("keys", type_=Text)).table_valued("value").alias("keys")
    events = tables.events.c
    same = and_(
        events.stream_id == func.json_extract(keys.c.value, literal_column("'$[0]'")),
        events.version == func.json_extract(keys.c.value, literal_column("'$[1]'")),
    )
    return select(*stored_columns(tables)).select_from(tables.events.join(keys, same))
