"""What looking after a store needs of a database, beside what the store itself needs: another small object."""

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Engine

from eventstore.backends.protocol import Run
from eventstore.findings import Finding


@dataclass(frozen=True, slots=True)
class Positions:
    """How positions are given out.

    Attributes:
        newest: The largest position that is stored, 0 if there is none.
        given: The last one that was given out; the next event gets a larger one.
    """

    newest: int
    given: int


@dataclass(frozen=True, slots=True)
class Size:
    """The space that a table or an index takes.

    Attributes:
        table: The table.
        index: The index; None for the table itself, without its indexes.
        bytes: How many.
    """

    table: str
    index: str | None
    bytes: int


class MaintenanceBackend(Protocol):
    """One kind of database."""

    def positions(self, run: Run) -> Positions | None:
        """Return how positions are given out, None if nothing does so."""
        ...

    def advance_positions(self, run: Run) -> bool:
        """Let positions go on after the newest one that is stored; return whether they did not.

        Args:
            run: In a transaction. No event is appended until it ends.
        """
        ...

    def estimate_rows(self, run: Run) -> dict[str, int]:
        """Return about how many rows the tables have, without counting, by the names of tables."""
        ...

    def sizes(self, run: Run, *, quickly: bool) -> list[Size]:
        """Return the space that tables and indexes take; none if that is not known, or not `quickly`."""
        ...

    def database_bytes(self, run: Run) -> int:
        """Return the space that the whole database takes."""
        ...

    def diagnose(self, engine: Engine, run: Run) -> list[Finding]:
        """Look at the server, its settings, and who is in the way."""
        ...
