"""What a repository is given: categories, ids, initial states, and what commands return."""

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
        InvalidInput: It is the same object each time, and can be changed, as far as can be told: what is mutable and
            compares by value has no hash.
    """
    state = initial()
    if state is initial() and type(state).__hash__ is None:
        msg = "initial returns the same object each time, which one aggregate would change for all; make a new one"
        raise InvalidInput(msg)
    return state


def stream_id_of(category: str, id_: str | int | UUID) -> str:
    """Return the stream of an aggregate.

    Raises:
        InvalidStreamId: The id is empty, too long, of another type, or begins with the category.
    """
    if isinstance(id_, bool) or not isinstance(id_, str | int | UUID):
        msg = f"the id of an aggregate is a string, integer or UUID, not {type(id_).__name__}"
        raise InvalidStreamId(msg)
    # never what a class makes of itself: of an enum its value is meant
    text = str.__str__(id_) if isinstance(id_, str) else str(int(id_)) if isinstance(id_, int) else UUID.__str__(id_)
    if not text or text.startswith(f"{category}-"):
        without = text.removeprefix(f"{category}-") or "42"
        msg = f"the id of an aggregate is not empty, and goes without its category: {without!r}, not {text!r}"
        raise InvalidStreamId(msg)
    return check_stream_id(f"{category}-{text}")


def decided_events(event_types: EventTypes, decided: Iterable[Any] | None) -> tuple[Any, ...]:
    """Return the events of a command; a generator has run to its end before anything is appended.

    Raises:
        InvalidInput: It is no list of events. An event of its own may be iterable, too.
    """
    if decided is None:
        return ()
    is_event = isinstance(decided, NewEvent) or event_types.type_of(decided) is not None
    if is_event or isinstance(decided, str | bytes | Mapping) or not isinstance(decided, Iterable):
        msg = f"a command returns a list of events, not {type(decided).__name__}"
        raise InvalidInput(msg)
    return tuple(decided)
