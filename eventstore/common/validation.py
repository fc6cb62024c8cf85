"""Checks of plain values from callers.

A check returns the value (the plain string, for an enum of strings) or raises an error that names the parameter.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final

from eventstore.errors import InvalidEvent, InvalidInput, InvalidStreamId

MAX_VERSION: Final = 2**63 - 1
"""The largest version and the largest position, which are 64-bit integers in the database."""

MAX_SECONDS: Final = 86_400.0
"""The longest time to wait: a day."""

MAX_SCHEMA_VERSION: Final = 2**31 - 1
MAX_CODEC: Final = 2**15 - 1

MAX_STREAM_ID_LENGTH: Final = 255
MAX_EVENT_TYPE_LENGTH: Final = 255
MAX_TAG_LENGTH: Final = 255
MAX_TAGS_OF_EVENT: Final = 32
MAX_NAME_LENGTH: Final = 255
"""The longest name of a projection or a worker, in characters."""

MAX_SCHEMA_NAME_BYTES: Final = 63
"""The longest name of a database schema. PostgreSQL truncates longer ones."""


# --- numbers and flags


def check_number(name: str, value: object, *, minimum: int = 0) -> int:
    """Return a version, position or limit for the parameter `name`.

    Raises:
        InvalidInput: It is not an integer between `minimum` and 2^63-1.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        msg = f"{name} must be an integer, not {type(value).__name__}"
        raise InvalidInput(msg)
    if not minimum <= value <= MAX_VERSION:
        msg = f"{name} must be between {minimum} and {MAX_VERSION}, not {value}"
        raise InvalidInput(msg)
    return int(value)


def check_schema_version(schema_version: object) -> int:
    """Return the schema version of an event or a state.

    Raises:
        InvalidEvent: It is not an integer of 1 to 2^31-1.
    """
    if isinstance(schema_version, bool) or not isinstance(schema_version, int):
        msg = f"a schema version must be an integer, not {type(schema_version).__name__}"
        raise InvalidEvent(msg)
    if not 1 <= schema_version <= MAX_SCHEMA_VERSION:
        msg = f"a schema version must be between 1 and {MAX_SCHEMA_VERSION}, not {schema_version}"
        raise InvalidEvent(msg)
    return int(schema_version)


def check_seconds(name: str, value: object, *, minimum: float = 0.0) -> float:
    """Return a time for the parameter `name`.

    Raises:
        InvalidInput: It is not a number of seconds between `minimum` and a day.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"{name} must be a number of seconds, not {type(value).__name__}"
        raise InvalidInput(msg)
    if not minimum <= value <= MAX_SECONDS:
        msg = f"{name} must be between {minimum:g} and {MAX_SECONDS:g} seconds, not {value}"
        raise InvalidInput(msg)
    return float(value)


def check_flag(name: str, value: object) -> bool:
    """Return the value of the parameter `name`.

    Raises:
        InvalidInput: It is neither True nor False, but, for example, a text such as "no".
    """
    if not isinstance(value, bool):
        msg = f"{name} must be True or False, not {type(value).__name__}"
        raise InvalidInput(msg)
    return value


def check_function(name: str, value: object) -> None:
    """Check that the value of the parameter `name` can be called.

    Raises:
        InvalidInput: It can't be called.
    """
    if not callable(value):
        msg = f"{name} must be a function or class, not {type(value).__name__}"
        raise InvalidInput(msg)


def check_runs_when_called(name: str, function: Callable[..., object]) -> None:
    """Check that a function is neither a coroutine function nor a generator: a call alone would not run it.

    Raises:
        InvalidInput: It is one.
    """
    for each in (function, type(function).__call__):
        if inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each):
            msg = f"{name} must be a plain function, not a coroutine function (async def), which a call does not run"
            raise InvalidInput(msg)
        if inspect.isgeneratorfunction(each):
            msg = f"{name} must be a plain function, not a generator (with yield), which a call does not run"
            raise InvalidInput(msg)


# --- texts


def check_text(what: str, value: object, max_length: int, error: type[InvalidInput] = InvalidInput) -> str:
    """Return a text that can be a key in every database.

    Args:
        what: What the text is, for the error, such as "an event type".
        value: The text.
        max_length: How many characters it may have.
        error: The error to raise.

    Raises:
        InvalidInput: It is not a string of 1 to `max_length` characters, or contains NUL or a lone surrogate.
    """
    if not isinstance(value, str):
        msg = f"{what} must be a string, not {type(value).__name__}"
        raise error(msg)
    text = str.__str__(value)
    if not 1 <= len(text) <= max_length:
        msg = f"{what} must have 1 to {max_length} characters, not {len(text)}"
        raise error(msg)
    if "\0" in text:
        msg = f"{what} must not contain the character NUL"
        raise error(msg)
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        msg = f"{what} must be valid Unicode; character {problem.start} is half of a surrogate pair"
        raise error(msg) from None
    return text


def check_stream_id(stream_id: object) -> str:
    """Return the stream id.

    Raises:
        InvalidStreamId: It is not a string of 1 to 255 characters, or contains NUL or a lone surrogate.
    """
    return check_text("a stream id", stream_id, MAX_STREAM_ID_LENGTH, InvalidStreamId)


def check_category(category: object) -> str:
    """Return the category. It may be empty, like that of the stream `-`.

    Raises:
        InvalidInput: It is not a string, or contains a hyphen, so that no stream could have it.
    """
    category = "" if category == "" else check_text("a category", category, MAX_STREAM_ID_LENGTH)
    if "-" in category:
        msg = "a category must not contain a hyphen: it is the part of a stream id before the first hyphen"
        raise InvalidInput(msg)
    return category


def check_event_type(event_type: object) -> str:
    """Return the event type.

    Raises:
        InvalidEvent: It is not a string of 1 to 255 characters, or contains NUL or a lone surrogate.
    """
    if type(event_type) is str:
        return _known_event_type(event_type)
    return check_text("an event type", event_type, MAX_EVENT_TYPE_LENGTH, InvalidEvent)


@lru_cache(maxsize=1024)
def _known_event_type(event_type: str) -> str:
    """Check an event type only once: there are few, and many events of each."""
    return check_text("an event type", event_type, MAX_EVENT_TYPE_LENGTH, InvalidEvent)


def check_tags(tags: object, error: type[InvalidInput] = InvalidEvent) -> tuple[str, ...]:
    """Return the tags of an event, or of a filter. Errors show no tag, because tags may be personal data.

    Raises:
        InvalidInput: They are not a list of strings of 1 to 255 characters, one is there twice, or there are more than
            32.
    """
    if isinstance(tags, str | bytes | Mapping) or not isinstance(tags, Iterable):
        msg = f"tags must be a list of strings, not {type(tags).__name__}"
        raise error(msg)
    checked: dict[str, int] = {}
    for index, tag in enumerate(tags):
        name = check_text(f"tags[{index}]", tag, MAX_TAG_LENGTH, error)
        if name in checked:
            msg = f"tags[{index}] is the same as tags[{checked[name]}]; name each tag once"
            raise error(msg)
        checked[name] = index
    if len(checked) > MAX_TAGS_OF_EVENT:
        msg = f"{len(checked)} tags are more than the {MAX_TAGS_OF_EVENT} allowed"
        raise error(msg)
    return tuple(checked)


def check_projection_name(name: object) -> str:
    """Return the name of a projection.

    Raises:
        InvalidInput: It is not a string of 1 to 255 characters, or contains NUL or a lone surrogate.
    """
    return check_text("the name of a projection", name, MAX_NAME_LENGTH)


def check_schema_name(name: object) -> str | None:
    """Return the name of a database schema, or None.

    Raises:
        InvalidInput: It is neither None nor a string of 1 to 63 bytes in UTF-8, or contains NUL.
    """
    if name is None:
        return None
    if not isinstance(name, str):
        msg = f"schema must be a string, or None for the connection's search path, not {type(name).__name__}"
        raise InvalidInput(msg)
    name = check_text("the name of a schema", name, MAX_SCHEMA_NAME_BYTES)
    if len(name.encode()) > MAX_SCHEMA_NAME_BYTES:
        msg = f"the name of a schema must have at most {MAX_SCHEMA_NAME_BYTES} bytes, not {len(name.encode())}"
        raise InvalidInput(msg)
    return name


def check_reason(reason: object) -> str:
    """Return the reason why a stream is deleted or archived.

    Raises:
        InvalidInput: It is not a string, or is blank, or contains NUL.
    """
    if not isinstance(reason, str) or not reason.strip() or "\0" in reason:
        msg = "reason must be a string that says why the stream ends; it is kept, so it should name no person"
        raise InvalidInput(msg)
    return str.__str__(reason)
