"""What a failure leaves behind: nothing of the append, and all of the caller's."""

import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from typing import ClassVar
from uuid import UUID

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from eventstore import ANY, Append, EventStore, InvalidInput, NewEvent
from tests.fix_leaks import SECRET

pytestmark = pytest.mark.slow

SQLITE_STOPPER = """
CREATE TRIGGER stopper BEFORE INSERT ON es_events WHEN new.event_type = 'refused'
BEGIN SELECT RAISE(ABORT, 'refused by a trigger'); END
"""
POSTGRESQL_STOPPER = """
CREATE FUNCTION stopper() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused by a trigger'; END $$;
CREATE TRIGGER stopper BEFORE INSERT ON es_events FOR EACH ROW WHEN (new.event_type = 'refused')
EXECUTE FUNCTION stopper()
"""


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    """A store whose database refuses events of the type `refused`."""
    with any_engine.begin() as connection:
        connection.execute(text(SQLITE_STOPPER if any_engine.dialect.name == "sqlite" else POSTGRESQL_STOPPER))
    return EventStore(any_engine)


def batch(count: int) -> list[NewEvent]:
    """Return events of which the one in the middle is refused."""
    types = ["fine"] * count
    types[count // 2] = "refused"
    return [NewEvent(event_type, {"card": SECRET}) for event_type in types]


@pytest.mark.parametrize(
    "count", [1, 3, pytest.param(20_000, marks=pytest.mark.slow), pytest.param(100_000, marks=pytest.mark.long)]
)
def test_a_failure_in_the_middle_of_an_append_stores_nothing(store: EventStore, count: int) -> None:
    store.append("order-1", [NewEvent("earlier")], expected_version=0)
    with pytest.raises(DBAPIError) as error:
        store.append("order-1", batch(count), expected_version=1)
    assert "refused by a trigger" in str(error.value)
    assert SECRET not in str(error.value)
    assert store.stream_version("order-1") == 1
    assert len(list(store.read_stream("order-1"))) == 1


class CountedUUID(UUID):
    """A UUID that counts how often such are compared."""

    comparisons: ClassVar[int] = 0
    __hash__ = UUID.__hash__

    def __eq__(self, other: object) -> bool:
        CountedUUID.comparisons += 1
        return super().__eq__(other)


def test_a_repeated_event_id_is_found_without_comparing_all_with_all() -> None:
    """Else an append of 100,000 events took minutes to be refused."""
    count = 1000
    ids = [CountedUUID(int=number) for number in [*range(count), count - 1]]
    CountedUUID.comparisons = 0
    with EventStore.in_memory() as store, pytest.raises(InvalidInput, match=f"event {count} .* repeats the event id"):
        store.append("order-1", [NewEvent("counted", event_id=each) for each in ids], expected_version=0)
    assert CountedUUID.comparisons < 10 * count


@pytest.mark.slow
@pytest.mark.parametrize("count", [20_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_very_many_events_are_one_append(any_engine: Engine, count: int) -> None:
    store = EventStore(any_engine)
    new_events = [NewEvent("counted", number) for number in range(count)]
    result = store.append("order-1", new_events, expected_version=0)
    assert result.version == store.stream_version("order-1") == count
    assert [event.data for event in store.read_stream("order-1")] == list(range(count))
    assert store.append("order-1", new_events, expected_version=0).duplicate


def test_an_error_of_the_database_shows_no_payload(store: EventStore, any_url: str) -> None:
    """Also on an engine that would show parameters."""
    engine = create_engine(any_url)
    for attempt in (
        lambda: EventStore(engine).append("order-1", batch(1), expected_version=0),
        lambda: EventStore(engine).append_many([Append("order-1", batch(1), expected_version=0)]),
    ):
        with pytest.raises(DBAPIError) as error:
            attempt()
        assert SECRET not in str(error.value)
        assert "parameters hidden" in str(error.value)
    engine.dispose()
    assert store.stream_version("order-1") == 0


def test_a_failure_in_append_many_stores_nothing(store: EventStore) -> None:
    appends = [
        Append("order-1", [NewEvent("fine")], expected_version=0),
        Append("order-2", batch(3), expected_version=0),
    ]
    for call in (store.append_many, partial(store.append_many, atomic=False)):
        with pytest.raises(DBAPIError):
            call(appends)
    assert [store.stream_version(f"order-{number}") for number in (1, 2)] == [0, 0]
    assert store.append("order-1", [NewEvent("fine")], expected_version=0).version == 1


def test_a_failure_in_a_savepoint_of_the_caller_leaves_the_rest(store: EventStore, any_engine: Engine) -> None:
    with any_engine.begin() as connection:
        inside = store.join(connection)
        inside.append("order-1", [NewEvent("fine")], expected_version=0)
        with pytest.raises(DBAPIError), connection.begin_nested():
            inside.append("order-1", batch(3), expected_version=1)
        inside.append("order-1", [NewEvent("fine")], expected_version=1)
    assert len(list(store.read_stream("order-1"))) == store.stream_version("order-1") == 2


@pytest.fixture
def lost_reply(any_engine: Engine) -> Iterator[threading.Event]:
    """While set: a commit succeeds, but the client is told that the connection was lost."""
    lose = threading.Event()

    @event.listens_for(any_engine, "after_cursor_execute")
    def _lose(connection: object, cursor: object, statement: str, *_: object) -> None:
        if lose.is_set() and (statement == "COMMIT" or "stored" in statement):
            lose.clear()
            raise OperationalError(statement, None, Exception("server closed the connection unexpectedly"))

    yield lose
    event.remove(any_engine, "after_cursor_execute", _lose)


def test_an_append_whose_reply_was_lost_can_be_repeated(any_engine: Engine, lost_reply: threading.Event) -> None:
    store = EventStore(any_engine)
    store.append("order-1", [NewEvent("earlier")], expected_version=0)
    events = [NewEvent("paid", {"total": 30}), NewEvent("shipped")]
    lost_reply.set()
    with pytest.raises(OperationalError):
        store.append("order-1", events, expected_version=1)
    assert not lost_reply.is_set()
    result = store.append("order-1", events, expected_version=1)
    assert (result.version, result.duplicate) == (3, True)
    assert [event.event_type for event in store.read_stream("order-1")] == ["earlier", "paid", "shipped"]


@pytest.mark.parametrize("nth", range(8))
def test_an_interrupted_append_is_whole_or_not_at_all(any_engine: Engine, nth: int) -> None:
    """As by Ctrl-C, at each of its statements: the interrupt comes through, and the store goes on."""
    store = EventStore(any_engine)
    store.append("order-1", [NewEvent("earlier")], expected_version=0)
    appends = [Append(f"order-{number}", [NewEvent("a"), NewEvent("b")], expected_version=ANY) for number in (1, 2)]
    remaining = nth

    def interrupt(*_: object) -> None:
        nonlocal remaining
        remaining -= 1
        if remaining == -1:
            raise KeyboardInterrupt

    event.listen(any_engine, "do_execute", interrupt)
    event.listen(any_engine, "do_executemany", interrupt)
    with contextlib.suppress(KeyboardInterrupt):
        store.append_many(appends)
    assert (remaining < 0) == (nth < {"postgresql": 1, "sqlite": 6}[any_engine.dialect.name])
    event.remove(any_engine, "do_execute", interrupt)
    event.remove(any_engine, "do_executemany", interrupt)
    versions = [store.stream_version(f"order-{number}") for number in (1, 2)]
    assert versions == [len(list(store.read_stream(f"order-{number}"))) for number in (1, 2)]
    assert versions in ([1, 0], [3, 2])
    assert store.append("order-1", [NewEvent("later")], expected_version=versions[0]).version == versions[0] + 1
