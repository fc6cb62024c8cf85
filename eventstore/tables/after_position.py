"""The default of es_streams.after_position on PostgreSQL: the newest position when the stream is created.

All events of the stream get higher ones, because positions are drawn when its head exists. So a read of a stream needs
no older part of the log. Who stores events at positions that were drawn before must set it: import and repair do.

This module serves tables that are created directly. Revisions have their own copy, and a test compares the two.
"""

from typing import Final

from sqlalchemy import DDL, Table, event

from eventstore.tables.names import qualified_name

FUNCTION: Final = "pg_sequence_last_value"
"""It needs SELECT or USAGE on the sequence; without, it fails, or returns NULL from PostgreSQL 17 on."""


def default_of(sequence: str) -> str:
    """Return the expression, for the name of the sequence of positions, qualified and quoted."""
    escaped = sequence.replace("'", "''")
    return f"coalesce({FUNCTION}('{escaped}'::regclass), 0)"


def start_streams_at_newest_position(events: Table) -> None:
    """Set the default together with the table of events, whose sequence it needs; forget it before that is dropped."""
    streams = f"ALTER TABLE {qualified_name(events, 'es_streams')} ALTER COLUMN after_position SET DEFAULT "
    sequence = qualified_name(events, "es_events_position_seq")
    for moment, default in (("after_create", default_of(sequence)), ("before_drop", "0")):
        ddl = DDL((streams + default).replace("%", "%%"))  # type: ignore[no-untyped-call]  # SQLAlchemy's
        event.listen(events, moment, ddl.execute_if(dialect="postgresql"))
