"""The statement that reads the end of the log."""

from typing import Final

from sqlalchemy.sql import ClauseElement

from eventstore.statements.text import sql_text
from eventstore.tables import Tables

_LOG_VIEW: Final = """
SELECT
    newest.position,
    newest.event_id,
    newest.stream_id,
    newest.version,
    known.settled_id,
    known.token_id,
    known.drawn
FROM (
    SELECT
        (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled) AS settled_id,
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS token_id,
        (SELECT max(sqlite_sequence.seq) AS seq FROM sqlite_sequence WHERE sqlite_sequence.name = 'es_events') AS drawn
) AS known
LEFT JOIN (
    SELECT newest_event.position, newest_event.event_id, newest_event.stream_id, newest_event.version
    FROM es_events AS newest_event
    ORDER BY newest_event.position DESC
    LIMIT 1
) AS newest ON true
"""


def log_view(tables: Tables) -> ClauseElement:
    """Return the newest event, and the events at two known positions.

    The columns: position, event id, stream id and version of the newest event, NULL if there is none; the ids of the
    events at `settled` and at `token_position`, NULL if there is none; the last position that was drawn, NULL if none
    was.
    """
    return sql_text(_LOG_VIEW, tables)
