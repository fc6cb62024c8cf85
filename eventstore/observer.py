"""The observer of a store's operations, for tracing and metrics. By default there is none."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal, Protocol, Self

Operation = Literal["append", "append_many", "read", "load", "execute", "save_snapshot", "load_snapshot", "project"]
"""The operations that are observed.

`append` and `append_many` are the calls of those names. `read` is one page, of a stream or of the global order, or a
boundary; polls that find nothing new are not observed. `load` and `execute` are the calls of a repository,
`save_snapshot` and `load_snapshot` save and load one snapshot, and `project` is one batch of a projection.
"""


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """The database of a store, as far as the configuration says; the database itself is not asked.

    Attributes:
        system: `postgresql` or `sqlite`.
        database: The name of the database, or SQLite's file; None if the driver's default decides, or it is in memory.
        schema: The PostgreSQL schema that the store names; None if the search path decides, and on SQLite.
        host: The host, or the folder of the socket; None if the driver's default decides, or there are several.
        port: The port; None if the driver's default decides.
    """

    system: str
    database: str | None = None
    schema: str | None = None
    host: str | None = None
    port: int | None = None


def configured_address(
    system: str, *, database: object, schema: str | None, host: object, port: object
) -> DatabaseAddress:
    """Return the address from the values of a configuration, in which what is empty or None is not set."""
    return DatabaseAddress(
        system,
        str(database) if database else None,
        schema,
        str(host) if host and "," not in str(host) else None,
        int(str(port)) if str(port).isdecimal() else None,
    )


class Observation(Protocol):
    """One operation that is under way."""

    def note(self, **figures: int) -> None:
        """Receive figures about the operation.

        Args:
            figures: `events` (appended, read or handled), `conflicts` (appends that `append_many` has skipped),
                `attempts` (of a command), `snapshot_version` (that the load began with), `dead_letters` (new ones),
                `lag` (how many positions a projection is behind what is settled).
        """
        ...

    def caused_by(self, metadata: Mapping[str, Any]) -> None:
        """Receive the metadata of an event that the operation handles; called by projections, for each event."""
        ...


class Observer(Protocol):
    """Is called for each operation of a store. Must be thread-safe. Its errors reach the caller of the operation."""

    def operation(
        self, name: Operation, *, stream_id: str | None = None, projection: str | None = None
    ) -> AbstractContextManager[Observation]:
        """Return a context manager around one operation, which receives its error if it fails.

        An append reads the metadata of the context (`metadata_context`) after entering it.

        Args:
            name: The operation.
            stream_id: The stream; None if the operation is not about one stream.
            projection: The projection; None if the operation is not about one.
        """
        ...

    def waited(self, seconds: float) -> None:
        """Receive how long a reader of the global order has waited for appends under way."""
        ...


class _Nothing:
    """Observes nothing. The same object serves all operations."""

    def operation(
        self,
        name: Operation,  # noqa: ARG002  # not used
        *,
        stream_id: str | None = None,  # noqa: ARG002
        projection: str | None = None,  # noqa: ARG002
    ) -> "_Nothing":
        return self

    def waited(self, seconds: float) -> None:
        pass

    def note(self, **figures: int) -> None:
        pass

    def caused_by(self, metadata: Mapping[str, Any]) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


NO_OBSERVER: Final[Observer] = _Nothing()
"""Stands for no observer. It costs a quarter of a microsecond for each operation."""


class SharedObserver:
    """The observer of a store, and of all stores that were or will be made from it, such as joined ones.

    Attributes:
        current: The observer at this moment.
    """

    __slots__ = ("current",)

    def __init__(self) -> None:
        self.current: Observer = NO_OBSERVER

    def operation(
        self, name: Operation, *, stream_id: str | None = None, projection: str | None = None
    ) -> AbstractContextManager[Observation]:
        """Call the current observer."""
        return self.current.operation(name, stream_id=stream_id, projection=projection)

    def waited(self, seconds: float) -> None:
        """Call the current observer."""
        self.current.waited(seconds)
