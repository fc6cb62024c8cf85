"""The handlers of a projection, by the name of an event type, or by a registered class."""

from collections.abc import Callable, Iterable
from typing import Any

from eventstore.common.validation import check_event_type, check_runs_when_called
from eventstore.errors import InvalidInput, UnregisteredEventType
from eventstore.event_types import EventTypes
from eventstore.events import RecordedEvent

Handler = Callable[[RecordedEvent, Any], object]
"""A function that is called with an event, and with the connection of its batch or the projection's session on it."""


class Handlers:
    """Handlers of which at most one is called with an event.

    Args:
        described: What the handlers are, for errors, such as "projection 'totals'".
    """

    def __init__(self, described: str) -> None:
        self.is_empty = True
        """Whether there are none."""
        self._described = described
        self._by_name: dict[str, Handler] = {}
        self._by_class: dict[type, Handler] = {}
        self._others: Handler | None = None

    def add(self, event_types: Iterable[str | type], handler: Handler) -> None:
        """Add the handler of event types; without event types, that of all others.

        Raises:
            InvalidInput: It is not a function that runs when it is called, or one of the event types has a handler.
                Nothing was added.
        """
        if not callable(handler):
            msg = f"a handler of {self._described} must be a function, not {type(handler).__name__}"
            raise InvalidInput(msg)
        check_runs_when_called(f"a handler of {self._described}", handler)
        keys = [each if isinstance(each, type) else check_event_type(each) for each in event_types]
        for index, key in enumerate(keys):
            if key in self._by_class or key in self._by_name or key in keys[:index]:
                name = key.__qualname__ if isinstance(key, type) else repr(key)
                msg = f"{self._described} already has a handler for {name}"
                raise InvalidInput(msg)
        if not keys:
            if self._others is not None:
                msg = f"{self._described} already has a handler for all other event types"
                raise InvalidInput(msg)
            self._others = handler
        for key in keys:
            handlers: dict[Any, Handler] = self._by_class if isinstance(key, type) else self._by_name
            handlers[key] = handler
        self.is_empty = False

    def find(self, event: RecordedEvent) -> Handler | None:
        """Return the handler of an event; None if it has none."""
        by_name = self._by_name.get(event.event_type)
        return by_name or self._by_class.get(type(event.data), self._others)

    def check(self, event_types: EventTypes) -> None:
        """Check that all classes with a handler are registered.

        Raises:
            UnregisteredEventType: A class is not registered.
            InvalidInput: A class also has a handler by its name.
        """
        for cls in self._by_class:
            name = event_types.name_of(cls)
            if name is None:
                raise UnregisteredEventType(cls.__qualname__)
            if name in self._by_name:
                msg = f"{self._described} has two handlers for {name!r}, one of them for {cls.__qualname__}"
                raise InvalidInput(msg)
