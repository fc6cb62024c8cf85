"""The library `eventsourcing`, used as its documentation says: infrastructure factory, mapper, recorder, EventStore."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.domain import DomainEvent, datetime_now_with_tzinfo
from eventsourcing.persistence import (
    DatetimeAsISO,
    DecimalAsStr,
    InfrastructureFactory,
    JSONTranscoder,
    StoredEvent,
    UUIDAsHex,
)
from eventsourcing.utils import Environment, get_topic
from eventsourcing_boundaries import decide_together, use_boundaries
from eventsourcing_state import load_state, prepare_state, project
from protocol import serve


class ItemAdded(DomainEvent):
    """The event that all contestants store."""

    article: str
    quantity: int
    price_in_cents: int
    note: str


class BasketPaid(DomainEvent):
    """An event of another type."""

    amount: int


stores: dict[str, tuple[Any, Any]] = {}
streams: dict[str, UUID] = {}
listening: dict[str, Any] = {}


def use(name: str, environment: dict[str, str]) -> str:
    """Open a store; return the version of the library."""
    factory: Any = InfrastructureFactory.construct(Environment(name, environment))
    transcoder = JSONTranscoder()
    for transcoding in (UUIDAsHex(), DecimalAsStr(), DatetimeAsISO()):
        transcoder.register(transcoding)
    recorder = factory.application_recorder()
    stores[name] = (factory.event_store(mapper=factory.mapper(transcoder), recorder=recorder), recorder)
    return version("eventsourcing")


def durability(name: str) -> str:
    """Return how a commit of the store is flushed, as its own connection says."""
    _, recorder = stores[name]
    if hasattr(recorder.datastore, "enable_db_functions"):
        with recorder.datastore.get_connection() as connection:
            row = connection.execute("SHOW synchronous_commit").fetchone()
            return f"synchronous_commit = {row['synchronous_commit']}"
    with recorder.datastore.transaction(commit=False) as cursor:
        cursor.execute("PRAGMA synchronous")
        (level,) = tuple(cursor.fetchone())
        return f"synchronous = {level}"


def _event(stream: UUID, number: int) -> ItemAdded:
    return ItemAdded(
        originator_id=stream,
        originator_version=number,
        timestamp=datetime_now_with_tzinfo(),
        article=f"article-{number % 1000}",
        quantity=number % 7 + 1,
        price_in_cents=1999,
        note="to be wrapped as a present",
    )


def _paid(stream: UUID, number: int) -> BasketPaid:
    return BasketPaid(
        originator_id=stream, originator_version=number, timestamp=datetime_now_with_tzinfo(), amount=number
    )


def append_to_new(name: str, count: int, *, recorder_only: bool = False) -> float:
    """Return the seconds of one append of one event, each to a new stream."""
    store, recorder = stores[name]
    batches = [[_event(uuid4(), 1)] for _ in range(count)]
    if recorder_only:
        stored = [[_stored(event) for event in batch] for batch in batches]
        return _timed(recorder.insert_events, stored) / count
    return _timed(store.put, batches) / count


def append_to_existing(name: str, count: int) -> float:
    """Return the seconds of one append of one event to one stream."""
    store, _ = stores[name]
    stream = uuid4()
    store.put([_event(stream, 1)])
    return _timed(store.put, [[_event(stream, number + 2)] for number in range(count)]) / count


def append_batch(name: str, size: int, times: int) -> float:
    """Return the seconds of an event when a new stream is stored at once; so many times."""
    store, _ = stores[name]
    streams = [uuid4() for _ in range(times)]
    return _timed(store.put, [[_event(stream, number + 1) for number in range(size)] for stream in streams]) / (
        size * times
    )


def write_together(name: str, writers: int, count: int, *, one_stream: bool = False) -> float:
    """Return the seconds of an event when threads append one event after the other, each to its own streams."""
    store, _ = stores[name]
    numbers, stream, lock = itertools.count(1), uuid4(), threading.Lock()
    barrier = threading.Barrier(writers + 1)

    def write() -> None:
        events = [] if one_stream else [[_event(uuid4(), 1)] for _ in range(count)]
        barrier.wait()
        if one_stream:
            for _ in range(count):
                with lock:  # in one process the version is known: no conflict, no retry
                    store.put([_event(stream, next(numbers))])
        for batch in events:
            store.put(batch)

    with ThreadPoolExecutor(writers) as threads:
        running = [threads.submit(write) for _ in range(writers)]
        barrier.wait()
        begun = time.perf_counter()
        for each in running:
            each.result()
        return (time.perf_counter() - begun) / (writers * count)


def prepare_stream(name: str, size: int) -> None:
    """Store a stream to be read."""
    store, _ = stores[name]
    streams[f"{name}-{size}"] = uuid4()
    for first in range(0, size, 10_000):
        events = range(first, min(first + 10_000, size))
        store.put([_event(streams[f"{name}-{size}"], number + 1) for number in events])


def read_stream(name: str, size: int, times: int = 1) -> float:
    """Return the seconds of an event when a stream is read into domain events; so many times."""
    store, _ = stores[name]
    begun = time.perf_counter()
    for _ in range(times):
        _check(len(list(store.get(streams[f"{name}-{size}"]))), size)
    return (time.perf_counter() - begun) / (size * times)


def fill(name: str, count: int) -> None:
    """Store many events, in streams of 100; each twentieth is of another type."""
    store, _ = stores[name]
    for first in range(0, count, 5_000):
        batch = []
        for _ in range(min(50, (count - first) // 100)):
            stream = uuid4()
            batch += [
                _paid(stream, number + 1) if number % 20 == 0 else _event(stream, number + 1) for number in range(100)
            ]
        store.put(batch)


def read_all(name: str, count: int, page_size: int, topic: str | None = None) -> float:
    """Return the seconds of an event when all, or those of a class, are read in order, as domain events."""
    store, recorder = stores[name]
    topics = [get_topic(globals()[topic])] if topic else ()
    begun, position, seen = time.perf_counter(), 0, 0
    while page := recorder.select_notifications(position, page_size, topics=topics, inclusive_of_start=False):
        for notification in page:
            store.mapper.to_domain_event(notification)
        seen += len(page)
        position = page[-1].id
    seconds = time.perf_counter() - begun
    _check(seen, count)
    return seconds / count


def listen(name: str) -> None:
    """Begin to note how long each event has taken from before its writer's `put`."""
    store, recorder = stores[name]
    subscription = recorder.subscribe(gt=recorder.max_notification_id())
    lags: list[float] = []

    def read() -> None:
        with subscription:
            for notification in subscription:
                event = store.mapper.to_domain_event(notification)
                lags.append(time.time() - event.timestamp.timestamp())

    reader = threading.Thread(target=read)
    reader.start()
    listening[name] = (subscription, reader, lags)


def write_for(name: str, writers: int, seconds: float, pause: float) -> int:
    """Write with threads for some time; return how many events."""
    store, _ = stores[name]
    end = time.monotonic() + seconds

    def write(_: int) -> int:
        count = 0
        while time.monotonic() < end:
            store.put([_event(uuid4(), 1)])
            count += 1
            time.sleep(pause)
        return count

    with ThreadPoolExecutor(writers) as threads:
        return sum(threads.map(write, range(writers)))


def end_of_listening(name: str) -> list[float]:
    """Return the seconds of each event."""
    subscription, reader, lags = listening.pop(name)
    time.sleep(1)
    subscription.stop()
    reader.join(10)
    return lags


def _stored(event: ItemAdded) -> StoredEvent:
    return StoredEvent(event.originator_id, event.originator_version, get_topic(ItemAdded), b"x" * 120)


def _timed(call: Any, batches: list[Any]) -> float:
    begun = time.perf_counter()
    for batch in batches:
        call(batch)
    return time.perf_counter() - begun


def _check(count: int, expected: int) -> None:
    if count != expected:
        msg = f"read {count} events, not {expected}"
        raise RuntimeError(msg)


if __name__ == "__main__":
    serve(
        {
            call.__name__: call
            for call in (
                use, durability, append_to_new, append_to_existing, append_batch, write_together, prepare_stream,
                read_stream, fill, read_all, listen, write_for, end_of_listening, prepare_state, load_state, project,
                use_boundaries, decide_together,
            )
        }
    )  # fmt: skip
