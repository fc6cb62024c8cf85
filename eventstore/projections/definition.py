"""What a projection is: a name, what it reads, and a handler for each type of event."""

from collections.abc import Callable
from enum import Enum
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from eventstore.common.validation import check_event_type, check_number, check_projection_name, check_seconds
from eventstore.errors import InvalidInput, UnregisteredEventType
from eventstore.event_types import EventTypes
from eventstore.events import RecordedEvent
from eventstore.filters import EventFilter, combine

MAX_NAME_LENGTH = 255

Handler = Callable[[RecordedEvent, Any], object]
"""Called with an event and the connection of its batch, or the session that the projection's `session` makes of it."""

MakeSession = Callable[[Connection], Session]


class OnFailure(Enum):
    """What becomes of an event that its handler can't deal with, after all attempts."""

    STOP = "stop"
    """Stop before it, and raise ProjectionFailed: nothing is left out."""

    DEAD_LETTER = "dead-letter"
    """Put it into es_dead_letters and go on; later events of its stream follow it there, so that order holds."""


class Projection:
    """What is computed from events, one by one, in the global order: a read model in tables of your own, say.

    It is a definition, without any state: a `Worker` runs it. What handlers write with the connection that they are
    given is committed together with the projection's checkpoint, so each event takes effect once. What they do
    elsewhere (send a mail) may happen again after a failure: use the event's `event_id` to recognise it.

    Args:
        name: Under which it is known in the database, 1 to 255 characters. Another name begins from the first event.
        filters: What to read; see `EventStore.read_all`. Defaults to none: all events. Those without a handler are
            passed over. Filters name what is stored: with upcasters, the old names of event types.
        attempts: How often an event is tried before it has failed, from 1. Deadlocks, serialization failures and lock
            timeouts of a handler (up to 10), and lost connections (up to 3), do not count at first.
        backoff_seconds: How long to wait before the second attempt; twice as long before the next, and so on, up to a
            minute.
        on_failure: What becomes of an event that has failed. Defaults to stopping before it.
        session: Makes a session of the connection of a batch, as `lambda connection: Session(bind=connection)`.
            Handlers are called with it, and what it holds is written before the checkpoint is. It is bound to that
            connection, or `InvalidInput` is raised by the first batch; never commit it. Defaults to None: they are
            called with the connection.

    Raises:
        InvalidInput: An argument is not valid.

    Example:
        ```python
        totals = Projection("order-totals", EventFilter(categories=["order"]))

        @totals.on("item-added")
        def add_item(event, connection):
            connection.execute(UPSERT, {"order": event.stream_id, "price": event.data["price"]})
        ```
    """

    def __init__(
        self,
        name: str,
        *filters: EventFilter,
        attempts: int = 1,
        backoff_seconds: float = 0.1,
        on_failure: OnFailure = OnFailure.STOP,
        session: MakeSession | None = None,
    ) -> None:
        self.name = check_projection_name(name)
        self.filters = combine(filters)
        self.attempts = check_number("attempts", attempts, minimum=1)
        self.backoff_seconds = check_seconds("backoff_seconds", backoff_seconds)
        if not isinstance(on_failure, OnFailure):
            msg = f"on_failure is OnFailure.STOP or OnFailure.DEAD_LETTER, not {on_failure!r}"
            raise InvalidInput(msg)
        self.on_failure = on_failure
        if session is not None and not callable(session):
            msg = f"session is a function of a connection, or None, not {type(session).__name__}"
            raise InvalidInput(msg)
        self.session = session
        self._handlers: dict[str, Handler] = {}
        self._handlers_of_classes: dict[type, Handler] = {}
        self._handle_others: Handler | None = None

    def on(self, *event_types: str | type) -> Callable[[Handler], Handler]:
        """Make the decorated function the handler of events of these types; of all others if none is named.

        Args:
            event_types: Names, or classes that the store's `event_types` knows. Which names these have is the store's
                to say, so that is checked when the projection is run.

        Raises:
            InvalidInput: A name is not valid, or has a handler already; or the parentheses were left out.
        """
        for event_type in event_types:
            if callable(event_type) and not isinstance(event_type, type):
                msg = (
                    'on() was called with a function: write `@projection.on("item-added")`, or `@projection.on()` for '
                    "all event types without a handler; the parentheses are needed"
                )
                raise InvalidInput(msg)
            if not isinstance(event_type, type):
                check_event_type(event_type)

        def register(handler: Handler) -> Handler:
            if not event_types:
                if self._handle_others is not None:
                    msg = f"projection {self.name!r} has a handler for all other event types already"
                    raise InvalidInput(msg)
                self._handle_others = handler
            for event_type in event_types:
                key = (
                    event_type if isinstance(event_type, type) else check_event_type(event_type)
                )  # of an enum its value
                handlers: dict[Any, Handler] = self._handlers_of_classes if isinstance(key, type) else self._handlers
                if key in handlers:
                    shown = key.__qualname__ if isinstance(key, type) else repr(key)
                    msg = f"projection {self.name!r} has a handler for {shown} already"
                    raise InvalidInput(msg)
                handlers[key] = handler
            return handler

        return register

    def handler_of(self, event: RecordedEvent) -> Handler | None:
        """Return the handler of an event, None if it is passed over."""
        by_name = self._handlers.get(event.event_type)
        return by_name or self._handlers_of_classes.get(type(event.data), self._handle_others)

    def check_event_types(self, event_types: EventTypes) -> None:
        """Check that classes with a handler are registered, so that there will be events of them.

        Raises:
            UnregisteredEventType: One is not.
            InvalidInput: One has a handler by its name, too.
        """
        for cls in self._handlers_of_classes:
            name = event_types.name_of(cls)
            if name is None:
                raise UnregisteredEventType(cls.__qualname__)
            if name in self._handlers:
                msg = f"projection {self.name!r} has two handlers for {name!r}, one of them for {cls.__qualname__}"
                raise InvalidInput(msg)

    def __repr__(self) -> str:
        return f"<Projection {self.name!r}>"
