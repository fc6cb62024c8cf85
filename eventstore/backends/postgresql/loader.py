"""How PostgreSQL takes in events as they were stored elsewhere: by COPY, which gives identity columns their values."""

from collections.abc import Sequence
from typing import Final

from eventstore.backends.postgresql.parameters import COPIED_TYPES, JSONB
from eventstore.backends.protocol import Place, Row, Run
from eventstore.errors import UnsuitableSetting
from eventstore.rows.mapper import StoredEvent
from eventstore.statements.columns import POSITIONED_COLUMNS, STORED_COLUMNS
from eventstore.statements.postgresql.copy import copy_events, row_security
from eventstore.statements.postgresql.lock_table import lock_events
from eventstore.statements.postgresql.positions import continue_positions
from eventstore.statements.postgresql.transfer import find_stored

_STORED_TYPES: Final = (*COPIED_TYPES, "timestamptz")


class PostgreSQLLoader:
    """Loads events into PostgreSQL."""

    def find(self, run: Run, places: Sequence[Place]) -> Sequence[Row]:
        """Find by two arrays."""
        return run(
            find_stored,
            stream_ids=[stream_id for stream_id, _ in places],
            versions=[version for _, version in places],
        )

    def store(self, run: Run, events: Sequence[StoredEvent], *, positions: bool) -> None:
        """Copy.

        Raises:
            UnsuitableSetting: Row level security is in force, under which PostgreSQL refuses to.
        """
        if run(row_security)[0][0]:
            raise UnsuitableSetting(
                "row level security",
                "is in force on es_events for this role, and events that keep their times are stored by COPY, which "
                "PostgreSQL refuses then",
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
        """Lock the table; reads go on."""
        run(lock_events)

    def continue_positions(self, run: Run) -> None:
        """Set the sequence."""
        run(continue_positions)
