"""What all checks share: where they read, in batches of which size, and where they report their progress."""

from dataclasses import dataclass
from typing import Self, cast

from eventstore.backends import maintenance_backend
from eventstore.backends.maintenance import MaintenanceBackend
from eventstore.backends.protocol import Dialect
from eventstore.common.validation import check_number
from eventstore.core.execution import OwnConnections
from eventstore.maintenance.progress import OnProgress, Part, Place, Progress
from eventstore.store import EventStore, check_store


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the checks of one run need to read a store.

    Attributes:
        execution: Where statements run. It does not require a matching schema, because the schema is checked, too.
        dialect: The store's dialect.
        maintenance: The maintenance backend of the same database.
        batch_size: How many rows or streams a batch has.
        on_progress: Called with a `Progress` after each batch; None if nothing is called.
        totals: An estimate of the number of rows of each part.
    """

    execution: OwnConnections
    dialect: Dialect
    maintenance: MaintenanceBackend
    batch_size: int
    on_progress: OnProgress | None
    totals: dict[Part, int]

    @classmethod
    def of(cls, store: EventStore, *, batch_size: int = 1000, on_progress: OnProgress | None = None) -> Self:
        """Return the inspection of a store.

        Raises:
            InvalidInput: `store` is not a store, or is joined to a transaction; or the batch size is not a number of
                at least 1.
        """
        check_store(store)
        maintenance = maintenance_backend(store.engine)  # a store without an engine says what to use instead
        execution = cast("OwnConnections", store.core.execution)
        return cls(
            execution=execution.without_gate(),
            dialect=store.core.dialect,
            maintenance=maintenance,
            batch_size=check_number("batch_size", batch_size, minimum=1),
            on_progress=on_progress,
            totals={},
        )

    def estimate_totals(self) -> None:
        """Estimate the number of rows of each part, if progress is reported."""
        if self.on_progress is None:
            return
        tables = self.dialect.tables
        with self.execution.statement() as run:
            rows = self.maintenance.estimate_rows(run)
        self.totals[Part.STREAMS] = rows[tables.streams.name]
        self.totals[Part.EVENTS] = rows[tables.events.name]
        self.totals[Part.SNAPSHOTS] = rows[tables.snapshots.name]
        self.totals[Part.DEAD_LETTERS] = rows[tables.dead_letters.name]

    def report_progress(self, place: Place, done: int) -> None:
        """Call `on_progress`, if there is one.

        Args:
            place: The end of the last batch.
            done: How many rows of this part were checked.
        """
        if self.on_progress is not None:
            self.on_progress(Progress(place, done, max(done, self.totals.get(place.part, 0))))
