"""What looking after a store needs of a database, beside what the store itself needs: another small object."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from sqlalchemy import Engine

from eventstore.backends.protocol import Run


class Level(Enum):
    """How good or bad something is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One line of what `diagnose` says.

    Attributes:
        level: How good or bad it is.
        subject: What was looked at, as `autovacuum`.
        message: What was found.
        advice: What to do; None where it is well.
    """

    level: Level
    subject: str
    message: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Positions:
    """How positions are given out.

    Attributes:
        newest: The largest position that is stored, 0 where there is none.
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
        """Return how positions are given out, None where nothing does so."""
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
        """Return the space that tables and indexes take; none where that is not known, or not `quickly`."""
        ...

    def database_bytes(self, run: Run) -> int:
        """Return the space that the whole database takes."""
        ...

    def diagnose(self, engine: Engine, run: Run) -> list[Diagnosis]:
        """Look at the server, its settings, and who is in the way."""
        ...


def maintenance_backend(engine: Engine) -> MaintenanceBackend:
    """Return it for an engine that a store works with. A driver is imported only where it is used."""
    if engine.dialect.name == "postgresql":
        from eventstore.backends.postgresql.maintenance import PostgreSQLMaintenance  # noqa: PLC0415

        return PostgreSQLMaintenance()
    from eventstore.backends.sqlite.maintenance import SQLiteMaintenance  # noqa: PLC0415

    return SQLiteMaintenance()
