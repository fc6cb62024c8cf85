"""How many statements a call takes on PostgreSQL: each is a round trip. Speed that is lost here is lost silently."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text

from eventstore import ANY, NO_STREAM, STREAM_EXISTS, Append, EventFilter, EventStore, ExpectedVersion, NewEvent
from eventstore.statements.reading import read_forwards

pytestmark = pytest.mark.slow

Sent = list[tuple[str, str]]


@pytest.fixture
def sent(postgres_engine: Engine) -> Iterator[Sent]:
    """What was sent: statements, and the state of the connection's transaction after each."""
    noted: Sent = []

    @event.listens_for(postgres_engine, "after_cursor_execute")
    def _note(_connection: object, cursor: psycopg.Cursor[Any], statement: str, *_: object) -> None:
        noted.append((statement, cursor.connection.info.transaction_status.name))

    yield noted
    event.remove(postgres_engine, "after_cursor_execute", _note)


def events(count: int) -> list[NewEvent]:
    return [NewEvent("counted", {"number": number}) for number in range(count)]


@pytest.fixture
def store(postgres_engine: Engine, sent: Sent) -> EventStore:
    """A store that has checked its tables and its sequence, and has a stream of 25 events."""
    store = EventStore(postgres_engine, page_size=100)
    store.append("order-1", events(25), expected_version=NO_STREAM)
    store.snapshots.save("order-1", version=20, state={"total": 1})
    store.settled_position()
    sent.clear()
    return store


@pytest.mark.parametrize("expected", [NO_STREAM, 25, ANY, STREAM_EXISTS])
@pytest.mark.parametrize("count", [1, 2, 1000])
def test_an_append_is_one_statement_in_no_transaction(
    store: EventStore, sent: Sent, expected: ExpectedVersion, count: int
) -> None:
    store.append("order-2" if expected == NO_STREAM else "order-1", events(count), expected_version=expected)
    assert [status for _, status in sent] == ["IDLE"]


def test_an_append_of_one_event_makes_no_arrays(store: EventStore, sent: Sent) -> None:
    for expected in (25, ANY, STREAM_EXISTS):
        store.append("order-1", events(1), expected_version=expected)
    assert [statement for statement, _ in sent if "unnest" in statement] == []


def to_many(count: int) -> list[Append]:
    """Appends to new streams, and three more to one that exists."""
    new = [Append(f"new-{number}", events(2), expected_version=NO_STREAM) for number in range(count)]
    return [*new, *(Append("order-1", events(1), expected_version=expected) for expected in (25, ANY, 27))]


@dataclass(frozen=True)
class Call:
    """A call and the number of its statements."""

    statements: int
    call: Callable[[EventStore], object]


@pytest.mark.parametrize(
    "expected",
    [
        Call(1, lambda store: list(store.read_stream("order-1"))),
        Call(1, lambda store: list(store.read_stream("order-1", backwards=True, limit=1))),
        Call(1, lambda store: store.stream_version("order-1")),
        Call(1, lambda store: store.snapshots.load("order-1")),
        Call(1, lambda store: store.snapshots.save("order-1", version=25, state={"total": 2})),
        Call(1, lambda store: store.append_many(to_many(50))),
        Call(1, lambda store: store.append_many(to_many(50), atomic=False)),
        Call(1, lambda store: store.append_many([Append("order-1", events(2), expected_version=25)])),
        Call(2, lambda store: list(store.read_all())),
        Call(2, lambda store: list(store.read_all(EventFilter(event_types=["counted"])))),
    ],
)
def test_a_call_takes_so_many_statements(store: EventStore, sent: Sent, expected: Call) -> None:
    expected.call(store)
    assert len(sent) == expected.statements, sent


def test_an_append_to_many_needs_no_transaction(store: EventStore, sent: Sent) -> None:
    store.append_many(to_many(3))
    assert [status for _, status in sent] == ["IDLE"]


def test_a_large_read_takes_one_statement_for_each_page(store: EventStore, sent: Sent) -> None:
    store.append("order-2", events(1000), expected_version=NO_STREAM)
    sent.clear()
    assert len(list(store.read_stream("order-2"))) == 1000
    assert len(sent) == 11  # the last one finds that there is no more


def test_what_a_hook_reads_on_the_same_connection_is_as_ever(postgres_engine: Engine, store: EventStore) -> None:
    """Only the store's own statement gets the cursor that takes points in time in UTC."""
    seen: list[Any] = []

    @event.listens_for(postgres_engine, "before_cursor_execute")
    def _look(connection: Connection, cursor: object, statement: str, *_: object) -> None:
        if "es_events" in statement:
            seen.append(connection.execute(text("SELECT now(), 'text' AS told")).one())

    list(store.read_stream("order-1"))
    event.remove(postgres_engine, "before_cursor_execute", _look)
    ((moment, told),) = seen
    assert isinstance(moment, datetime)
    assert told == "text"


def test_the_applications_own_statements_are_as_ever_in_a_joined_transaction(
    postgres_engine: Engine, store: EventStore
) -> None:
    with postgres_engine.begin() as connection:
        joined = store.join(connection)
        joined.append("order-1", events(1), expected_version=25)
        assert len(list(joined.read_stream("order-1"))) == 26
        row = connection.execute(text("SELECT recorded_at, stream_id FROM es_events LIMIT 1")).mappings().one()
        assert isinstance(row["recorded_at"], datetime)


def test_times_come_from_the_driver_in_utc_whatever_the_session_is_in(postgres_url: str, store: EventStore) -> None:
    """To bring each of them there in Python would take half as long as all the rest of an event."""
    engine = create_engine(postgres_url, connect_args={"options": "-c TimeZone=Asia/Tokyo"})
    page = {"stream_id": "order-1", "after_version": 0, "up_to_version": 1, "page_size": 1}
    for watched in (False, True):
        if watched:
            event.listen(engine, "before_cursor_execute", lambda *_: None)
        with EventStore(engine).core.execution.statement() as run:
            ((*_, recorded_at),) = run(read_forwards, **page)
            assert recorded_at.tzinfo is UTC
    engine.dispose()


def test_a_cursor_that_the_application_has_chosen_is_used(postgres_url: str, store: EventStore) -> None:
    made: list[object] = []

    class TheirCursor(psycopg.ClientCursor[Any]):
        def execute(self, *arguments: Any, **options: Any) -> Any:
            made.append(arguments[0])
            return super().execute(*arguments, **options)

    engine = create_engine(postgres_url, connect_args={"cursor_factory": TheirCursor})
    (first,) = EventStore(engine).read_stream("order-1", limit=1)
    engine.dispose()
    assert any("es_events" in str(statement) for statement in made)
    assert (first.version, first.recorded_at.tzinfo) == (1, UTC)
