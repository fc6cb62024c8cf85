"""The library `eventsource-py` for the adversary, used as its documentation says: PostgreSQLEventStore on asyncpg."""

import asyncio
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsource import (
    DomainEvent,
    EventRegistry,
    ExpectedVersion,
    OptimisticLockError,
    PostgreSQLEventStore,
    StreamId,
    create_async_engine,
)
from eventsource.domain.exceptions import DuplicateEventError
from eventsource.migrations import get_schema
from eventsource.ports import FeedReadOptions
from sqlalchemy import make_url

from eventstore.testing.adversary import Conflict, Delivered, Reader, Write

CATEGORY = "order"


class Even(DomainEvent):
    """One event type."""

    aggregate_type: str = CATEGORY
    stream: str


class Odd(DomainEvent):
    """The other one."""

    aggregate_type: str = CATEGORY
    stream: str


KINDS = {"even": Even, "odd": Odd}
registry = EventRegistry()
for _class in KINDS.values():
    registry.register(_class)


class EventsourcePy:
    """`append` and `read_all`, from the position of the last event; its subscriptions read by the same method."""

    name = f"eventsource-py {version('eventsource-py')}"
    readers = (Reader("read_all"),)
    page_size = 100  # as its subscriptions read
    takes_schema = False
    spans_streams = False

    def __init__(self, url: str, _schema: str | None) -> None:
        self._runner = asyncio.Runner()
        parsed = make_url(url).set(drivername="postgresql+asyncpg")
        self._engine = create_async_engine(parsed.render_as_string(hide_password=False), pool_size=1)
        self._store = PostgreSQLEventStore(self._engine, event_registry=registry)

    def prepare(self) -> None:
        """Make its table of events, with everything that its migrations add."""

        async def work() -> None:
            async with self._engine.connect() as connection:
                raw: Any = await connection.get_raw_connection()
                await raw.driver_connection.execute(get_schema("events"))

        self._runner.run(work())

    def append(self, writes: Sequence[Write]) -> None:
        """Append to a stream."""
        (write,) = writes
        stream = _stream(write.stream)
        events = [
            KINDS[event.kind](event_id=event.event_id, aggregate_id=stream.aggregate_id, stream=write.stream)
            for event in write.events
        ]
        expected = (
            ExpectedVersion.any_()
            if write.expected_version is None
            else ExpectedVersion.no_stream()
            if write.expected_version == 0
            else ExpectedVersion.exact(write.expected_version)
        )
        try:
            self._runner.run(self._store.append(stream, events, expected))
        except OptimisticLockError as error:
            raise Conflict from error
        except DuplicateEventError:  # it was stored the first time
            return

    def version(self, stream: str) -> int:
        """Return the version of a stream."""
        return int(self._runner.run(self._store.get_stream_version(_stream(stream))))

    def read(self, _reader: str, after: Any) -> Iterator[Delivered]:
        """Read page by page."""

        async def page(after: Any) -> list[Any]:
            return [each async for each in self._store.read_all(after, FeedReadOptions(limit=self.page_size))]

        while envelopes := self._runner.run(page(after)):
            for envelope in envelopes:
                after = envelope.position
                event_id: UUID = envelope.event.event_id
                yield Delivered(after, event_id, envelope.event.stream, envelope.stream_version)

    def close(self) -> None:
        """Dispose of the engine."""
        self._runner.run(self._engine.dispose())
        self._runner.close()


def _stream(name: str) -> StreamId:
    return StreamId(uuid5(NAMESPACE_URL, name), CATEGORY)
