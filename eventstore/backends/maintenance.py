"""What maintenance needs of a database in addition to what the store needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import msgspec
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


@dataclass(frozen=True, slots=True)
class OpenAppend:
    """A transaction that has appended and is still open, so that readers wait for it; or one that was prepared.

    Attributes:
        pid: The process id of its session; None for a prepared transaction.
        prepared: The name of a prepared transaction, which may or may not have appended; None for a session.
        user: Its user; None if this role may not see it.
        application: Its application_name; None if it is unknown.
        state: What its session does, such as `idle in transaction`; None if it is unknown.
        seconds: How long it has been open; None if this role may not see it.
    """

    pid: int | None
    prepared: str | None
    user: str | None
    application: str | None
    state: str | None
    seconds: int | None


class Lookup(Enum):
    """What an index of es_events may lead to; the store creates only that of categories."""

    EVENT_ID = "event_id"
    CORRELATION_ID = "correlation_id"
    CAUSATION_ID = "causation_id"
    CATEGORY = "category"


@dataclass(frozen=True, slots=True)
class TagChange:
    """Other tags for a stored event.

    Attributes:
        position: Its position.
        event_id: Its id, as the database has it.
        before: Its tags so far.
        tags: Its tags from now on.
    """

    position: int
    event_id: Any
    before: Sequence[str]
    tags: Sequence[str]

    @property
    def as_json(self) -> tuple[str, str]:
        """Both as JSON arrays."""
        return msgspec.json.encode(self.before).decode(), msgspec.json.encode(self.tags).decode()


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

    def delete_superfluous_tags(self, run: Run) -> None:
        """Delete the stored tags that no event has, by its metadata and type. All tags are locked."""
        ...

    def restore_tags(self, run: Run, positions: Sequence[int]) -> None:
        """Store the tags in the metadata of events that are not stored. All tags, and the heads, are locked."""
        ...

    def set_tags(self, run: Run, changes: Sequence[TagChange]) -> list[int]:
        """Set the tags in the metadata of events; return the positions of those that have changed.

        All tags, and the heads, are locked, and history changes are permitted. An event is left alone if it is gone, or
        its tags are no longer those that the change was made for.
        """
        ...

    def check_sees_all_rows(self, run: Run) -> None:
        """Check that no row is hidden from the role; a repair would take a hidden event for one that is gone.

        Raises:
            UnsuitableSetting: Row level security is in force.
        """
        ...

    def diagnose(self, engine: Engine, run: Run) -> list[Finding]:
        """Check the server, its settings, and transactions that hold readers back."""
        ...

    def open_appends(self, run: Run) -> list[OpenAppend]:
        """Return the transactions that readers may wait for, the oldest first; empty if the database has none."""
        ...

    def lookups(self, run: Run) -> frozenset[Lookup]:
        """Return what indexes of es_events lead to, for this role, from the catalog."""
        ...
