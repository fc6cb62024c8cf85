"""Maintenance of a store on PostgreSQL."""

from sqlalchemy import Engine

from eventstore.backends.maintenance import Positions, Size
from eventstore.backends.postgresql.diagnosis import diagnose
from eventstore.backends.postgresql.positions import positions_of
from eventstore.backends.protocol import Run
from eventstore.findings import Finding
from eventstore.statements.postgresql.lock_table import lock_events
from eventstore.statements.postgresql.positions import set_last_position
from eventstore.statements.postgresql.statistics import database_size, estimated_rows, sizes


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
        """Read the catalog and the statistics."""
        return dict(run(estimated_rows))

    def sizes(self, run: Run, *, quickly: bool) -> list[Size]:  # noqa: ARG002  # it is always quick
        """Read the catalog."""
        return [Size(*row) for row in run(sizes)]

    def database_bytes(self, run: Run) -> int:
        """Return the size of the database."""
        return int(run(database_size)[0][0])

    def diagnose(self, engine: Engine, run: Run) -> list[Finding]:
        """Check settings, unfinished transactions, upkeep, and whether there is a connection pooler."""
        return diagnose(engine, run)
