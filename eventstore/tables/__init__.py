"""The tables of the store.

They are plain SQLAlchemy tables, so you can read them together with yours: `select(tables.events)`. Write only through
the store, which keeps heads and events consistent. Alembic revisions create them (`eventstore.migrations`); a test
compares both.
"""

from eventstore.common.validation import check_schema_name
from eventstore.tables.definition import (
    BREAKING_VERSION,
    CLOSED_CHECKS,
    ENDS,
    EVENTS_HAVE_TAGS,
    PARTS_CAN_BE_DETACHED,
    SCHEMA_VERSION,
    STREAMS_CAN_END,
    Tables,
    define_tables,
    now,
)

__all__ = [
    "BREAKING_VERSION",
    "CLOSED_CHECKS",
    "ENDS",
    "EVENTS_HAVE_TAGS",
    "PARTS_CAN_BE_DETACHED",
    "SCHEMA_VERSION",
    "STREAMS_CAN_END",
    "Tables",
    "check_schema_name",
    "define_tables",
    "now",
]
