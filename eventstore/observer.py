"""What a store tells of its operations: the seam for tracing and metrics. By default nobody listens."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Final, Literal, Protocol, Self

Operation = Literal["append", "append_many", "read", "load", "execute", "save_snapshot", "load_snapshot", "project"]
"""What is observed.

`append` and `append_many` are the calls of those names. `read` is one page, of a
stream or of the global order; looking whether there is anything new is not observed. `load` and `execute` are a
repository's, `save_snapshot` and `load_snapshot` are what they say, and `project` is one batch of a projection.
"""


class Observation(Protocol):
    """One operation that is under way."""

    def note(self, **figures: int) -> None:
        """Say what has come of the operation.

        Args:
            figures: `events` (appended, read or handled), `conflicts` (appends that `append_many` left out), `attempts`
                (of a command), `snapshot_version` (that loading began with), `dead_letters` (new ones), `lag` (how many
                positions a projection is behind what is settled).
        """
        ...

    def caused_by(self, metadata: Mapping[str, Any]) -> None:
        """Say that the operation is about an event with this metadata: that of a projection, for each event."""
        ...


class Observer(Protocol):
    """Is told of each operation of a store. Thread-safe. What it raises reaches the caller of the operation."""

    def operation(
        self, name: Operation, *, stream_id: str | None = None, projection: str | None = None
    ) -> AbstractContextManager[Observation]:
        """Observe one operation: entered before it begins, left when it has ended, with the error if there was one.

        An append takes the metadata of the context (`metadata_context`) after this was entered.

        Args:
            name: The operation.
            stream_id: Of which stream, where it is of one.
            projection: Of which projection.
        """
        ...

    def waited(self, seconds: float) -> None:
        """Learn for how long a reader of the global order has waited for appends under way."""
        ...


class _Nothing:
    """Observes nothing; one object does for all operations."""

    def operation(
        self,
        name: Operation,  # noqa: ARG002  # whatever it is
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
"""Used if there is no observer. It costs a quarter of a microsecond an operation."""
