"""Statements that import events; the events are stored by `append`."""

from sqlalchemy import Text, and_, bindparam, func, literal_column, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.sql import ClauseElement

from eventstore.statements.transfer import imported_head, stored_columns
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


def set_imported_head(tables: Tables) -> ClauseElement:
    """Set a head, or create it (by executemany)."""
    names = ("stream_id", "version", "created_at", "updated_at", "deleted_version", "archived_version")
    row = insert(tables.streams).values({name: bindparam(name) for name in names})
    return row.on_conflict_do_update(index_elements=["stream_id"], set_=imported_head(tables, row.excluded))
