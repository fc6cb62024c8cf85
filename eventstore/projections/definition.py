"""The definition of a projection: a name, filters, and a handler for each type of event."""

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
"""A function that is called with an event, and with the connection of its batch or the projection's session on it."""

MakeSession = Callable[[Connection], Session]


class OnFailure(Enum):
    """What happens to an event whose handler has failed at all attempts."""

    STOP = "stop"
    """Stop before it, and raise ProjectionFailed. No event is skipped."""

    DEAD_LETTER = "dead-letter"
    """Store it as a dead letter, and continue. To keep the order, later events of its stream follow it there."""


class Projection:
    """Defines what to compute from events, one by one, in the global order, such as a read model in your tables.

    It has no state; a `Worker` runs it. The worker commits what handlers write with the given connection together with
    the projection's checkpoint, so each event takes effect exactly once. Other effects, such as sending a mail, happen
    at least once: they may be repeated after a failure, so make them idempotent, for example by the event's `event_id`.

    Args:
        name: The name of its checkpoint in the database, 1 to 255 characters. Another name begins from the first event.
        filters: What to read; see `EventStore.read_all`. Defaults to none: all events. Events without a handler are
            skipped. Filters match the stored event types; with upcasters, these may be the old ones.
        attempts: How often a handler is called with an event before the event has failed, from 1. The first deadlocks,
            serialization failures and lock timeouts (up to 10) and lost connections (up to 3) do not count.
        backoff_seconds: How long to wait before the second attempt. Each further pause is twice as long, up to a
            minute.
        on_failure: What happens to an event that has failed. Defaults to stopping before it.
        session: Makes a session on the connection of a batch, such as `lambda connection: Session(bind=connection)`.
            Handlers are called with the session, which is flushed before the checkpoint moves. It must be bound to that
            connection, or the first batch raises `InvalidInput`; never commit it. Defaults to None: handlers are called
            with the connection.

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
            msg = f"on_failure must be OnFailure.STOP or OnFailure.DEAD_LETTER, not {on_failure!r}"
            raise InvalidInput(msg)
        self.on_failure = on_failure
        if session is not None and not callable(session):
            msg = f"session must be a function of a connection, or None, not {type(session).__name__}"
            raise InvalidInput(msg)
        self.session = session
        self._handlers: dict[str, Handler] = {}
        self._handlers_of_classes: dict[type, Handler] = {}
        self._handle_others: Handler | None = None

    def on(self, *event_types: str | type) -> Callable[[Handler], Handler]:
        """Make the decorated function the handler of events of these types, or, without types, of all other events.

        Args:
            event_types: Names, or classes that are registered with the store's `event_types`. Classes are checked when
                the projection is run, because only the store knows their names.

        Raises:
            InvalidInput: A name is not valid, or already has a handler, or the parentheses are missing.
        """
        for event_type in event_types:
            if callable(event_type) and not isinstance(event_type, type):
                msg = (
                    'on() was called with a function, because the parentheses are missing; write `@projection.on("item-'
                    'added")`, or `@projection.on()` for all event types without a handler'
                )
                raise InvalidInput(msg)
            if not isinstance(event_type, type):
                check_event_type(event_type)

        def register(handler: Handler) -> Handler:
            if not event_types:
                if self._handle_others is not None:
                    msg = f"projection {self.name!r} already has a handler for all other event types"
                    raise InvalidInput(msg)
                self._handle_others = handler
            for event_type in event_types:
                key = (
                    event_type if isinstance(event_type, type) else check_event_type(event_type)
                )  # the value of an enum's member
                handlers: dict[Any, Handler] = self._handlers_of_classes if isinstance(key, type) else self._handlers
                if key in handlers:
                    name = key.__qualname__ if isinstance(key, type) else repr(key)
                    msg = f"projection {self.name!r} already has a handler for {name}"
                    raise InvalidInput(msg)
                handlers[key] = handler
            return handler

        return register

    def handler_of(self, event: RecordedEvent) -> Handler | None:
        """Return the handler of an event; None if it has none."""
        by_name = self._handlers.get(event.event_type)
        return by_name or self._handlers_of_classes.get(type(event.data), self._handle_others)

    def check_event_types(self, event_types: EventTypes) -> None:
        """Check that all classes with a handler are registered.

        Raises:
            UnregisteredEventType: A class is not registered.
            InvalidInput: A class also has a handler by its name.
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
