"""Tokens: a position with the event at it, for readers who keep their position themselves."""

from dataclasses import dataclass
from typing import Protocol, Self
from uuid import UUID

from eventstore.common.validation import check_number, check_stream_id
from eventstore.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class PositionToken:
    """A position in the global order, together with the event at it.

    Keep it instead of the bare position, especially outside the log's database. If the log goes back, because of a
    failover or a restore from a backup, new events get positions that were already read. A read after a bare position
    skips them; a read after a token raises `LogWentBack`.

    `str(token)` is a text of up to 330 characters to store, and `parse` reads it.

    Attributes:
        position: The position of the event, from 1.
        event_id: The id of the event.
        stream_id: The stream of the event.
        version: The version of the event in its stream, from 1.

    Raises:
        InvalidInput: A part of it is not valid.

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
            msg = f"event_id must be a uuid.UUID, not {type(self.event_id).__name__}"
            raise InvalidInput(msg)

    def __str__(self) -> str:
        return f"{self.position}:{self.event_id}:{self.version}:{self.stream_id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the token from the text that `str(token)` has returned.

        Raises:
            InvalidInput: The text is not one of a token.
        """
        try:
            position, event_id, version, stream_id = text.split(":", 3)
            return cls(int(position), UUID(event_id), stream_id, int(version))
        except (AttributeError, ValueError):
            msg = "the text is not that of a PositionToken, which is position:event id:version:stream id"
            raise InvalidInput(msg) from None


class HasToken(Protocol):
    """What has the token of an event: an `AppendResult`, a `SaveResult`, a `DecisionResult`, a `RecordedEvent`."""

    @property
    def token(self) -> PositionToken | None:
        """The token; None if there is no event."""
        ...


def token_of(at_least: PositionToken | HasToken | None) -> PositionToken | None:
    """Return the token of what a caller has; None if there is no event.

    Raises:
        InvalidInput: It has none. A bare position does not name an event.
    """
    token = at_least if isinstance(at_least, PositionToken | None) else getattr(at_least, "token", at_least)
    if not isinstance(token, PositionToken | None):
        msg = (
            "at_least must be the result of an append or of a repository, an event, or a PositionToken, "
            f"not {type(at_least).__name__}"
        )
        raise InvalidInput(msg)
    return token


@dataclass(frozen=True, slots=True)
class After:
    """Where a reader continues.

    Attributes:
        position: Exclusive; the reader reads events of higher positions.
        token: The last event that the reader knows, at or before that position; None if it knows none.
    """

    position: int
    token: PositionToken | None = None

    @classmethod
    def of(cls, after_position: "int | PositionToken | After") -> "After":
        """Return where a reader continues that has kept a token, or a bare position.

        Raises:
            InvalidInput: The argument is neither, or the position is not between 0 and 2^63-1.
        """
        if isinstance(after_position, After):
            return after_position
        if isinstance(after_position, PositionToken):
            return cls(after_position.position, after_position)
        if isinstance(after_position, bool) or not isinstance(after_position, int):
            msg = f"after_position must be a PositionToken or an integer, not {type(after_position).__name__}"
            raise InvalidInput(msg)
        return cls(check_number("after_position", after_position))


START = After(0)
"""From the first event."""
