"""Tokens, and a log that went back: what a reader has read is there, or it stops."""

import pickle
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, text, update

from eventstore import (
    ANY,
    EventFilter,
    EventStore,
    InvalidInput,
    LogWentBack,
    NewEvent,
    PositionToken,
    RecordedEvent,
    maintenance,
)
from eventstore.backends import engine_for
from eventstore.errors import InvalidStreamId, PositionBeyondLog
from eventstore.projections import Projection, ProjectionAdmin, Worker
from eventstore.transfer import export_events
from tests.fix_engines import changing_history

TOKEN = PositionToken(7, UUID(int=1), "order-1:2", 3)


def fill(store: EventStore, count: int = 3, stream_id: str = "order-1") -> list[RecordedEvent]:
    for _ in range(count):
        store.append(stream_id, [NewEvent("placed")], expected_version=ANY)
    return list(store.read_all())


def replace_event(store: EventStore, position: int) -> UUID:
    """Put another event where one was read, as a log has that went back and was filled again."""
    other = uuid4()
    events = store.tables.events
    with changing_history(store.engine) as connection:
        connection.execute(update(events).where(events.c.position == position).values(event_id=other))
    return other


# --- values


def test_a_token_is_kept_as_text() -> None:
    assert str(TOKEN) == "7:00000000-0000-0000-0000-000000000001:3:order-1:2"
    assert PositionToken.parse(str(TOKEN)) == TOKEN
    assert pickle.loads(pickle.dumps(TOKEN)) == TOKEN  # noqa: S301  # our own


@pytest.mark.parametrize(
    "text_", ["", "7", "7:x:3:order-1", "x:00000000-0000-0000-0000-000000000001:3:order-1", None, 7]
)
def test_another_text_is_refused(text_: object) -> None:
    with pytest.raises(InvalidInput):
        PositionToken.parse(text_)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("changed", [{"position": 0}, {"version": 0}, {"event_id": "1"}, {"stream_id": ""}])
def test_a_token_that_cannot_be_right_is_refused(changed: dict[str, object]) -> None:
    given = {"position": 7, "event_id": UUID(int=1), "stream_id": "order-1", "version": 3} | changed
    with pytest.raises((InvalidInput, InvalidStreamId)):
        PositionToken(**given)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("after", [None, "7", 1.0, True, -1])
def test_what_is_neither_a_token_nor_a_position_is_refused(after: object) -> None:
    with pytest.raises(InvalidInput, match="after_position"):
        EventStore.in_memory().read_all(after_position=after)  # type: ignore[arg-type]  # on purpose


# --- readers


def test_a_subscription_gives_the_token_of_what_it_has_passed(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    events = fill(store)
    with store.subscribe(after_position=0, idle_timeout_seconds=0) as subscription:
        assert subscription.token is None
        for event in subscription:
            assert subscription.token == event.token
    assert subscription.token == events[-1].token
    with store.subscribe(after_position=events[0].token, idle_timeout_seconds=0) as subscription:
        assert list(subscription) == events[1:]


def test_a_filtered_subscription_gives_the_token_of_a_later_event_that_did_not_match(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    store.append("order-1", [NewEvent("paid")], expected_version=ANY)
    last = fill(store)[-1]
    with store.subscribe(EventFilter(event_types=["paid"]), after_position=0, idle_timeout_seconds=0) as subscription:
        assert [event.event_type for event in subscription] == ["paid"]
    assert (subscription.position, subscription.token) == (last.position, last.token)


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_an_iterator_stops_if_what_it_has_read_is_another_event_now(any_engine: Engine, page_size: int) -> None:
    store = EventStore(any_engine, page_size=page_size)
    events = fill(store, 5)
    found = store.read_all()
    assert next(found) == events[0]
    replace_event(store, events[min(page_size, 5) - 1].position)
    if page_size < 5:
        with pytest.raises(LogWentBack):
            list(found)
    else:
        assert list(found) == events[1:]  # they are of the page that was read before


def test_a_subscription_that_waits_stops_if_what_it_has_read_is_gone(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    events = fill(store)
    with store.subscribe(after_position=events[-1].token) as subscription:
        with changing_history(store.engine) as connection:
            connection.execute(text("DELETE FROM es_events WHERE version > 1"))
        with pytest.raises(LogWentBack) as error:
            next(subscription)
    assert (error.value.position, error.value.expected_id) == (events[-1].position, events[-1].event_id)
    assert error.value.found_id is None
    assert str(events[-1].event_id) in str(error.value)


def test_a_bare_position_beyond_the_log_is_refused_but_not_one_that_was_drawn_and_rolled_back(
    any_engine: Engine,
) -> None:
    store = EventStore(any_engine)
    last = fill(store)[-1]
    with store.subscribe(after_position=last.position + 1) as subscription, pytest.raises(PositionBeyondLog) as error:
        next(subscription)
    assert (error.value.position, error.value.newest) == (last.position + 1, last.position)
    with changing_history(store.engine) as connection:  # by hand: the positions stay drawn
        connection.execute(text("DELETE FROM es_events WHERE version > 1"))
    assert list(store.read_all(after_position=last.position)) == []
    with pytest.raises(PositionBeyondLog):
        list(store.read_all(after_position=last.position + 1))


def test_a_resumed_export_stops_if_its_last_event_is_another_one_now(any_engine: Engine, tmp_path: Path) -> None:
    store = EventStore(any_engine)
    events = fill(store)
    exported = export_events(store, tmp_path / "events.jsonl")
    assert exported.token == events[-1].token
    replace_event(store, events[-1].position)
    fill(store)
    before = (tmp_path / "events.jsonl").read_bytes()
    with pytest.raises(LogWentBack):
        export_events(store, tmp_path / "events.jsonl", resume=True)
    assert (tmp_path / "events.jsonl").read_bytes().startswith(before)


# --- projections


def handled(store: EventStore) -> tuple[Worker, list[int]]:
    projection, positions = Projection("counts"), list[int]()

    @projection.on("placed")
    def _count(event: RecordedEvent, _connection: Connection) -> None:
        positions.append(event.position)

    return Worker(store, projection), positions


@pytest.mark.slow
def test_a_projection_stops_if_what_it_has_handled_is_another_event_now(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    worker, positions = handled(store)
    events = fill(store)
    worker.run_until_caught_up()
    other = replace_event(store, events[-1].position)
    fill(store)
    with pytest.raises(LogWentBack) as error:
        worker.run_once()
    assert (error.value.position, error.value.found_id, error.value.projection) == (
        events[-1].position, other, "counts",
    )  # fmt: skip
    assert positions == [event.position for event in events]
    (status,) = ProjectionAdmin(store).status()
    assert status.log_went_back
    assert any("'counts'" in problem.subject and "went back" in problem.found for problem in store.health().problems)
    (finding,) = maintenance.verify(store)
    assert (finding.kind, finding.name) == (maintenance.FindingKind.CHECKPOINT_BEYOND_LOG, "counts")
    assert str(events[-1].event_id) in finding.found


@pytest.mark.slow
def test_a_projection_goes_on_if_the_stream_of_its_last_event_was_deleted(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    worker, positions = handled(store)
    events = fill(store)
    worker.run_until_caught_up()
    store.delete_stream("order-1", expected_version=3, reason="asked for")
    (status,) = ProjectionAdmin(store).status()
    assert not status.log_went_back
    later = fill(store, stream_id="order-2")
    worker.run_until_caught_up()
    assert positions == [event.position for event in [*events, *later] if event.event_type == "placed"]
    assert store.health().ok
    assert not list(maintenance.verify(store))


def test_an_old_checkpoint_without_an_event_gets_one_at_its_next_batch(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    worker, positions = handled(store)
    events = fill(store)
    worker.run_until_caught_up()
    columns = "event_position = NULL, event_id = NULL, event_stream_id = NULL, event_version = NULL"
    with store.engine.begin() as connection:
        connection.execute(text(f"UPDATE es_checkpoints SET {columns}"))
    worker.run_until_caught_up()
    last = fill(store)[-1]
    worker.run_until_caught_up()
    assert len(positions) == 2 * len(events)
    with store.engine.begin() as connection:
        row = connection.execute(
            text("SELECT position, event_position, event_stream_id, event_version FROM es_checkpoints")
        )
        assert tuple(row.one()) == (last.position, last.position, "order-1", last.version)


def test_old_code_that_advances_a_checkpoint_raises_no_false_alarm(any_engine: Engine) -> None:
    """It knows nothing of the event, which stays where it was: at a position that the projection has come past."""
    store = EventStore(any_engine)
    worker, positions = handled(store)
    fill(store)
    worker.run_until_caught_up()
    last = fill(store)[-1]
    with store.engine.begin() as connection:
        connection.execute(text(f"UPDATE es_checkpoints SET position = {last.position}"))
    worker.run_until_caught_up()
    assert not ProjectionAdmin(store).status()[0].log_went_back
    assert fill(store)[-1].position not in positions
    worker.run_until_caught_up()
    assert len(positions) == 6


def test_an_old_checkpoint_beyond_the_log_stops_its_projection(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    worker, _ = handled(store)
    fill(store)
    worker.run_until_caught_up()
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE es_checkpoints SET position = 1000, event_position = NULL, event_id = NULL"))
    with pytest.raises(LogWentBack) as error:
        worker.run_once()
    assert (error.value.position, error.value.expected_id, error.value.projection) == (1000, None, "counts")
    assert ProjectionAdmin(store).status()[0].log_went_back


def test_a_projection_that_is_reset_begins_again_after_the_log_went_back(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    worker, positions = handled(store)
    events = fill(store)
    worker.run_until_caught_up()
    replace_event(store, events[-1].position)
    with worker, pytest.raises(LogWentBack):
        worker.run_once()
    ProjectionAdmin(store).reset("counts")
    again, positions = handled(store)
    again.run_until_caught_up()
    assert positions == [event.position for event in events]


# --- a file that is put back


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Iterator[tuple[EventStore, Path]]:
    path = tmp_path / "events.db"
    engine = engine_for(f"sqlite:///{path}")
    store = EventStore(engine)
    from eventstore import migrations  # noqa: PLC0415  # Alembic

    migrations.upgrade(engine)
    yield store, path
    engine.dispose()


@pytest.mark.slow
def test_a_backup_that_is_restored_into_a_live_file_is_noticed(sqlite_file: tuple[EventStore, Path]) -> None:
    store, path = sqlite_file
    fill(store, 40)
    backup = path.with_name("backup.db")
    with closing(sqlite3.connect(path)) as live, closing(sqlite3.connect(backup)) as copy:
        live.backup(copy)
    events = fill(store, 60)
    found = store.read_all()
    subscription = store.subscribe(after_position=events[-1].token)
    with closing(sqlite3.connect(path)) as live, closing(sqlite3.connect(backup)) as copy:
        copy.backup(live)
    fill(store, 70)  # drawn again: the positions that were read are other events now
    with pytest.raises(LogWentBack):
        next(subscription)
    assert len(list(found)) == 110
    assert store.settled_position() == 110
