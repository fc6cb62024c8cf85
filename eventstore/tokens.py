"""What a reader keeps that remembers by itself how far it has come."""

from dataclasses import dataclass
from typing import Self
from uuid import UUID

from eventstore.common.validation import check_number, check_stream_id
from eventstore.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class PositionToken:
    """A position in the global order, and which event stands there.

    Keep it instead of the bare position, outside of the log's database above all: if the log goes back, because of a
    failover or of a restore from a backup, new events get positions that have been read already. A read after a
    position skips them. A read after a token is refused, by `LogWentBack`.

    `str(token)` is a text to keep, of up to 330 characters; `parse` reads it.

    Attributes:
        position: The position of the event, from 1.
        event_id: The event that was read there.
        stream_id: Its stream.
        version: Its place in the stream, from 1.

    Raises:
        InvalidInput: A part of it can't be right.

    Example:
        ```python
        for event in store.read_all(after_position=token):
            token = event.token
        ```
    """

    position: int
    event_id: UUID
    stream_id: str
    version: int

    def __post_init__(self) -> None:
        check_number("position", self.position, minimum=1)
        check_number("version", self.version, minimum=1)
        check_stream_id(self.stream_id)
        if not isinstance(self.event_id, UUID):
            msg = f"event_id is a uuid.UUID, not {type(self.event_id).__name__}"
            raise InvalidInput(msg)

    def __str__(self) -> str:
        return f"{self.position}:{self.event_id}:{self.version}:{self.stream_id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the token of a text that `str(token)` has given.

        Raises:
            InvalidInput: It is another text.
        """
        try:
            position, event_id, version, stream_id = text.split(":", 3)
            return cls(int(position), UUID(event_id), stream_id, int(version))
        except (AttributeError, ValueError):
            msg = "this is not the text of a PositionToken, which is position:event id:version:stream id"
            raise InvalidInput(msg) from None


@dataclass(frozen=True, slots=True)
class After:
    """Where a reader goes on.

    Attributes:
        position: Exclusive: events of higher positions are to be read.
        token: The last event that the reader knows of, at or before that position; None if it knows of none.
    """

    position: int
    token: PositionToken | None = None

    @classmethod
    def of(cls, after_position: "int | PositionToken | After") -> "After":
        """Return where a reader goes on that has kept a token, or a bare position.

        Raises:
            InvalidInput: It is neither, or the position is not between 0 and 2^63-1.
        """
        if isinstance(after_position, After):
            return after_position
        if isinstance(after_position, PositionToken):
            return cls(after_position.position, after_position)
        if isinstance(after_position, bool) or not isinstance(after_position, int):
            msg = f"after_position is a PositionToken or an integer, not {type(after_position).__name__}"
            raise InvalidInput(msg)
        return cls(check_number("after_position", after_position))


START = After(0)
"""From the first event."""
