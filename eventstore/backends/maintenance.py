"""What maintenance needs of a database in addition to what the store needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Engine

from eventstore.backends.protocol import Row, Run
from eventstore.findings import Finding


@dataclass(frozen=True, slots=True)
class Positions:
    """The state of the sequence of positions.

    Attributes:
        newest: The largest position that is stored; 0 if there is none.
        last_drawn: The last position that was drawn. The next event gets a larger one.
    """

    newest: int
    last_drawn: int


@dataclass(frozen=True, slots=True)
class Size:
    """The space that a table or an index takes.

    Attributes:
        table: The table.
        index: The index; None for the table itself, without its indexes.
        bytes: Its size.
    """

    table: str
    index: str | None
    bytes: int


class MaintenanceBackend(Protocol):
    """How maintenance uses one kind of database."""

    def positions(self, run: Run) -> Positions | None:
        """Return the state of the sequence of positions; None if there is no sequence."""
        ...

    def advance_positions(self, run: Run) -> bool:
        """Set the sequence of positions to the newest event if it is behind; return whether it was behind.

        Args:
            run: In a transaction. No event can be appended until it ends.
        """
        ...

    def estimate_rows(self, run: Run) -> dict[str, int]:
        """Return an estimate of the number of rows of each table, by its name, without counting."""
        ...

    def sizes(self, run: Run, *, quickly: bool) -> list[Size]:
        """Return the sizes of tables and indexes; empty if they are unknown, or can't be found `quickly`."""
        ...

    def database_bytes(self, run: Run) -> int:
        """Return the size of the whole database."""
        ...

    def missing_tags(self, run: Run, *, after_position: int, up_to_position: int) -> Sequence[Row]:
        """Return (position, stream id, version, number of tags) of the events in a range whose tags are not stored."""
        ...

    def page_of_tags(self, run: Run, *, after_tag: str, after_position: int, page_size: int) -> Sequence[Row]:
        """Return (tag, position, whether the event has it) of a page of the stored tags."""
        ...

    def check_sees_all_rows(self, run: Run) -> None:
        """Check that no row is hidden from the role; a repair would take a hidden event for one that is gone.

        Raises:
            UnsuitableSetting: Row level security is in force.
        """
        ...

    def restore_tags(self, run: Run) -> None:
        """Make the stored tags those of the events. All tags are locked."""
        ...

    def diagnose(self, engine: Engine, run: Run) -> list[Finding]:
        """Check the server, its settings, and transactions that hold readers back."""
        ...
