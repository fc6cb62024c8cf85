"""The library `python-event-sourcery`, used as its documentation says: a backend on a SQLAlchemy session, a commit."""

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

from event_sourcery import StreamId
from event_sourcery.event import Event
from event_sourcery_sqlalchemy import SQLAlchemyBackend, configure_models
from protocol import serve
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import DeclarativeBase, Session


class Base(DeclarativeBase):
    """Where the library's models are."""


class ItemAdded(Event):
    """The event that all contestants store."""

    article: str
    quantity: int
    price_in_cents: int
    note: str


configure_models(Base)
engines: dict[str, Any] = {}
streams: dict[str, StreamId] = {}


def use(name: str, url: str) -> str:
    """Open a database; return the version of the library."""
    engine = create_engine(url, **({} if url.startswith("sqlite") else {"pool_size": 20}))
    if url.startswith("sqlite"):

        @event.listens_for(engine, "connect")
        def _settings(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")

    Base.metadata.create_all(engine)
    engines[name] = engine
    return version("python-event-sourcery")


def durability(name: str) -> str:
    """Return how a commit is flushed, as the connection of a session says."""
    sqlite = engines[name].dialect.name == "sqlite"
    with Session(engines[name]) as session:
        (level,) = session.execute(text("PRAGMA synchronous" if sqlite else "SHOW synchronous_commit")).one()
        return f"synchronous{'' if sqlite else '_commit'} = {level}"


def _event(number: int) -> ItemAdded:
    return ItemAdded(
        article=f"article-{number % 1000}",
        quantity=number % 7 + 1,
        price_in_cents=1999,
        note="to be wrapped as a present",
    )


def _in_session(name: str, work: Callable[[Any], Any]) -> Any:
    with Session(engines[name]) as session:
        result = work(SQLAlchemyBackend().configure(session).event_store)
        session.commit()
        return result


def _append(name: str, stream: StreamId, events: list[ItemAdded], expected: Any) -> None:
    _in_session(name, lambda store: store.append(*events, stream_id=stream, expected_version=expected))


def append_to_new(name: str, count: int) -> float:
    """Return the seconds of one append of one event, each to a new stream."""
    work = [(StreamId(), [_event(number)]) for number in range(count)]
    begun = time.perf_counter()
    for stream, events in work:
        _append(name, stream, events, 0)
    return (time.perf_counter() - begun) / count


def append_to_existing(name: str, count: int) -> float:
    """Return the seconds of one append of one event to one stream."""
    stream = StreamId()
    _append(name, stream, [_event(1)], 0)
    work = [[_event(number)] for number in range(count)]
    begun = time.perf_counter()
    for number, events in enumerate(work):
        _append(name, stream, events, number + 1)
    return (time.perf_counter() - begun) / count


def append_batch(name: str, size: int, times: int) -> float:
    """Return the seconds of an event when a new stream is stored at once; so many times."""
    work = [(StreamId(), [_event(number) for number in range(size)]) for _ in range(times)]
    begun = time.perf_counter()
    for stream, events in work:
        _append(name, stream, events, 0)
    return (time.perf_counter() - begun) / (size * times)


def write_together(name: str, writers: int, count: int, *, one_stream: bool = False) -> float:
    """Return the seconds of an event when threads append one event after the other, each to its own streams."""
    numbers, stream, lock = itertools.count(0), StreamId(), threading.Lock()
    barrier = threading.Barrier(writers + 1)

    def write() -> None:
        work = [(StreamId(), [_event(number)]) for number in range(count)]
        barrier.wait()
        for new, events in work:
            if one_stream:
                with lock:
                    _append(name, stream, events, next(numbers))
            else:
                _append(name, new, events, 0)

    with ThreadPoolExecutor(writers) as threads:
        running = [threads.submit(write) for _ in range(writers)]
        barrier.wait()
        begun = time.perf_counter()
        for each in running:
            each.result()
        return (time.perf_counter() - begun) / (writers * count)


def prepare_stream(name: str, size: int) -> None:
    """Store a stream to be read."""
    streams[f"{name}-{size}"] = stream = StreamId()
    for first in range(0, size, 1000):
        _append(name, stream, [_event(number) for number in range(first, min(first + 1000, size))], first)


def read_stream(name: str, size: int, times: int = 1) -> float:
    """Return the seconds of an event when a stream is read into events; so many times."""
    begun = time.perf_counter()
    for _ in range(times):
        events = _in_session(name, lambda store: store.load_stream(streams[f"{name}-{size}"]))
        _check(len(events), size)
    return (time.perf_counter() - begun) / (size * times)


def fill(name: str, count: int) -> None:
    """Store many events, in streams of 100, some streams a transaction."""
    for first in range(0, count, 1000):
        with Session(engines[name]) as session:
            store = SQLAlchemyBackend().configure(session).event_store
            for _ in range(min(10, (count - first) // 100)):
                store.append(*[_event(number) for number in range(100)], stream_id=StreamId(), expected_version=0)
            session.commit()


def read_all(name: str, count: int, page_size: int) -> float:
    """Return the seconds of an event when all are read in order by a subscription, whole pages of them."""
    begun, seen = time.perf_counter(), 0
    with Session(engines[name]) as session:
        subscriber = SQLAlchemyBackend().configure(session).subscriber
        pages = subscriber.start_from(0).build_batch(page_size, timelimit=0.1)
        while seen < count:
            page = next(pages)
            if not page:
                break
            seen += len(page)
    seconds = time.perf_counter() - begun
    _check(seen, count)
    return seconds / count


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
                read_stream, fill, read_all,
            )
        }
    )  # fmt: skip
