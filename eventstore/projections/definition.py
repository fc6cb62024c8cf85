"""The definition of a projection: a name, filters, and a handler for each type of event."""

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar, TypeVar, overload

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from eventstore.common.validation import (
    check_event_type,
    check_flag,
    check_number,
    check_projection_name,
    check_seconds,
)
from eventstore.errors import InvalidInput
from eventstore.event_types import EventTypes
from eventstore.events import RecordedEvent
from eventstore.filters import EventFilter, combine
from eventstore.partitions import MAX_PARTITIONS
from eventstore.projections.handlers import Handler, Handlers
from eventstore.tokens import PositionToken

Data = TypeVar("Data")
Data2 = TypeVar("Data2")
Data3 = TypeVar("Data3")
Target = TypeVar("Target")
Returned = TypeVar("Returned")
AnyHandler = TypeVar("AnyHandler", bound=Handler)

MakeSession = Callable[[Connection], Session]


class OnFailure(Enum):
    """What happens to an event whose handler has failed at all attempts."""

    STOP = "stop"
    """Stop before it, and raise ProjectionFailed. No event is skipped."""

    DEAD_LETTER = "dead-letter"
    """Store it as a dead letter, and continue. To keep the order, later events of its stream follow it there."""


class Start(Enum):
    """Where a projection begins when it is run for the first time."""

    BEGINNING = "beginning"
    """With the first event of the log."""

    NOW = "now"
    """With what is not settled yet: events that are committed after the first run, and those of appends under way."""


StartsAt = Start | int | PositionToken | datetime
"""Where a projection begins: a `Start`, after a position or a token, or at a time."""


class Projection:
    """Defines what to compute from events, one by one, in the global order, such as a read model in your tables.

    It has no state; a `Worker` runs it. The worker commits what handlers write with the given connection together with
    the projection's checkpoint, so each event takes effect exactly once. Other effects, such as sending a mail, happen
    at least once: they may be repeated after a failure, so make them idempotent, for example by the event's `event_id`.

    Args:
        name: The name of its checkpoint in the database, 1 to 255 characters. Another name begins from the first event.
        filters: What to read; see `EventStore.read_all`. Defaults to none: all events. Events without a handler are
            skipped. Filters match the stored event types; with upcasters, these may be the old ones.
        start: Where it begins when it is run for the first time; that is stored then, and does not change. Defaults to
            the first event. An integer or a token is a position after which it begins. A `datetime` with a time zone is
            that of the first event, as the database's clock has recorded it; all later positions follow, whatever their
            time. Of appends that are under way at the first run, nothing is missed.
        partitions: How many partitions it begins with, from 1 to 256. Workers handle the partitions at the same time;
            all events of a stream are in the same one, in order. `ProjectionAdmin.set_partitions` changes the number of
            a projection that has begun.
        rebuilds: The name of the projection that this one will replace, by `ProjectionAdmin.swap`. Needed only if there
            are handlers with outside effects: they are not called before the swap.
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

    runner: ClassVar[type[Any] | None] = None
    """What runs its batches; None for the `BatchRunner`. A subclass may have another one."""

    batch_size: ClassVar[int | None] = None
    """How many events a batch has unless its worker says so; None for a number that grows. Likewise."""

    spreads_pauses: ClassVar[bool] = False
    """Whether the pauses between attempts are random, so that many do not call the same service together. Likewise."""

    def __init__(
        self,
        name: str,
        *filters: EventFilter,
        start: StartsAt = Start.BEGINNING,
        partitions: int = 1,
        rebuilds: str | None = None,
        attempts: int = 1,
        backoff_seconds: float = 0.1,
        on_failure: OnFailure = OnFailure.STOP,
        session: MakeSession | None = None,
    ) -> None:
        self.name = check_projection_name(name)
        self.filters = combine(filters)
        self.start = _check_start(start)
        self.partitions = check_partitions("partitions", partitions)
        if self.partitions > 1:
            check_projection_name(name_of_partition(self.name, partitions, partitions))
        self.rebuilds = None if rebuilds is None else check_projection_name(rebuilds)
        if self.rebuilds == self.name:
            msg = f"a projection can't rebuild itself; both names are {self.name!r}"
            raise InvalidInput(msg)
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
        self.handlers = Handlers(f"projection {self.name!r}")
        self.outside_handlers = Handlers(f"projection {self.name!r}, for outside effects,")

    @overload
    def on(  # type: ignore[overload-overlap]  # a class is callable, too, but it is not taken for a handler
        self, event_type: type[Data], /, *, outside: bool = False
    ) -> Callable[
        [Callable[[RecordedEvent[Data], Target], Returned]], Callable[[RecordedEvent[Data], Target], Returned]
    ]: ...
    @overload
    def on(
        self, event_type: type[Data], other: type[Data2], /, *, outside: bool = False
    ) -> Callable[
        [Callable[[RecordedEvent[Data | Data2], Target], Returned]],
        Callable[[RecordedEvent[Data | Data2], Target], Returned],
    ]: ...
    @overload
    def on(
        self, event_type: type[Data], other: type[Data2], third: type[Data3], /, *, outside: bool = False
    ) -> Callable[
        [Callable[[RecordedEvent[Data | Data2 | Data3], Target], Returned]],
        Callable[[RecordedEvent[Data | Data2 | Data3], Target], Returned],
    ]: ...
    @overload
    def on(
        self, first: type, second: type, third: type, fourth: type, /, *more: type, outside: bool = False
    ) -> Callable[[AnyHandler], AnyHandler]: ...
    @overload
    def on(self, handler: AnyHandler, /) -> AnyHandler: ...
    @overload
    def on(self, *event_types: str, outside: bool = False) -> Callable[[AnyHandler], AnyHandler]: ...
    def on(self, *event_types: Any, outside: bool = False) -> Any:
        """Make the decorated function the handler of events of these types, or, without types, of all other events.

        `@projection.on` without parentheses is the same as `@projection.on()`.

        For type checkers, the handler of up to three classes takes an event with an object of one of them, such as
        `RecordedEvent[ItemAdded]`. They do not check handlers by name, and those of more classes.

        Args:
            event_types: Names, or classes that are registered with the store's `event_types`. Classes are checked when
                the projection is run, because only the store knows their names.
            outside: Whether the handler has effects outside the database, such as sending a mail. An event can have
                such a handler and another one, which is called first. A batch ends after such an event, so that a
                failure repeats the effects of one event at most. While a rebuild catches up, handlers with outside
                effects are not called for events that have had them: see `rebuilds` and `ProjectionAdmin.reset`.

        Raises:
            InvalidInput: A name is not valid, or already has a handler of this kind.

        Example:
            ```python
            @totals.on(ItemAdded)
            def add_item(event: RecordedEvent[ItemAdded], connection: Connection) -> None:
                connection.execute(UPSERT, {"order": event.stream_id, "price": event.data.price})
            ```
        """
        if len(event_types) == 1 and callable(event_types[0]) and not isinstance(event_types[0], type):
            self.handlers.add((), event_types[0])  # without parentheses
            return event_types[0]
        for event_type in event_types:
            if not isinstance(event_type, type):
                check_event_type(event_type)
        handlers = self.outside_handlers if check_flag("outside", outside) else self.handlers

        def register(handler: AnyHandler) -> AnyHandler:
            handlers.add(event_types, handler)
            return handler

        return register

    def check_event_types(self, event_types: EventTypes) -> None:
        """Check that all classes with a handler are registered.

        Raises:
            UnregisteredEventType: A class is not registered.
            InvalidInput: A class also has a handler by its name.
        """
        self.handlers.check(event_types)
        self.outside_handlers.check(event_types)

    def __repr__(self) -> str:
        return f"<Projection {self.name!r}>"


def name_of_partition(projection: str, number: int, partitions: int) -> str:
    """Return the name of a partition's checkpoint."""
    return f"{projection}/{number}of{partitions}"


def check_partitions(name: str, partitions: object) -> int:
    """Return the number of partitions.

    Raises:
        InvalidInput: It is not an integer from 1 to 256.
    """
    number = check_number(name, partitions, minimum=1)
    if number > MAX_PARTITIONS:
        msg = f"{name} must be between 1 and {MAX_PARTITIONS}, not {number}"
        raise InvalidInput(msg)
    return number


def _check_start(start: object) -> StartsAt:
    if isinstance(start, Start | PositionToken):
        return start
    if isinstance(start, datetime):
        if start.utcoffset() is None:
            msg = "start must be a datetime with a time zone"
            raise InvalidInput(msg)
        return start
    if isinstance(start, bool) or not isinstance(start, int):
        msg = f"start must be a Start, a position, a PositionToken or a datetime, not {type(start).__name__}"
        raise InvalidInput(msg)
    return check_number("start", start)
