"""The relay: a projection that sends messages, and its worker."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final, NoReturn

from eventstore.common.validation import MAX_VERSION, check_function, check_number, check_text
from eventstore.errors import InvalidInput
from eventstore.events import RecordedEvent
from eventstore.filters import EventFilter
from eventstore.projections.definition import OnFailure, Projection, Start, StartsAt
from eventstore.projections.worker import Worker
from eventstore.relay.messages import Message
from eventstore.relay.sending import RelayRunner
from eventstore.store import EventStore, check_store

Target = Callable[[list[Message]], object]
"""What messages are sent to: it returns when all of them are taken, and raises an error if not."""

Publish = Callable[[RecordedEvent[Any]], Message | Iterable[Message] | None]
"""Makes public messages from an event: one, several, or none."""

_EVENTS_AT_ONCE: Final = 100
_PAGE: Final = 50
"""How many events are read for a batch at least: many may be dropped."""
_LONGEST_SOURCE: Final = 2000
_ASYNC_TARGET: Final = (
    "to must be a function that returns when the messages are taken, but it is a coroutine function; let it run one: "
    "lambda messages: asyncio.run(send(messages)), or in a loop of another thread, "
    "lambda messages: asyncio.run_coroutine_threadsafe(send(messages), loop).result()"
)
_ASYNC_STORE: Final = (
    "a relay waits for its target in a thread or a process of its own: give it EventStore.from_url(…) on the same "
    "database, and run it in its own process, or in a thread of your program with `with relay.running():`"
)


class RelayProjection(Projection):
    """The definition of a relay, for what makes workers itself: Django's `run_projections`, and `TenantWorkers`.

    Everywhere else, make a `Relay`, whose `projection` this is. The arguments are those of `Relay`.
    """

    runner = RelayRunner
    batch_size: ClassVar[int | None] = _PAGE
    spreads_pauses = True

    def __init__(
        self,
        name: str,
        *filters: EventFilter,
        to: Target,
        publish: Publish | None = None,
        source: str = "urn:eventstore",
        dataschema: str | None = None,
        partitions: int = 1,
        start: StartsAt = Start.BEGINNING,
        events_at_once: int | None = None,
        attempts: int | None = None,
        backoff_seconds: float = 0.5,
        on_failure: OnFailure = OnFailure.STOP,
    ) -> None:
        super().__init__(
            name,
            *filters,
            start=start,
            partitions=partitions,
            attempts=MAX_VERSION if attempts is None else attempts,
            backoff_seconds=backoff_seconds,
            on_failure=on_failure,
        )
        check_function("to", to)
        if inspect.iscoroutinefunction(to) or inspect.iscoroutinefunction(type(to).__call__):
            raise InvalidInput(_ASYNC_TARGET)
        if publish is not None:
            check_function("publish", publish)
        if events_at_once is None:
            events_at_once = getattr(to, "events_at_once", _EVENTS_AT_ONCE)
        self.events_at_once = check_number("events_at_once", events_at_once, minimum=1)
        self.batch_size = max(self.events_at_once, _PAGE)  # type: ignore[misc]  # of the class, for others
        self.source = check_text("source", source, _LONGEST_SOURCE)
        self._to = to
        self._publish = publish or self._as_it_is
        self._dataschema = _checked_template(dataschema)

    def messages_of(self, events: Iterable[RecordedEvent]) -> list[Message]:
        """Return the messages about a stored event, of which upcasters may have made several, or none.

        Raises:
            InvalidInput: `publish` has returned something else.
            EncodingError: The data of a message can't be JSON.
        """
        messages: list[Message] = []
        for event in events:
            for message in _listed(self._publish(event)):
                messages.append(message.about(event, number=len(messages) + 1, source=self.source))
        return messages

    def send(self, messages: list[Message]) -> None:
        """Send messages, and return when the target has taken all of them.

        Raises:
            Exception: As the target raises it.
        """
        returned = self._to(messages)
        if inspect.isawaitable(returned):
            if inspect.iscoroutine(returned):
                returned.close()
            raise InvalidInput(_ASYNC_TARGET)

    def on(self, *_: Any, **__: Any) -> NoReturn:
        """Raise InvalidInput: a relay has no handlers."""
        msg = f"relay {self.name!r} has no handlers; `publish` says which events become which messages"
        raise InvalidInput(msg)

    def _as_it_is(self, event: RecordedEvent) -> Message:
        dataschema = self._dataschema and self._dataschema.format(
            event_type=event.event_type, schema_version=event.schema_version
        )
        return Message(event.event_type, event.data, dataschema=dataschema)

    def __repr__(self) -> str:
        return f"<RelayProjection {self.name!r}>"


class Relay(Worker):
    """Sends events elsewhere, at least once, and in order within each stream.

    It is a `Worker` of a projection whose checkpoint says how far the events were sent. So everything that is true of
    projections is true of it: `run_forever`, `running` and `Workers`, several relays of one name, of which one works at
    a time, partitions, the status, `ProjectionAdmin.wait_for` and dead letters.

    The checkpoint moves when the target has returned. After a crash or a failure, the messages of the last batch are
    sent again, and no others; they have the same ids.

    A target that is not available (`TargetUnavailable`) is waited for, however long it takes. Any other error is one of
    the event: its messages are sent again, after 0.5, 1, 2 … up to 60 seconds, shortened by a random part.

    Args:
        store: The application's store, not joined.
        name: The name of its checkpoint in the database; projections have names of the same kind.
        filters: Which events to send; see `EventStore.read_all`. Defaults to none: all events.
        to: A function that is called with a list of `Message`s. It returns when the target has taken all of them, such
            as after the confirmation of a broker, and raises an error otherwise. Or a `webhook`.
        publish: Makes the messages about an event: a `Message`, a list of them, or None, so that the event is not sent.
            The same event must always become the same messages. Defaults to None: each event becomes one message, with
            its type and data.
        source: The `source` of the messages, a URI such as `https://shop.example/orders`.
        dataschema: Without `publish`: the `dataschema` of the messages, a URI in which `{event_type}` and
            `{schema_version}` are replaced. Defaults to None: they have none.
        partitions: As for `Projection`: relays send the messages of several partitions at the same time.
        start: As for `Projection`. Defaults to the first event of the log, so that a new relay sends all of history;
            `Start.NOW` begins with new events.
        events_at_once: How many events are sent together at most, and so how many are sent again after a crash.
            Defaults to None: 100; for a webhook 1.
        attempts: How often the messages about an event are sent before it has failed, from 1. Defaults to None: without
            end.
        backoff_seconds: How long to wait before the second attempt. Each further pause is twice as long, up to a
            minute.
        on_failure: What happens to an event that has failed, or that the target rejects (`MessageRejected`). Defaults
            to stopping before it. Dead letters block the later events of their stream only.
        shortest_interval_seconds: As for `Worker`.
        longest_interval_seconds: As for `Worker`.
        worker_name: The name of this worker in the status, as `name` of a `Worker`.

    Raises:
        InvalidInput: An argument is not valid.

    Example:
        ```python
        relay = Relay(store, "orders-to-shop", EventFilter(categories=["order"]), to=webhook(URL, SECRET))
        relay.run_forever(handle_signals=True)
        ```
    """

    def __init__(
        self,
        store: EventStore,
        name: str,
        *filters: EventFilter,
        to: Target,
        publish: Publish | None = None,
        source: str = "urn:eventstore",
        dataschema: str | None = None,
        partitions: int = 1,
        start: StartsAt = Start.BEGINNING,
        events_at_once: int | None = None,
        attempts: int | None = None,
        backoff_seconds: float = 0.5,
        on_failure: OnFailure = OnFailure.STOP,
        shortest_interval_seconds: float = 0.005,
        longest_interval_seconds: float = 0.25,
        worker_name: str | None = None,
    ) -> None:
        check_store(store, in_asyncio=_ASYNC_STORE)
        projection = RelayProjection(
            name,
            *filters,
            to=to,
            publish=publish,
            source=source,
            dataschema=dataschema,
            partitions=partitions,
            start=start,
            events_at_once=events_at_once,
            attempts=attempts,
            backoff_seconds=backoff_seconds,
            on_failure=on_failure,
        )
        super().__init__(
            store,
            projection,
            shortest_interval_seconds=shortest_interval_seconds,
            longest_interval_seconds=longest_interval_seconds,
            name=worker_name,
        )

    def __repr__(self) -> str:
        return f"<Relay {self.projection.name!r}>"


def _listed(published: object) -> list[Message]:
    """Return what `publish` has returned as a list.

    Raises:
        InvalidInput: It is something else.
    """
    if published is None:
        return []
    if isinstance(published, Message):
        return [published]
    if isinstance(published, Iterable) and not isinstance(published, str | bytes | Mapping):
        messages = list(published)
        if all(isinstance(message, Message) for message in messages):
            return messages
    msg = f"publish must return a Message, a list of them, or None, not {type(published).__name__}"
    raise InvalidInput(msg)


def _checked_template(dataschema: object) -> str | None:
    if dataschema is None:
        return None
    template = check_text("dataschema", dataschema, _LONGEST_SOURCE)
    try:
        template.format(event_type="", schema_version=1)
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        msg = f"dataschema may have {{event_type}} and {{schema_version}} to be replaced, and nothing else: {error}"
        raise InvalidInput(msg) from None
    return template
