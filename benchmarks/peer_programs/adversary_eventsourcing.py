"""The library `eventsourcing` for the adversary: its application recorder on PostgreSQL, without and with functions."""

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.persistence import InfrastructureFactory, IntegrityError, StoredEvent
from eventsourcing.utils import Environment
from sqlalchemy import make_url

from eventstore.testing.adversary import Conflict, Delivered, Reader, Write


class Eventsourcing:
    """`insert_events`, which locks the table, and `select_notifications`; a filter is by topic."""

    name = f"eventsourcing {version('eventsourcing')}"
    readers = (Reader("select_notifications"), Reader("select_notifications, filtered", kind="even"))
    page_size = 10
    takes_schema = False
    spans_streams = True
    settings: dict[str, str] = {}  # noqa: RUF012  # of the class, never changed

    def __init__(self, url: str, _schema: str | None) -> None:
        parsed = make_url(url)
        self._environment = {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": str(parsed.database),
            "POSTGRES_HOST": str(parsed.host),
            "POSTGRES_PORT": str(parsed.port or 5432),
            "POSTGRES_USER": str(parsed.username),
            "POSTGRES_PASSWORD": str(parsed.password or ""),
            "POSTGRES_POOL_SIZE": "1",
            "POSTGRES_MAX_OVERFLOW": "0",
            **self.settings,
        }
        self._factory: Any = None
        self._recorder: Any = None

    def prepare(self) -> None:
        """Make its table."""
        self._open(create_table="y")

    def append(self, writes: Sequence[Write]) -> None:
        """Append to streams. The version of an event is given by its writer, and unique."""
        recorder = self._opened()
        events, newest = [], {}
        for write in writes:
            if write.stream not in newest:
                newest[write.stream] = (
                    self.version(write.stream) if write.expected_version is None else write.expected_version
                )
            for event in write.events:
                newest[write.stream] += 1
                state = json.dumps({"event_id": event.event_id.hex, "stream": write.stream}).encode()
                events.append(StoredEvent(_stream(write.stream), newest[write.stream], event.kind, state))
        try:
            recorder.insert_events(events)
        except IntegrityError as error:  # also after it has tried again by itself
            stored = recorder.select_events(events[0].originator_id, gt=events[0].originator_version - 1, limit=1)
            if not stored or stored[0].state != events[0].state:
                raise Conflict from error

    def version(self, stream: str) -> int:
        """Return the version of the last event of a stream."""
        last = self._opened().select_events(_stream(stream), desc=True, limit=1)
        return int(last[0].originator_version) if last else 0

    def read(self, reader: str, after: Any) -> Iterator[Delivered]:
        """Read page by page."""
        topics = ("even",) if reader == self.readers[1].name else ()
        recorder = self._opened()
        while page := recorder.select_notifications(after, self.page_size, topics=topics, inclusive_of_start=False):
            for notification in page:
                after = notification.id
                state = json.loads(notification.state)
                event_id = UUID(hex=state["event_id"])
                yield Delivered(after, event_id, state["stream"], notification.originator_version)

    def close(self) -> None:
        """Close the pool."""
        if self._factory is not None:
            self._factory.close()

    def _opened(self) -> Any:
        if self._recorder is None:
            self._open(create_table="n")
        return self._recorder

    def _open(self, *, create_table: str) -> None:
        environment = Environment("adversary", {**self._environment, "CREATE_TABLE": create_table})
        self._factory = InfrastructureFactory.construct(environment)
        self._recorder = self._factory.application_recorder()


class EventsourcingWithFunctions(Eventsourcing):
    """The same, appending by a function in the database."""

    name = f"{Eventsourcing.name}, POSTGRES_ENABLE_DB_FUNCTIONS=y"
    settings = {"POSTGRES_ENABLE_DB_FUNCTIONS": "y"}  # noqa: RUF012  # of the class, never changed


def _stream(name: str) -> UUID:
    return uuid5(NAMESPACE_URL, name)
