"""How SQLite imports events."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from eventstore.backends.protocol import EventKey, ImportedHead, Row, Run
from eventstore.rows.mapper import StoredEvent
from eventstore.statements.columns import POSITIONED_COLUMNS, STORED_COLUMNS
from eventstore.statements.sqlite.append import insert_event
from eventstore.statements.sqlite.transfer import find_stored, set_imported_head


class SQLiteLoader:
    """Loads events into SQLite.

    Args:
        from_time: Returns SQLite's text for a time.
    """

    def __init__(self, from_time: Callable[[datetime], str]) -> None:
        self._from_time = from_time

    def find(self, run: Run, keys: Sequence[EventKey]) -> Sequence[Row]:
        """Find the events by one JSON array."""
        return run(find_stored, keys=json.dumps(keys))

    def set_heads(self, run: Run, heads: Sequence[ImportedHead]) -> None:
        """Set the heads one by one, or create them, because no lock has."""
        rows = [
            {
                "stream_id": head.stream_id,
                "version": head.version,
                "created_at": self._from_time(head.created_at),
                "updated_at": self._from_time(head.updated_at),
                "deleted_version": head.deleted_version,
                "archived_version": head.archived_version,
            }
            for head in heads
        ]
        run.many(set_imported_head, rows)

    def store(self, run: Run, events: Sequence[StoredEvent], *, positions: bool) -> None:
        """Insert the events row by row."""
        rows = [self._row(event, positions=positions) for event in events]
        run.many(insert_event(POSITIONED_COLUMNS if positions else STORED_COLUMNS), rows)

    def _row(self, event: StoredEvent, *, positions: bool) -> dict[str, Any]:
        row = {
            "stream_id": event.stream_id,
            "version": event.version,
            "event_id": event.event_id.hex,
            "event_type": event.event_type,
            "schema_version": event.schema_version,
            "codec": event.codec,
            "data": event.data,
            "metadata": event.metadata,
            "recorded_at": self._from_time(event.recorded_at),
        }
        return {**row, "position": event.position} if positions else row

    def keep_appends_out(self, run: Run) -> None:
        """Do nothing, because there is one writer at a time."""

    def continue_positions(self, run: Run) -> None:
        """Do nothing, because AUTOINCREMENT continues after the largest position."""
