"""How PostgreSQL imports events: by COPY, which accepts values for identity columns."""

from collections.abc import Sequence
from typing import Final

from eventstore.backends.postgresql.parameters import COPIED_TYPES, JSONB
from eventstore.backends.protocol import EventKey, ImportedHead, Row, Run
from eventstore.errors import UnsuitableSetting
from eventstore.rows.mapper import StoredEvent
from eventstore.statements.columns import POSITIONED_COLUMNS, STORED_COLUMNS
from eventstore.statements.global_order import newest_position
from eventstore.statements.postgresql.copy import copy_events, row_security
from eventstore.statements.postgresql.lock_table import lock_events
from eventstore.statements.postgresql.positions import continue_positions
from eventstore.statements.postgresql.transfer import find_stored, set_imported_heads

_STORED_TYPES: Final = (*COPIED_TYPES, "timestamptz")


class PostgreSQLLoader:
    """Loads events into PostgreSQL."""

    def find(self, run: Run, keys: Sequence[EventKey]) -> Sequence[Row]:
        """Find the events by two arrays."""
        return run(
            find_stored,
            stream_ids=[stream_id for stream_id, _ in keys],
            versions=[version for _, version in keys],
        )

    def set_heads(self, run: Run, heads: Sequence[ImportedHead]) -> None:
        """Set the heads in one statement."""
        run(
            set_imported_heads,
            stream_ids=[head.stream_id for head in heads],
            versions=[head.version for head in heads],
            created=[head.created_at for head in heads],
            updated=[head.updated_at for head in heads],
            deleted=[head.deleted_version for head in heads],
            archived=[head.archived_version for head in heads],
        )

    def store(self, run: Run, events: Sequence[StoredEvent], *, positions: bool) -> None:
        """Store the events by COPY.

        Raises:
            UnsuitableSetting: Row level security is in force, under which PostgreSQL refuses COPY.
        """
        if run(row_security)[0][0]:
            raise UnsuitableSetting(
                "row level security",
                "is in force on es_events for this role, so PostgreSQL refuses COPY, which imports need to keep the "
                "times of events",
                "import as the owner of the table, or as a role with BYPASSRLS",
            )
        rows = [
            (
                event.stream_id, event.version, event.event_id, event.event_type, event.schema_version, event.codec,
                event.data, None if event.metadata is None else JSONB + event.metadata, event.recorded_at,
                *((event.position,) if positions else ()),
            )
            for event in events
        ]  # fmt: skip
        if positions:
            run(copy_events(POSITIONED_COLUMNS), types=(*_STORED_TYPES, "int8"), rows=rows)
        else:
            run(copy_events(STORED_COLUMNS), types=_STORED_TYPES, rows=rows)

    def keep_appends_out(self, run: Run) -> None:
        """Lock the table against appends, not against reads."""
        run(lock_events)

    def continue_positions(self, run: Run) -> None:
        """Set the sequence to the newest event."""
        run(continue_positions, newest=run(newest_position)[0][0])
