"""Statements that take in events as they were stored elsewhere."""

from sqlalchemy import Text, and_, bindparam, func, literal_column, select
from sqlalchemy.sql import ClauseElement

from eventstore.statements.transfer import stored_columns
from eventstore.tables import Tables


def find_stored(tables: Tables) -> ClauseElement:
    """Return `stored_columns` of those of some places, pairs in a JSON array, that are taken."""
    wanted = func.json_each(bindparam("places", type_=Text)).table_valued("value").alias("wanted")
    events = tables.events.c
    same = and_(
        events.stream_id == func.json_extract(wanted.c.value, literal_column("'$[0]'")),
        events.version == func.json_extract(wanted.c.value, literal_column("'$[1]'")),
    )
    return select(*stored_columns(tables)).select_from(tables.events.join(wanted, same))
