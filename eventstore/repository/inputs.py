"""Checks of a repository's inputs: ids, initial states, and what commands return."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from eventstore.common.validation import check_stream_id
from eventstore.errors import InvalidInput, InvalidStreamId
from eventstore.event_types import EventTypes
from eventstore.events import NewEvent
from eventstore.repository.states import State


def first_state(initial: Callable[[], State]) -> State:
    """Return an initial state.

    Raises:
        InvalidInput: `initial` returns the same mutable object each time. A class that compares by value and has no
            hash counts as mutable.
    """
    state = initial()
    if state is initial() and type(state).__hash__ is None:
        msg = "initial returns the same mutable object each time, so that one aggregate would change the state of all "
        msg += "others; return a new one each time"
        raise InvalidInput(msg)
    return state


def stream_id_of(category: str, id_: str | int | UUID) -> str:
    """Return the stream of an aggregate.

    Raises:
        InvalidStreamId: The id is empty, too long, of another type, or begins with the category.
    """
    if isinstance(id_, bool) or not isinstance(id_, str | int | UUID):
        msg = f"the id of an aggregate must be a string, integer or UUID, not {type(id_).__name__}"
        raise InvalidStreamId(msg)
    # never the class's own text: for an enum, the value is meant
    text = str.__str__(id_) if isinstance(id_, str) else str(int(id_)) if isinstance(id_, int) else UUID.__str__(id_)
    if not text or text.startswith(f"{category}-"):
        example = text.removeprefix(f"{category}-") or "42"
        msg = f"the id of an aggregate must not be empty, nor begin with its category: {example!r}, not {text!r}"
        raise InvalidStreamId(msg)
    return check_stream_id(f"{category}-{text}")


def events_of_command(event_types: EventTypes, result: Iterable[Any] | None) -> tuple[Any, ...]:
    """Return the events of a command's result. A generator runs to its end before anything is appended.

    Raises:
        InvalidInput: The result is not a list of events. A single event is refused, too, even if it is iterable.
    """
    if result is None:
        return ()
    is_event = isinstance(result, NewEvent) or event_types.type_of(result) is not None
    if is_event or isinstance(result, str | bytes | Mapping) or not isinstance(result, Iterable):
        msg = f"a command must return a list of events, not {type(result).__name__}"
        raise InvalidInput(msg)
    return tuple(result)
