"""Looking after a store on PostgreSQL."""

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
    """What differs on PostgreSQL."""

    def positions(self, run: Run) -> Positions | None:
        """Return what the sequence says; None if position has none."""
        return positions_of(run)

    def advance_positions(self, run: Run) -> bool:
        """Set the sequence, while nobody draws from it: otherwise it could be set back by a moment."""
        run(lock_events)
        positions = self.positions(run)
        if positions is None or positions.given >= positions.newest:
            return False
        run(set_last_position, position=positions.newest)
        return True

    def estimate_rows(self, run: Run) -> dict[str, int]:
        """Ask the catalog and the statistics."""
        return dict(run(estimated_rows))

    def sizes(self, run: Run, *, quickly: bool) -> list[Size]:  # noqa: ARG002  # it is quick
        """Ask the catalog."""
        return [Size(*row) for row in run(sizes)]

    def database_bytes(self, run: Run) -> int:
        """Return the size of the database."""
        return int(run(database_size)[0][0])

    def diagnose(self, engine: Engine, run: Run) -> list[Finding]:
        """Look at settings, unfinished transactions, upkeep, and whether a pooler is in between."""
        return diagnose(engine, run)
