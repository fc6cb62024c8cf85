"""The results of a repository."""

from dataclasses import dataclass, field
from typing import Any, Generic

from eventstore.repository.states import State
from eventstore.tokens import PositionToken


@dataclass(frozen=True, slots=True)
class LoadedAggregate(Generic[State]):
    """A loaded aggregate.

    You may change its state, because every load returns a new object.

    Attributes:
        stream_id: Its stream.
        version: The version of the stream that the state was computed at; 0 if it has no events. `save` expects it.
        state: The state.
        snapshot_version: The version of the snapshot that the load began with; 0 if there was none.
    """

    stream_id: str
    version: int
    state: State
    snapshot_version: int = 0

    @property
    def exists(self) -> bool:
        """Whether the stream has events."""
        return self.version > 0


@dataclass(frozen=True, slots=True)
class SaveResult:
    """The result of a command.

    Attributes:
        stream_id: The stream.
        version: The version of the stream after it.
        position: The position of the last of the events in the global order, which `wait_for` accepts; 0 if there were
            none.
        events: The appended events; empty if there was nothing to do.
        attempts: How often the command was called.
        token: The token of the last of the events, for `EventStore.wait_for`; None if there were none.
    """

    stream_id: str
    version: int
    position: int
    events: tuple[Any, ...]
    attempts: int = 1
    token: PositionToken | None = field(default=None, kw_only=True, repr=False)
