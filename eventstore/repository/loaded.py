"""What a repository returns."""

from dataclasses import dataclass
from typing import Any, Generic

from eventstore.repository.states import State


@dataclass(frozen=True, slots=True)
class LoadedAggregate(Generic[State]):
    """An aggregate as it was loaded.

    The state belongs to whoever has loaded it: no other load returns the same object.

    Attributes:
        stream_id: Its stream.
        version: The version of the stream that the state was computed at, 0 if it has no events; `save` appends at
            it.
        state: The state.
        snapshot_version: The version of the snapshot that loading began with, 0 if there was none.
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
    """What a command has done.

    Attributes:
        stream_id: The stream.
        version: Its version now.
        position: The global position of the last of the events, to wait for a projection with; 0 if there were none.
        events: What was appended; empty if there was nothing to do.
        attempts: How often the command was called.
    """

    stream_id: str
    version: int
    position: int
    events: tuple[Any, ...]
    attempts: int = 1
