"""How large batches are, what they hold in memory, and whose an error is in a batch of several pages."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from eventstore import EventStore, NewEvent, ProjectionFailed, RecordedEvent
from eventstore.projections import Outcome, Projection, Worker, handling
from eventstore.projections.batches import BatchSize

PAGE = 10


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    store = EventStore(any_engine, page_size=PAGE)
    store.append("order-1", [NewEvent("item-added", {"number": n}) for n in range(1, 36)], expected_version=0)
    return store


def worker(
    store: EventStore,
    handle: Callable[[RecordedEvent, Connection], object],
    *,
    size: int | None = None,
    seconds: float = 3600,  # or a slow machine would end batches sooner
) -> Worker:
    projection = Projection("totals")
    projection.on()(handle)
    return Worker(store, projection, batch_size=size, batch_seconds=seconds)


def test_a_batch_has_several_pages(store: EventStore, any_engine: Engine) -> None:
    numbers: list[int] = []
    limits: list[Any] = []

    @event.listens_for(any_engine, "before_cursor_execute")
    def note(_c: object, _cursor: object, sql: str, parameters: Any, *_: object) -> None:
        if "page_size" in str(parameters) or "LIMIT" in sql:
            limits.append(parameters)

    batch = worker(store, lambda event, _: numbers.append(event.data["number"])).run_once()
    assert (batch.outcome, batch.handled) == (Outcome.ADVANCED, 35)
    assert numbers == list(range(1, 36))
    assert all(parameters.get("page_size", PAGE) <= PAGE for parameters in limits if isinstance(parameters, dict))


@pytest.mark.slow
def test_the_time_of_a_batch_can_be_up_on_any_page(store: EventStore) -> None:
    numbers: list[int] = []
    slow = worker(store, lambda event, _: numbers.append(event.data["number"]), seconds=0)
    assert [slow.run_once().handled for _ in range(3)] == [1, 1, 1]
    assert slow.run_until_caught_up() == 32
    assert numbers == list(range(1, 36))


@pytest.mark.parametrize("failing", [1, 11, 35])
def test_an_error_on_any_page_is_its_events(store: EventStore, failing: int) -> None:
    handled: list[int] = []

    def handle(event: RecordedEvent, _: Connection) -> None:
        if event.data["number"] == failing:
            raise LookupError
        handled.append(event.data["number"])

    with pytest.raises(ProjectionFailed) as caught:
        worker(store, handle).run_once()
    assert caught.value.version == failing
    handled.clear()
    with pytest.raises(ProjectionFailed):
        worker(store, handle).run_once()
    assert handled == [], "the events before it are committed"


def replace_by_sql(connection: Connection) -> None:
    connection.exec_driver_sql("COMMIT")
    connection.exec_driver_sql("BEGIN")


@pytest.mark.parametrize("end", [Connection.commit, Connection.rollback, Connection.close, replace_by_sql])
@pytest.mark.parametrize("failing", [1, 25])
def test_a_handler_that_ends_the_transaction_has_failed_however_quick_it_is(
    store: EventStore, end: Callable[[Connection], object], failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handling, "_QUICK_SECONDS", 3600)

    def handle(event: RecordedEvent, connection: Connection) -> None:
        if event.data["number"] == failing:
            end(connection)

    with pytest.raises(ProjectionFailed) as caught:
        worker(store, handle).run_until_caught_up()
    assert caught.value.version == failing
    assert caught.value.error_type == "TransactionBroken"


def test_an_error_in_the_transaction_is_seen_after_quick_handlers(
    store: EventStore, any_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handling, "_QUICK_SECONDS", 3600)

    def handle(event: RecordedEvent, connection: Connection) -> None:
        if event.data["number"] == 25:
            try:
                connection.execute(text("SELECT * FROM no_such_table"))
            except Exception:  # noqa: BLE001  # it hides the error, which on PostgreSQL aborts the transaction
                return

    if any_engine.dialect.name == "sqlite":
        assert worker(store, handle).run_once().handled == 35  # there an error aborts nothing
        return
    with pytest.raises(ProjectionFailed) as caught:
        worker(store, handle).run_once()
    assert caught.value.version == 25


def test_batches_grow_while_they_are_quick_and_more_is_settled() -> None:
    size = BatchSize(None, seconds=1.0)
    sizes = [size.now]
    for _ in range(5):
        size.learn(0.05, is_behind=True)
        sizes.append(size.now)
    assert sizes == [500, 1000, 2000, 4000, 5000, 5000]
    size.learn(0.2, is_behind=True)
    assert size.now == 2500
    size.learn(0.05, is_behind=False)
    assert size.now == 500


def test_a_given_size_stays() -> None:
    size = BatchSize(20, seconds=1.0)
    size.learn(0.0, is_behind=True)
    assert size.now == 20
    size.learn(0.9, is_behind=True)
    assert size.now == 20


def test_a_checkpoint_that_was_set_back_between_two_batches_counts(store: EventStore, any_engine: Engine) -> None:
    numbers: list[int] = []
    twenty = worker(store, lambda event, _: numbers.append(event.data["number"]), size=20)
    assert twenty.run_once().handled == 20
    with any_engine.begin() as connection:
        connection.execute(text("UPDATE es_checkpoints SET position = 0, event_position = NULL, event_id = NULL"))
    assert twenty.run_once().handled == 20
    assert numbers == [*range(1, 21), *range(1, 21)]
    assert twenty.run_until_caught_up() == 15


def test_a_checkpoint_that_was_removed_between_two_batches_is_made_again(store: EventStore, any_engine: Engine) -> None:
    twenty = worker(store, lambda *_: None, size=20)
    assert twenty.run_once().handled == 20
    with any_engine.begin() as connection:
        connection.execute(text("DELETE FROM es_checkpoints"))
    assert twenty.run_once().outcome is Outcome.BUSY
    assert twenty.run_until_caught_up() == 35
