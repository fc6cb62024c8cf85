"""What of payloads, metadata and states is shown: the application decides."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from eventstore.common.validation import check_function
from eventstore.errors import InvalidInput

REDACTED: Final = "[redacted]"
_MAX_DEPTH: Final = 100


@dataclass(frozen=True, slots=True)
class Shown:
    """A value that is about to be shown.

    Attributes:
        part: What it is: the `data` or the `metadata` of an event, or the `state` of an aggregate or of a snapshot.
        stream_id: The stream.
        event_type: The type of the event, as it is stored for a stored payload and after upcasting for an upcast one;
            None for a state.
        value: The value, as plain data: mappings, lists and simple values, without objects of your classes.
    """

    part: Literal["data", "metadata", "state"]
    stream_id: str
    event_type: str | None
    value: Any


Redact = Callable[[Shown], Any]
"""Takes a value, and returns what is shown instead of it: plain data."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """Stands for a value that is not shown, and says why."""

    reason: str


def check_redact(redact: object) -> Redact | None:
    """Return the value of the parameter `redact`.

    Raises:
        InvalidInput: It is not a function.
    """
    if redact is None:
        return None
    check_function("redact", redact)
    return redact  # type: ignore[return-value]  # checked


def redacted(redact: Redact | None, shown: Shown) -> Any:
    """Return what is shown instead of a value. If `redact` fails, the value is not shown."""
    if redact is None:
        return shown.value
    try:
        return redact(shown)
    except Exception as error:  # noqa: BLE001  # whatever the application's function raises, the value stays hidden
        return Hidden(f"not shown, because redact has raised {type(error).__name__}")


def redact_keys(*keys: str) -> Redact:
    """Return a function for `redact` that hides the values of these keys, at any depth.

    Args:
        keys: The keys, such as `email`; upper and lower case are the same.

    Raises:
        InvalidInput: A key is not a string, or there is none.

    Example:
        ```python
        Browser(store, authorize=is_admin, redact=redact_keys("email", "iban"))
        ```
    """
    if not keys or not all(isinstance(key, str) for key in keys):
        msg = "redact_keys needs the keys whose values are hidden, as strings"
        raise InvalidInput(msg)
    hidden = frozenset(key.casefold() for key in keys)

    def redact(shown: Shown) -> Any:
        return _without(shown.value, hidden, 0)

    return redact


def _without(value: Any, hidden: frozenset[str], depth: int) -> Any:
    if depth > _MAX_DEPTH:
        return REDACTED
    if isinstance(value, dict):
        return {
            key: REDACTED if str(key).casefold() in hidden else _without(part, hidden, depth + 1)
            for key, part in value.items()
        }
    if isinstance(value, list | tuple):
        return _same_kind(value, [_without(part, hidden, depth + 1) for part in value])
    return value


def _same_kind(value: list[Any] | tuple[Any, ...], parts: Iterable[Any]) -> list[Any] | tuple[Any, ...]:
    return tuple(parts) if isinstance(value, tuple) else list(parts)
