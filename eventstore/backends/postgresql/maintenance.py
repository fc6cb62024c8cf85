"""Maintenance of a store on PostgreSQL."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Engine

from eventstore.backends.maintenance import Positions, Size
from eventstore.backends.postgresql.diagnosis import diagnose
from eventstore.backends.postgresql.positions import positions_of
from eventstore.backends.protocol import Row, Run
from eventstore.findings import Finding
from eventstore.statements.postgresql.lock_table import lock_events
from eventstore.statements.postgresql.positions import set_last_position
from eventstore.statements.postgresql.statistics import database_size, estimated_rows, sizes
from eventstore.statements.postgresql.tag_rows import (
    delete_superfluous_tags,
    missing_tags,
    page_of_tags,
    restore_tags,
)

_LOG: Final = "es_events"


class PostgreSQLMaintenance:
    """How maintenance uses PostgreSQL."""

    def positions(self, run: Run) -> Positions | None:
        """Read the sequence; None if the column `position` has none."""
        return positions_of(run)

    def advance_positions(self, run: Run) -> bool:
        """Set the sequence while es_events is locked, or it could go back behind a position that is drawn meanwhile."""
        run(lock_events)
        positions = self.positions(run)
        if positions is None or positions.last_drawn >= positions.newest:
            return False
        run(set_last_position, position=positions.newest)
        return True

    def estimate_rows(self, run: Run) -> dict[str, int]:
        """Read the catalog and the statistics. The rows of a partitioned log are those of its parts."""
        rows: dict[str, int] = {}
        for table, number in run(estimated_rows):
            name = _LOG if table.startswith(f"{_LOG}_") else table
            rows[name] = rows.get(name, 0) + number
        return rows

    def sizes(self, run: Run, *, quickly: bool) -> list[Size]:  # noqa: ARG002  # it is always quick
        """Read the catalog."""
        return [Size(*row) for row in run(sizes)]

    def database_bytes(self, run: Run) -> int:
        """Return the size of the database."""
        return int(run(database_size)[0][0])

    def missing_tags(self, run: Run, *, after_position: int, up_to_position: int) -> Sequence[Row]:
        """Read the events in a range."""
        return run(missing_tags, after_position=after_position, up_to_position=up_to_position)

    def page_of_tags(self, run: Run, *, after_tag: str, after_position: int, page_size: int) -> Sequence[Row]:
        """Read a page of the primary key."""
        return run(page_of_tags, after_tag=after_tag, after_position=after_position, page_size=page_size)

    def restore_tags(self, run: Run) -> None:
        """Delete what is superfluous, then store what is missing."""
        run(delete_superfluous_tags)
        run(restore_tags)

    def diagnose(self, engine: Engine, run: Run) -> list[Finding]:
        """Check settings, unfinished transactions, upkeep, and whether there is a connection pooler."""
        return diagnose(engine, run)
