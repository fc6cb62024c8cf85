"""Readers of the global order, in threads of their own, and what they compare with."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import URL, Connection, Engine, create_engine, text

from eventstore import ANY, EventFilter, EventStore, NewEvent, PositionToken, RecordedEvent
from eventstore.projections import Projection, Worker

TIMEOUT_SECONDS = 30
SHORT_SECONDS = 0.1
"""How long `read_all` waits in a test for what is held open: some looks, none of which may deliver what comes after."""

Place = tuple[int, UUID]
"""The position of an event, and its id."""


def append(store: EventStore, stream_id: str = "order-1", count: int = 1, event_type: str = "counted") -> int:
    """Return the position of the last event."""
    return store.append(stream_id, [NewEvent(event_type) for _ in range(count)], expected_version=ANY).position


@contextmanager
def opened(url: str | URL, **options: Any) -> Iterator[Engine]:
    engine = create_engine(url, **options)
    try:
        yield engine
    finally:
        engine.dispose()


class Background:
    """Something that runs in a thread of its own until it ends or fails."""

    def __init__(self, run: Callable[[], object], stop: Callable[[], object]) -> None:
        self.error: BaseException | None = None
        self._run = run
        self._stop = stop
        self._thread = threading.Thread(target=self._catch)
        self._thread.start()

    def _catch(self) -> None:
        try:
            self._run()
        except Exception as error:  # noqa: BLE001  # whatever it is, the test compares it
            self.error = error

    def end(self) -> None:
        self._stop()
        self._thread.join(TIMEOUT_SECONDS)
        assert not self._thread.is_alive()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so, or this has failed."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self.error is None and not condition():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def wait_until_it_is_at(self, position: int, current: Callable[[], int]) -> None:
        """Wait until this has come to a position, or has failed; it may take its time as long as it goes on."""
        while self.error is None and (before := current()) < position:
            self.wait_until(lambda: current() != before)


class Subscriber(Background):
    """Follows a subscription."""

    def __init__(
        self, store: EventStore, *filters: EventFilter, after: PositionToken | int = 0, notify: bool = False
    ) -> None:
        self.subscription = store.subscribe(
            *filters, after_position=after, longest_interval_seconds=0.05, notify=notify
        )
        self.events: list[RecordedEvent] = []
        super().__init__(lambda: self.events.extend(self.subscription), self.subscription.stop)

    def wait_for(self, position: int) -> None:
        self.wait_until_it_is_at(position, lambda: self.subscription.position)

    def end(self) -> None:
        super().end()
        self.subscription.close()


class Projecting(Background):
    """Runs a worker whose handler writes down what it was given, in the same transaction."""

    def __init__(self, store: EventStore, projection: Projection) -> None:
        worker = Worker(store, projection, longest_interval_seconds=0.05)
        self.name = projection.name
        super().__init__(worker.run_forever, worker.stop)

    def wait_for(self, engine: Engine, position: int) -> None:
        self.wait_until_it_is_at(position, lambda: checkpoint(engine, self.name))


def writing_down(name: str, *filters: EventFilter) -> Projection:
    projection = Projection(name, *filters)

    @projection.on()
    def handle(event: RecordedEvent, connection: Connection) -> None:
        row = {"name": name, "position": event.position, "event_id": event.event_id}
        connection.execute(text("INSERT INTO handled VALUES (:name, :position, :event_id)"), row)

    return projection


def checkpoint(engine: Engine, name: str) -> int:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT position FROM es_checkpoints WHERE name = :name"), {"name": name})
        return found.scalar_one_or_none() or 0


def handled(engine: Engine, name: str) -> list[Place]:
    """Return what a projection was given, in order of position."""
    return _places(engine, "SELECT position, event_id FROM handled WHERE name = :value ORDER BY position", name)


def stored(engine: Engine, event_type: str = "%") -> list[Place]:
    """Return all events that are committed, in order of position."""
    return _places(
        engine, "SELECT position, event_id FROM es_events WHERE event_type LIKE :value ORDER BY position", event_type
    )


def _places(engine: Engine, sql: str, value: str) -> list[Place]:
    with engine.connect() as connection:
        return [(position, event_id) for position, event_id in connection.execute(text(sql), {"value": value})]


def places(events: Iterable[RecordedEvent]) -> list[Place]:
    return [(event.position, event.event_id) for event in events]


@contextmanager
def unfinished(engine: Engine, stream_id: str = "held-1") -> Iterator[tuple[Connection, int]]:
    """Draw a position and hold it until the transaction is committed or the block ends; yield both."""
    with engine.connect() as connection:
        yield connection, append(EventStore(engine).join(connection), stream_id)
