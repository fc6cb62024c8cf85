"""What the adversary needs of a store: an adapter of five methods, and the values that it takes and gives."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol, runtime_checkable
from uuid import UUID

KINDS: Final = ("even", "odd")
"""The event types that the adversary writes."""


class Conflict(Exception):
    """Raised by `Adapter.append` if the stream has another version than expected. Nothing was stored."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event to be appended.

    Attributes:
        event_id: By which it is recognised when it is read. Store it as the event's id, or in its payload.
        kind: Its event type: `even` or `odd`.
    """

    event_id: UUID
    kind: str


@dataclass(frozen=True, slots=True)
class Write:
    """Events for one stream.

    Attributes:
        stream: The stream's name, such as `order-7`, of at most 40 characters. Names occur again and again.
        events: One or more.
        expected_version: The version that the stream must have, 0 if it must not exist. None: whichever it has.
    """

    stream: str
    events: tuple[Event, ...]
    expected_version: int | None


@dataclass(frozen=True, slots=True)
class Delivered:
    """An event as a reader gets it.

    Attributes:
        position: Where the reader is after this event: what it has to keep to go on from there. Any value; the
            adversary gives it back to `Adapter.read` and does nothing else with it.
        event_id: The id that it was appended with.
        stream: The name of its stream.
        version: Its place in its stream: 1, 2, 3, …
    """

    position: Any
    event_id: UUID
    stream: str
    version: int


@dataclass(frozen=True, slots=True)
class Reader:
    """A way of reading that the store offers.

    Attributes:
        name: Given to `Adapter.read`.
        kind: The only event type that it delivers. None: all.
        keeps_position: False for a reader that remembers nothing but what it is given. True for one that stores by
            itself how far it has come and what it was given, as a projection does: the call of `read` lets it go on,
            and whoever iterates over the result gets everything that it has been given so far.
    """

    name: str
    kind: str | None = None
    keeps_position: bool = False


class OpenAppend(Protocol):
    """A transaction that the store's user has opened, and that the store appends in."""

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
        """Give the connection back; if the transaction is open still, roll it back. Raises nothing."""
        ...


@runtime_checkable
class Adapter(Protocol):
    """A store, as the adversary uses it.

    Each process and each thread makes one of its own, uses it from that thread only, and closes it. The class must be
    importable by its name, because writers are processes of their own.

    A store in which a user's own transaction can append has one more method, `open() -> OpenAppend`. With it, the
    adversary keeps transactions open, rolls them back and prepares them. Without it, it stops appends between their
    statements on their way through a proxy.

    Args:
        url: Of the database to work in. It may lead through a proxy on this machine, and it may have a password.
        schema: The schema to work in (PostgreSQL). None: the database is the adversary's own.
    """

    name: ClassVar[str]
    """What it is, with its version and settings: for the report."""

    readers: ClassVar[Sequence[Reader]]
    """The ways of reading to attack, the first of which reads all events."""

    page_size: ClassVar[int]
    """How many events a reader fetches at a time: some attacks put a hole at the edge of a page."""

    takes_schema: ClassVar[bool]
    """Whether it can work in a schema that is named. Otherwise it gets a database."""

    spans_streams: ClassVar[bool]
    """Whether `append` takes several writes."""

    def __init__(self, url: str, schema: str | None) -> None: ...

    def prepare(self) -> None:
        """Make the tables. Called once, in an empty schema or database."""
        ...

    def append(self, writes: Sequence[Write]) -> None:
        """Append to one stream, or to several in one transaction: all or nothing, committed when this returns.

        The adversary calls it again with the same writes after a lost answer. A store that recognises the event ids
        returns then as if it had stored them now; one that does not raises `Conflict`.

        Raises:
            Conflict: A stream has another version than expected; nothing was stored.
            Exception: Any other error means that it is unknown whether it was stored.
        """
        ...

    def version(self, stream: str) -> int:
        """Return the version of a stream, 0 if there is none."""
        ...

    def read(self, reader: str, after: Any) -> Iterable[Delivered]:
        """Read on after a position, as an application that uses the store as it should be used, until there is no more.

        Args:
            reader: The name of one of the `readers`.
            after: The position of the last event delivered to this reader; None: from the beginning.
        """
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
