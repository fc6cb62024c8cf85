"""Streams: their categories, their orders, and the versions that an append expects."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

NO_STREAM: Final = 0
"""Expect that the stream does not exist yet: a stream with no events has version 0."""


class Expected(Enum):
    """The expectations that are not a version."""

    ANY = "ANY"
    STREAM_EXISTS = "STREAM_EXISTS"

    def __str__(self) -> str:
        return self.value


ANY: Final = Expected.ANY
"""Append at whatever version. Conflicts and duplicates are not detected: a repeated append is stored again."""

STREAM_EXISTS: Final = Expected.STREAM_EXISTS
"""Append to a stream that has at least one event, at whatever version."""

ExpectedVersion = int | Expected
"""A version of 0 or more, `NO_STREAM` (which is 0), `ANY` or `STREAM_EXISTS`."""


class Expectation(Enum):
    """The kinds of expected versions. Each needs a different statement."""

    NEW = "new"
    VERSION = "version"
    EXISTING = "existing"
    NOTHING = "nothing"


class StreamOrder(Enum):
    """The order in which streams are listed."""

    ID = "id"
    """By stream id, byte by byte. An index has this order."""

    SIZE = "size"
    """The highest version first."""

    RECENT = "recent"
    """The time of the last append, the latest first."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """The head of a stream: what the store knows about it without reading its events.

    Attributes:
        stream_id: The stream.
        version: The version of its newest event, which is the number of events that were ever appended. A stream that
            was deleted or archived has only its last event, the tombstone.
        created_at: When its first event was stored, in UTC.
        updated_at: When its newest event was stored, in UTC.
    """

    stream_id: str
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def category(self) -> str:
        """The part of the stream id before its first `-`."""
        return category_of(self.stream_id)


def category_of(stream_id: str) -> str:
    """Return the part of a stream id before its first `-`, or the whole id if it has none."""
    return stream_id.partition("-")[0]
