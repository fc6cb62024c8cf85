"""What all checks share: where they read, in batches of which size, and whom they tell how far they are."""

from dataclasses import dataclass
from typing import Self

from eventstore.backends import maintenance_backend
from eventstore.backends.maintenance import MaintenanceBackend
from eventstore.backends.protocol import Dialect
from eventstore.common.validation import check_number
from eventstore.core.execution import OwnConnections
from eventstore.errors import InvalidInput
from eventstore.maintenance.progress import Part, Place, Progress, Report
from eventstore.store import EventStore


@dataclass(frozen=True, slots=True)
class Inspection:
    """One look at a store.

    Attributes:
        execution: Where statements run. It does not ask whether the schema fits: that is among what is looked at.
        dialect: The store's.
        maintenance: Of the same database.
        batch_size: How many rows, or streams, a batch has.
        report: Called with a `Progress` after each batch; None where nobody asks.
        totals: About how many rows there are of each part.
    """

    execution: OwnConnections
    dialect: Dialect
    maintenance: MaintenanceBackend
    batch_size: int
    report: Report | None
    totals: dict[Part, int]

    @classmethod
    def of(cls, store: EventStore, *, batch_size: int = 1000, report: Report | None = None) -> Self:
        """Return one of a store.

        Raises:
            InvalidInput: It is not a store, or joined to a transaction; or the batch size is no number from 1.
        """
        msg = "store is an EventStore that is not joined to a transaction: pass the application's own"
        if not isinstance(store, EventStore) or store.core.execution.is_joined:
            raise InvalidInput(msg)
        store.engine  # noqa: B018  # a store without one says what to use instead
        execution = store.core.execution
        if not isinstance(execution, OwnConnections):
            raise InvalidInput(msg)
        return cls(
            execution=execution.without_gate(),
            dialect=store.core.dialect,
            maintenance=maintenance_backend(store.engine),
            batch_size=check_number("batch_size", batch_size, minimum=1),
            report=report,
            totals={},
        )

    def estimate_totals(self) -> None:
        """Look how many rows there are, where anybody asks."""
        if self.report is None:
            return
        tables = self.dialect.tables
        with self.execution.statement() as run:
            rows = self.maintenance.estimate_rows(run)
        self.totals[Part.STREAMS] = rows[tables.streams.name]
        self.totals[Part.EVENTS] = rows[tables.events.name]
        self.totals[Part.SNAPSHOTS] = rows[tables.snapshots.name]
        self.totals[Part.DEAD_LETTERS] = rows[tables.dead_letters.name]

    def tell(self, place: Place, done: int) -> None:
        """Tell how far it has come."""
        if self.report is not None:
            self.report(Progress(place, done, max(done, self.totals.get(place.part, 0))))
