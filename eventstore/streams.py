"""Stream ids, categories and expected versions: what they may be."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from eventstore.errors import InvalidExpectedVersion, InvalidInput, InvalidStreamId

MAX_STREAM_ID_LENGTH: Final = 255
MAX_VERSION: Final = 2**63 - 1
"""The largest version and position: both are 64-bit integers in the database."""

MAX_SECONDS: Final = 86_400.0
"""The longest time to wait that can be asked for: a day."""

NO_STREAM: Final = 0
"""Expect that the stream does not exist yet: a stream with no events has version 0."""


class Expected(Enum):
    """The expectations that are not a version."""

    ANY = "ANY"
    STREAM_EXISTS = "STREAM_EXISTS"

    def __str__(self) -> str:
        return self.value


ANY: Final = Expected.ANY
"""Append whatever the version is. No conflict is found, and a repeated append is stored again."""

STREAM_EXISTS: Final = Expected.STREAM_EXISTS
"""Append to a stream that has at least one event, at whatever version."""

ExpectedVersion = int | Expected
"""A version of 0 or more, `NO_STREAM` (which is 0), `ANY` or `STREAM_EXISTS`."""


class StreamOrder(Enum):
    """In which order streams are listed."""

    ID = "id"
    """By stream id, byte by byte. An index has this order."""

    SIZE = "size"
    """The highest version first."""

    RECENT = "recent"
    """That which was last appended to first."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What the store knows of a stream without reading its events.

    Attributes:
        stream_id: The stream.
        version: The version of its newest event: how many were ever appended. After it was deleted or archived it
            has fewer: those before its last event are gone.
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
    """Return the part of a stream id before its first `-`, or the whole id where there is none."""
    return stream_id.partition("-")[0]


def check_stream_id(stream_id: object) -> str:
    """Return the stream id, as a string and nothing more: of an enum of strings its value.

    Raises:
        InvalidStreamId: It is not a string of 1 to 255 characters, or holds NUL or a lone surrogate.
    """
    if not isinstance(stream_id, str):
        msg = f"a stream id is a string, not {type(stream_id).__name__}"
        raise InvalidStreamId(msg)
    stream_id = str.__str__(stream_id)
    problem = unstorable_text(stream_id, MAX_STREAM_ID_LENGTH)
    if problem:
        raise InvalidStreamId(f"a stream id {problem}")
    return stream_id


def check_category(category: object) -> str:
    """Return the category, as a string and nothing more.

    Raises:
        InvalidInput: It is not a string, or contains a hyphen, so that no stream could be of it.
    """
    if not isinstance(category, str):
        msg = f"a category is a string, not {type(category).__name__}"
        raise InvalidInput(msg)
    category = str.__str__(category)
    problem = category and unstorable_text(category, MAX_STREAM_ID_LENGTH)  # that of the stream `-` is empty
    if not problem and "-" in category:
        problem = "is what stands before the first hyphen of a stream id: it contains none"
    if problem:
        raise InvalidInput(f"a category {problem}")
    return category


def unstorable_text(text: str, max_length: int) -> str | None:
    """Say why a name can't be a key in every database, or return None where it can."""
    if not 1 <= len(text) <= max_length:
        return f"has 1 to {max_length} characters, not {len(text)}"
    if "\0" in text:
        return "must not contain the character NUL"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"must be valid Unicode; at character {error.start} is half of a surrogate pair"
    return None


def check_expected_version(expected: object) -> ExpectedVersion:
    """Return the expected version.

    Raises:
        InvalidExpectedVersion: It is neither an integer of 0 to 2^63-1 nor a member of `Expected`.
    """
    if isinstance(expected, Expected):
        return expected
    if isinstance(expected, bool) or not isinstance(expected, int):
        msg = f"an expected version is an integer, NO_STREAM, ANY or STREAM_EXISTS, not {type(expected).__name__}"
        raise InvalidExpectedVersion(msg)
    if not 0 <= expected <= MAX_VERSION:
        msg = f"an expected version is between 0 and {MAX_VERSION}, not {expected}"
        raise InvalidExpectedVersion(msg)
    return int(expected)


def check_seconds(name: str, value: object, *, minimum: float = 0.0) -> float:
    """Return a time given for the parameter `name`.

    Raises:
        InvalidInput: It is not a number of seconds between `minimum` and a day.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"{name} is a number of seconds, not {type(value).__name__}"
        raise InvalidInput(msg)
    if not minimum <= value <= MAX_SECONDS:
        msg = f"{name} is between {minimum:g} and {MAX_SECONDS:g} seconds, not {value}"
        raise InvalidInput(msg)
    return float(value)


def check_flag(name: str, value: object) -> bool:
    """Return what was given for the parameter `name`.

    Raises:
        InvalidInput: It is neither True nor False, but a text such as "no", say.
    """
    if not isinstance(value, bool):
        msg = f"{name} is True or False, not {type(value).__name__}"
        raise InvalidInput(msg)
    return value


def check_number(name: str, value: object, *, minimum: int = 0) -> int:
    """Return a version, position or limit given for the parameter `name`.

    Raises:
        InvalidInput: It is not an integer between `minimum` and 2^63-1.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        msg = f"{name} is an integer, not {type(value).__name__}"
        raise InvalidInput(msg)
    if not minimum <= value <= MAX_VERSION:
        msg = f"{name} is between {minimum} and {MAX_VERSION}, not {value}"
        raise InvalidInput(msg)
    return int(value)
