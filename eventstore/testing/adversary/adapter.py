"""The interface between the adversary and a store: an adapter of five methods, with its arguments and results."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol, runtime_checkable
from uuid import UUID

KINDS: Final = ("even", "odd")
"""The event types that the adversary writes."""


class Conflict(Exception):
    """Raised by `Adapter.append` if a stream has another version than expected. Nothing was stored."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event to be appended.

    Attributes:
        event_id: Its id, by which a read event is recognised. Store it as the event's id, or in its payload.
        kind: Its event type: `even` or `odd`.
    """

    event_id: UUID
    kind: str


@dataclass(frozen=True, slots=True)
class Write:
    """Events for one stream.

    Attributes:
        stream: The stream's name, such as `order-7`, of at most 40 characters. Names are reused.
        events: One or more events.
        expected_version: The version that the stream must have; 0 if it must not exist; None for any version.
    """

    stream: str
    events: tuple[Event, ...]
    expected_version: int | None


@dataclass(frozen=True, slots=True)
class Delivered:
    """An event as a reader returns it.

    Attributes:
        position: The reader's position after this event, which it needs to continue. It may be any value: the adversary
            only passes it back to `Adapter.read`.
        event_id: The id that it was appended with.
        stream: The name of its stream.
        version: Its version in its stream: 1, 2, 3, …
    """

    position: Any
    event_id: UUID
    stream: str
    version: int


@dataclass(frozen=True, slots=True)
class Reader:
    """A way of reading that the store offers.

    Attributes:
        name: The name that is passed to `Adapter.read`.
        kind: The only event type that it delivers; None for all.
        keeps_position: False for a reader that starts at the position it is given. True for one that stores its
            position and its events, such as a projection: a call of `read` lets it continue, and the result iterates
            over all events that it has stored so far.
    """

    name: str
    kind: str | None = None
    keeps_position: bool = False


class OpenAppend(Protocol):
    """A transaction that the store's user has opened, in which the store appends."""

    def append(self, writes: Sequence[Write]) -> None:
        """Append in this transaction. Raises as `Adapter.append` does."""
        ...

    def execute(self, statement: str) -> None:
        """Execute a statement of SQL on the transaction's connection."""
        ...

    def commit(self) -> None:
        """Commit."""
        ...

    def rollback(self) -> None:
        """Roll back."""
        ...

    def close(self) -> None:
        """Release the connection, and roll back the transaction if it is still open. Raises no errors."""
        ...


@runtime_checkable
class Adapter(Protocol):
    """A store, as the adversary uses it.

    Each thread of each process creates its own adapter, uses it only there, and closes it. The class must be importable
    by its name, because writers are separate processes.

    If a user's transaction can append to the store, its adapter has another method, `open() -> OpenAppend`. With it,
    the adversary keeps transactions open, rolls them back and prepares them. Without it, a proxy stops appends between
    their statements.

    Args:
        url: The URL of the database. It may lead through a proxy on this machine, and it may have a password.
        schema: The schema to work in (PostgreSQL). None: the database was created for the adversary.
    """

    name: ClassVar[str]
    """The name, version and settings of the store, for the report."""

    readers: ClassVar[Sequence[Reader]]
    """The ways of reading to attack, the first of which reads all events."""

    page_size: ClassVar[int]
    """How many events a reader fetches at a time; some attacks put a gap at the edge of a page."""

    takes_schema: ClassVar[bool]
    """Whether it can work in a named schema. Otherwise it gets a database."""

    spans_streams: ClassVar[bool]
    """Whether `append` takes several writes."""

    def __init__(self, url: str, schema: str | None) -> None: ...

    def prepare(self) -> None:
        """Create the tables. Called once, in an empty schema or database."""
        ...

    def append(self, writes: Sequence[Write]) -> None:
        """Append to one stream, or to several in one transaction, which is committed when this returns.

        After a lost answer, the adversary calls it again with the same writes. An idempotent store recognises the event
        ids and returns normally; another one raises `Conflict`.

        Raises:
            Conflict: A stream has another version than expected; nothing was stored.
            Exception: Any other error means that it is unknown whether it was stored.
        """
        ...

    def version(self, stream: str) -> int:
        """Return the version of a stream; 0 if there is no such stream."""
        ...

    def read(self, reader: str, after: Any) -> Iterable[Delivered]:
        """Read the events after a position until there are no more, as an application that uses the store correctly.

        Args:
            reader: The name of one of the `readers`.
            after: The position of the last event delivered to this reader; None to read from the beginning.
        """
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
