"""The tables: the only file that spells a column.

They are plain SQLAlchemy tables, for reading along with your own: `select(tables.events)` works. To write, use the
store: it keeps heads and events in step. Alembic revisions create them (`eventstore.migrations`); a test keeps both the
same.
"""

from eventstore.common.validation import check_schema_name
from eventstore.tables.definition import (
    ARCHIVED_CHECK,
    BREAKING_VERSION,
    DELETED_CHECK,
    ENDS,
    SCHEMA_VERSION,
    STREAMS_CAN_END,
    Tables,
    define_tables,
    now,
)

__all__ = [
    "ARCHIVED_CHECK",
    "BREAKING_VERSION",
    "DELETED_CHECK",
    "ENDS",
    "SCHEMA_VERSION",
    "STREAMS_CAN_END",
    "Tables",
    "check_schema_name",
    "define_tables",
    "now",
]
