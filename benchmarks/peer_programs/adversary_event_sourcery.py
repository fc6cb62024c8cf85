"""The library `python-event-sourcery` for the adversary: a backend on a SQLAlchemy session, and its subscription."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any
from uuid import UUID

from event_sourcery import StreamId
from event_sourcery.event import Event
from event_sourcery.exceptions import ConcurrentStreamWriteError
from event_sourcery_sqlalchemy import SQLAlchemyBackend, configure_models
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Session

from eventstore.testing.adversary import Conflict, Delivered, Reader, Write

TIME_LIMIT_SECONDS = 1.0


class Base(DeclarativeBase):
    """Where the library's models are."""


class Even(Event):
    """One event type."""

    event_id: UUID
    stream: str


class Odd(Event):
    """The other one."""

    event_id: UUID
    stream: str


KINDS = {"even": Even, "odd": Odd}
configure_models(Base)


class EventSourcery:
    """`append` in a session, and `subscriber`, which waits up to a time limit for a hole in a page to be filled."""

    name = f"python-event-sourcery {version('python-event-sourcery')}, timelimit={TIME_LIMIT_SECONDS}"
    readers = (Reader("subscriber"),)
    page_size = 10
    takes_schema = False
    spans_streams = True

    def __init__(self, url: str, _schema: str | None) -> None:
        self._engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), pool_size=2)

    def prepare(self) -> None:
        """Make its tables."""
        Base.metadata.create_all(self._engine)

    def append(self, writes: Sequence[Write]) -> None:
        """Append in a session of its own."""
        transaction = self.open()
        try:
            transaction.append(writes)
            transaction.commit()
        finally:
            transaction.close()

    def open(self) -> "OpenSession":
        """Open a session."""
        return OpenSession(Session(self._engine))

    def version(self, stream: str) -> int:
        """Return the version of the last event of a stream."""
        with Session(self._engine) as session:
            return _version(session, stream)

    def read(self, _reader: str, after: Any) -> Iterator[Delivered]:
        """Read by a subscription from the last position, until it has nothing."""
        with Session(self._engine) as session:
            subscriber = SQLAlchemyBackend().configure(session).subscriber
            pages = subscriber.start_from(after or 0).build_batch(self.page_size, timelimit=TIME_LIMIT_SECONDS)
            while page := next(pages):
                for recorded in page:
                    wrapped: Any = recorded.wrapped_event
                    yield Delivered(recorded.position, wrapped.event.event_id, wrapped.event.stream, wrapped.version)

    def close(self) -> None:
        """Dispose of the engine."""
        self._engine.dispose()


class OpenSession:
    """The user's session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._store = SQLAlchemyBackend().configure(session).event_store

    def append(self, writes: Sequence[Write]) -> None:
        """Append in the session. Its appends always expect a version."""
        for write in writes:
            events = [KINDS[event.kind](event_id=event.event_id, stream=write.stream) for event in write.events]
            expected = write.expected_version
            if expected is None:
                expected = _version(self._session, write.stream)
            with _conflicts():
                self._store.append(*events, stream_id=StreamId(name=write.stream), expected_version=expected)

    def execute(self, statement: str) -> None:
        """Execute a statement."""
        self._session.execute(text(statement))

    def commit(self) -> None:
        """Commit."""
        with _conflicts():
            self._session.commit()

    def rollback(self) -> None:
        """Roll back."""
        self._session.rollback()

    def close(self) -> None:
        """Close the session."""
        self._session.close()


@contextmanager
def _conflicts() -> Iterator[None]:
    try:
        yield
    except (ConcurrentStreamWriteError, IntegrityError) as error:
        raise Conflict from error


def _version(session: Session, stream: str) -> int:
    events = SQLAlchemyBackend().configure(session).event_store.load_stream(StreamId(name=stream))
    return events[-1].version or 0 if events else 0
