"""How PostgreSQL takes in events as they were stored elsewhere: by COPY, which gives identity columns their values."""

from collections.abc import Sequence
from typing import Final

from eventstore import statements
from eventstore.backends.postgresql_parameters import COPIED_TYPES, JSONB
from eventstore.backends.protocol import Place, Row, Run
from eventstore.errors import UnsuitableSetting
from eventstore.rows import StoredEvent

_STORED_TYPES: Final = (*COPIED_TYPES, "timestamptz")


class PostgreSQLLoader:
    """Loads events into PostgreSQL."""

    def find(self, run: Run, places: Sequence[Place]) -> Sequence[Row]:
        """Find by two arrays."""
        return run(
            statements.find_stored,
            stream_ids=[stream_id for stream_id, _ in places],
            versions=[version for _, version in places],
        )

    def store(self, run: Run, events: Sequence[StoredEvent], *, positions: bool) -> None:
        """Copy.

        Raises:
            UnsuitableSetting: Row level security is in force, under which PostgreSQL refuses to.
        """
        if run(statements.row_security)[0][0]:
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
            run(statements.copy_positioned_events, types=(*_STORED_TYPES, "int8"), rows=rows)
        else:
            run(statements.copy_stored_events, types=_STORED_TYPES, rows=rows)

    def keep_appends_out(self, run: Run) -> None:
        """Lock the table; reads go on."""
        run(statements.lock_events)

    def continue_positions(self, run: Run) -> None:
        """Set the sequence."""
        run(statements.continue_positions)
