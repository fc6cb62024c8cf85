"""Events, appends and their results: values, without I/O."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic
from uuid import UUID

import msgspec

from eventstore.common.notebook_html import thing_html
from eventstore.common.validation import (
    MAX_VERSION,
    check_event_type,
    check_schema_version,
    check_stream_id,
    check_tags,
)
from eventstore.errors import (
    InvalidEvent,
    InvalidExpectedVersion,
    InvalidInput,
    InvalidMetadata,
    StreamArchived,
    StreamClosed,
    StreamDeleted,
)
from eventstore.streams import Expected, ExpectedVersion, category_of
from eventstore.tokens import PositionToken

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Data_co = TypeVar("Data_co", default=Any, covariant=True)
else:  # the default is needed by type checkers only; Python has it from 3.13
    from typing import TypeVar

    Data_co = TypeVar("Data_co", covariant=True)

STREAM_DELETED_EVENT: Final = "$stream-deleted"
"""The type of the event that `EventStore.delete_stream` leaves: data `{"reason": …, "reusable": …}`."""

STREAM_ARCHIVED_EVENT: Final = "$stream-archived"
"""The type of the event that `EventStore.archive_stream` leaves: data `{"reason": …, "reusable": False}`."""

TOMBSTONE_ERRORS: Final = {STREAM_DELETED_EVENT: StreamDeleted, STREAM_ARCHIVED_EVENT: StreamArchived}
"""The error for each type of tombstone: raised by an append to a stream that ends with one."""


def tombstone_error(event_type: str, data: Any) -> type[StreamClosed] | None:
    """Return the error for an append to a stream whose last event this is; None if the stream takes more events."""
    error = TOMBSTONE_ERRORS.get(event_type)
    return None if error is None or (isinstance(data, Mapping) and data.get("reusable") is True) else error


_UUID7_RANDOM: Final = 0x0FFF_3FFF_FFFF_FFFF_FFFF
_UUID7_VERSION: Final = 0x7000_8000_0000_0000_0000


def uuid7() -> UUID:
    """Return a new UUID of version 7: 48 bits of milliseconds, then 74 random bits (RFC 9562, section 5.7).

    Ids made later sort later, to the millisecond.
    """
    milliseconds = time.time_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF
    return UUID(int=milliseconds << 80 | int.from_bytes(os.urandom(10)) & _UUID7_RANDOM | _UUID7_VERSION)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to append.

    It gets its event id when it is made. Appending the same object again, for example after a lost connection, is
    therefore idempotent: the store recognises the duplicate and stores nothing twice.

    Attributes:
        event_type: The name of what happened, 1 to 255 characters, such as `order-placed`.
        data: Any value that the codec can store exactly, usually a mapping.
        event_id: Defaults to a new UUIDv7.
        metadata: JSON values by string keys, such as who, why and in which request. Added to the metadata of the
            append, which it overrides.
        schema_version: The version of the structure of `data`, from 1.
        tags: What the event is about, such as `course:c1`: up to 32 different strings of 1 to 255 characters, kept as a
            tuple. Events are read, and appended on condition, by their tags. Needs tables of `es_0009`.

    Raises:
        InvalidEvent: The type, the id, the schema version or a tag is not valid.
        InvalidMetadata: The metadata is not a mapping.

    Example:
        ```python
        NewEvent("order-placed", {"total": Decimal("30.00")}, metadata={"user_id": 7})
        ```
    """

    event_type: str
    data: Any = field(default_factory=dict)
    event_id: UUID = field(default_factory=uuid7, kw_only=True)
    metadata: Mapping[str, Any] | None = field(default=None, kw_only=True)
    schema_version: int = field(default=1, kw_only=True)
    tags: Iterable[str] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        event_type = check_event_type(self.event_type)
        if event_type is not self.event_type:  # of an enum of strings, the value is stored
            object.__setattr__(self, "event_type", event_type)
        if type(self.schema_version) is not int or self.schema_version != 1:
            object.__setattr__(self, "schema_version", check_schema_version(self.schema_version))
        if not isinstance(self.event_id, UUID):
            msg = f"an event id must be a uuid.UUID, not {type(self.event_id).__name__}"
            raise InvalidEvent(msg)
        if self.metadata is not None and not isinstance(self.metadata, Mapping):
            raise InvalidMetadata("$", f"is not a mapping but {type(self.metadata).__name__}")
        if self.tags != ():
            object.__setattr__(self, "tags", check_tags(self.tags))


class RecordedEvent(
    msgspec.Struct, Generic[Data_co], frozen=True
):  # a frozen dataclass takes ten times as long to make
    """A stored event as it is read: upcast to the newest schema version.

    For type checkers, `RecordedEvent[ItemAdded]` is an event whose data is an object of the class `ItemAdded`, and
    `RecordedEvent` one with any data.

    If a splitter has made several events of a stored one, they share its position, version and event id.

    Attributes:
        position: Its number in the global order of all events; ascending, with gaps.
        stream_id: The stream that it belongs to.
        version: Its number in the stream: 1, 2, 3, …
        event_id: The id given by the writer.
        event_type: The name of what happened, after upcasting.
        schema_version: The version of the structure of `data`, after upcasting.
        data: An object of the registered class if the event type is registered with the store, otherwise the plain
            value.
        metadata: JSON values by string keys; empty if there are none.
        recorded_at: When the database stored it, in UTC, by the database's clock.
        tags: Its tags, in the order in which they were given.
    """

    position: int
    stream_id: str
    version: int
    event_id: UUID
    event_type: str
    schema_version: int
    data: Data_co
    metadata: Mapping[str, Any]
    recorded_at: datetime
    tags: tuple[str, ...] = ()

    @property
    def category(self) -> str:
        """The part of the stream id before its first `-`."""
        return category_of(self.stream_id)

    @property
    def token(self) -> PositionToken:
        """The token to keep when you have handled this event, to read on after it."""
        return PositionToken(self.position, self.event_id, self.stream_id, self.version)

    def _repr_html_(self) -> str:
        return thing_html(f"{self.stream_id} {self.version}: {self.event_type}", msgspec.structs.asdict(self))


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The result of an append.

    Attributes:
        stream_id: The stream.
        version: The version of the last of these events.
        position: The position of the last of these events in the global order.
        duplicate: Whether an earlier append has stored the same events (by their ids), so that this one wrote nothing.
        event_id: The id of the last of these events.
        earlier_positions: The positions of these events but the last, in order.
    """

    stream_id: str
    version: int
    position: int
    duplicate: bool = False
    event_id: UUID = field(kw_only=True, repr=False)
    earlier_positions: tuple[int, ...] = field(default=(), kw_only=True, repr=False)

    @property
    def positions(self) -> tuple[int, ...]:
        """The positions of all of these events, in order. Events of other streams may be between them."""
        return (*self.earlier_positions, self.position)

    @property
    def token(self) -> PositionToken:
        """The token of the last of these events, for `EventStore.wait_for`, and to continue reading after it."""
        return PositionToken(self.position, self.event_id, self.stream_id, self.version)

    def _repr_html_(self) -> str:
        values = {"version": self.version, "position": self.position, "duplicate": self.duplicate}
        return thing_html(f"appended to {self.stream_id}", values)


@dataclass(frozen=True, slots=True)
class Append:
    """One of several appends for `EventStore.append_many`.

    Attributes:
        stream_id: The stream.
        events: One event or several: `NewEvent`s, or objects of classes that are registered with the store.
        expected_version: A version, `NO_STREAM`, `ANY` or `STREAM_EXISTS`.
        metadata: JSON values by string keys, for all of these events.

    Raises:
        InvalidStreamId: The stream id is not valid.
        InvalidExpectedVersion: The expected version is not valid.
    """

    stream_id: str
    events: Any
    expected_version: ExpectedVersion = field(kw_only=True)
    metadata: Mapping[str, Any] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        expected_version = check_expected_version(self.expected_version)
        stream_id = check_stream_id(self.stream_id)
        if stream_id is not self.stream_id:
            object.__setattr__(self, "stream_id", stream_id)
        if expected_version is not self.expected_version:
            object.__setattr__(self, "expected_version", expected_version)


def check_appends(appends: object) -> Iterator[Append]:
    """Yield the appends of a list.

    Raises:
        InvalidInput: It is not a list of `Append`s.
    """
    if not isinstance(appends, Iterable):
        msg = f"append_many needs a list of Append, not {type(appends).__name__}"
        raise InvalidInput(msg)
    for append in appends:
        if not isinstance(append, Append):
            msg = f"append_many needs a list of Append, and {type(append).__name__} is not one"
            raise InvalidInput(msg)
        yield append


def check_expected_version(expected: object) -> ExpectedVersion:
    """Return the expected version.

    Raises:
        InvalidExpectedVersion: It is neither an integer of 0 to 2^63-1 nor a member of `Expected`.
    """
    if isinstance(expected, Expected):
        return expected
    if isinstance(expected, bool) or not isinstance(expected, int):
        msg = f"an expected version must be an integer, NO_STREAM, ANY or STREAM_EXISTS, not {type(expected).__name__}"
        raise InvalidExpectedVersion(msg)
    if not 0 <= expected <= MAX_VERSION:
        msg = f"an expected version must be between 0 and {MAX_VERSION}, not {expected}"
        raise InvalidExpectedVersion(msg)
    return int(expected)
